#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-offline.sh ARCH: docs/offline.md is right: sources with vendored crates make the same archive as
# build/ARCH where there is no network, nothing in cargo's home and nothing to be installed.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
arch=${1:-host}
formats_of "$arch" >/dev/null
load_toolchain
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/sources" "$work/home"
tar --create --exclude=./build --exclude=./target --exclude=./.git --exclude=./vendor --exclude=./.cargo . |
	tar --extract --directory "$work/sources"
cd "$work/sources"
# The command of the page.
command=$(sed -n 's/^\(mkdir -p .cargo && cargo vendor .*\)$/\1/p' docs/offline.md)
[ -n "$command" ] || die "docs/offline.md has no line that vendors"
# And its addition where core is built from source.
if [ "$arch" != host ] && [ -n "$BARE_FLAGS" ]; then
	addition=$(grep -o -- '--sync /[^`]*' docs/offline.md) || die "docs/offline.md does not vendor what core needs"
	command=${command/ vendor >/ $addition vendor >}
fi
bash -c "$command" 2>"$work/vendor.txt" || die "'$command' fails: $(tail -n 3 "$work/vendor.txt")"

alone=(unshare --map-root-user --net)
"${alone[@]}" true 2>/dev/null || {
	say "nobody may make a network namespace here: cargo is told not to use the network instead"
	alone=(env CARGO_NET_OFFLINE=true)
}
run "${alone[@]}" env -u CARGO_TARGET_DIR RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" HOME="$work/home" \
	CARGO_HOME="$work/home/.cargo" SETUP=0 make lib ARCH="$arch"
cmp "build/$arch/libaxaddrspace.a" "$ROOT/build/$arch/libaxaddrspace.a" ||
	die "the archive made without a network is another one"
[ ! -e "$work/home/.cargo/registry/cache" ] || die "cargo downloaded: $(ls -R "$work/home/.cargo/registry/cache")"
say "$arch: built without a network"
