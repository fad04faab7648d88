#!/usr/bin/env bash
# install.sh ARCH PREFIX DESTDIR: copy the archive and the header, and write the pkg-config file.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
arch=$1
prefix=$2
dest=$3$prefix
version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n1)

pc=$(mktemp)
trap 'rm -f "$pc"' EXIT
cat >"$pc" <<PC
prefix=$prefix
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: axaddrspace
Description: Second-stage (guest-physical) address spaces for C hypervisors
Version: $version
Libs: -L\${libdir} -laxaddrspace
Cflags: -I\${includedir}
PC
run install -D -m 644 "build/$arch/libaxaddrspace.a" "$dest/lib/libaxaddrspace.a"
run install -D -m 644 include/axaddrspace.h "$dest/include/axaddrspace.h"
run install -D -m 644 "$pc" "$dest/lib/pkgconfig/axaddrspace.pc"
