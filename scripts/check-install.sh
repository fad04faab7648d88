#!/usr/bin/env bash
# check-install.sh: a program outside this repository builds from what `make install` puts down,
# told where it is by pkg-config alone.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
out=$BUILD/installed
rm -rf "$out"
mkdir -p "$out/program"

# A staging folder first, moved to its prefix afterwards: what a packager does.
scripts/install.sh host "$out/usr" "$out/stage"
mv "$out/stage$out/usr" "$out/usr"
cp examples/minimal.c "$out/program"
cd "$out/program"
export PKG_CONFIG_PATH=$out/usr/lib/pkgconfig
# shellcheck disable=SC2046  # a list of flags
run cc -std=c11 minimal.c $(pkg-config --cflags --libs axaddrspace) -o minimal
./minimal
header_version=$(awk '$2 ~ /^AXAS_VERSION_(MAJOR|MINOR|PATCH)$/ { print $3 + 0 }' \
	"$out/usr/include/axaddrspace.h" | paste -sd.)
[ "$(pkg-config --modversion axaddrspace)" = "$header_version" ] ||
	die "pkg-config says version $(pkg-config --modversion axaddrspace), the header $header_version"
