#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# dist.sh [ready]: what `make install` puts down and axas-inspect, as a release:
# build/dist/axaddrspace-VERSION-MACHINE-SYSTEM.tar.gz, of the machine whose programs link the host's archive and run
# axas-inspect. In it are the checksums of its files and a bill of materials. Beside it are the sources with the crates
# that they need, axaddrspace-VERSION-source.tar.gz, and SHA256SUMS of both.
# The same sources and tools make the same bytes from wherever: the files carry the time of the last commit, or
# SOURCE_DATE_EPOCH. What is not committed is not released; `ready` says so before anything is built.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain
name=axaddrspace-$(package_version)-$(uname -m)-$(uname -s | tr '[:upper:]' '[:lower:]')
out=$BUILD/dist
if [ -e .git ]; then
	changed=$(git status --porcelain) || die "git does not say what is committed"
	[ -z "$changed" ] || die "no release of what is not committed:"$'\n'"$changed"
	: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
fi
[ -n "${SOURCE_DATE_EPOCH:-}" ] || die "no git checkout to take the time from; set SOURCE_DATE_EPOCH"
export SOURCE_DATE_EPOCH
[ "${1:-}" != ready ] || exit 0

# version_of CARGO: of the Rust that it calls.
version_of() { $([ "$1" = cargo ] && echo rustc || echo /usr/bin/rustc) --version | cut -d' ' -f2; }

rm -rf "$out"
mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
tree=$stage/$name
documents=$tree/share/doc/axaddrspace
scripts/install.sh "/$name" "$stage" host x86_64 aarch64 riscv64 >/dev/null
install -D -m 755 build/bin/axas-inspect "$tree/bin/axas-inspect"
install -m 644 THIRD-PARTY-LICENSES-axas-inspect "$documents/"

# Sources that came as such have their crates.
sources=axaddrspace-$(package_version)
mkdir "$stage/$sources"
if [ -e .git ]; then
	git archive HEAD
else
	tar --create --exclude=./build --exclude=./target .
fi | tar --extract --directory "$stage/$sources"
[ -d "$stage/$sources/vendor" ] || scripts/vendor.py "$stage/$sources"

scripts/sbom.py "$tree" "$stage/$sources" "$(version_of "$HOST_CARGO")" "$(version_of "$BARE_CARGO")"
(cd "$tree" && find . -type f | sort | xargs -d '\n' sha256sum >"$stage/sums")
mv "$stage/sums" "$tree/SHA256SUMS"

# pack DIRECTORY FILE: a directory of the stage.
pack() {
	tar --create --directory "$stage" --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --mode=u=rwX,go=rX \
		--owner=0 --group=0 --numeric-owner "$1" | gzip -9 --no-name >"$out/$2.tar.gz"
}
pack "$name" "$name"
pack "$sources" "$sources-source"
(cd "$out" && sha256sum -- *.tar.gz >SHA256SUMS)
say "build/dist:" && cat "$out/SHA256SUMS"
