#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# dist.sh: what `make install` puts down, as a release: build/dist/axaddrspace-VERSION.tar.gz, which
# lists the checksums of its files, and SHA256SUMS with its own. The same sources and tools make the same
# bytes: the files carry the time of the last commit, or SOURCE_DATE_EPOCH.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
name=axaddrspace-$(package_version)
out=$BUILD/dist
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || true)}
[ -n "$epoch" ] || die "no git checkout to take the time from; set SOURCE_DATE_EPOCH"

rm -rf "$out"
mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
scripts/install.sh "/$name" "$stage" host x86_64 aarch64 riscv64 >/dev/null
(cd "$stage/$name" && find . -type f | sort | xargs -d '\n' sha256sum >"$stage/sums")
mv "$stage/sums" "$stage/$name/SHA256SUMS"
tar --create --directory "$stage" --sort=name --format=gnu --mtime="@$epoch" --mode=u=rwX,go=rX \
	--owner=0 --group=0 --numeric-owner "$name" | gzip -9 --no-name >"$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" >SHA256SUMS)
say "build/dist/$name.tar.gz: $(cut -c1-64 "$out/SHA256SUMS")"
