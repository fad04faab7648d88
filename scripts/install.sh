#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# install.sh PREFIX DESTDIR ARCH...: put the archives of these architectures, the header, the pkg-config
# files, the CMake package and the documents below DESTDIR PREFIX. Without ARCH: take away what any such
# call put there.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
[ $# -ge 2 ] || die "usage: scripts/install.sh PREFIX DESTDIR ARCH..."
prefix=$1
dest=$2$prefix
shift 2
case $prefix in
/*) ;;
*) die "PREFIX=$prefix is not an absolute path" ;;
esac
for arch; do
	formats_of "$arch" >/dev/null
done
version=$(package_version)

# put FILE PLACE: a file below the prefix, readable by all.
put() { run install -D -m 644 "$1" "$dest/$2"; }

# fill TEMPLATE PLACE NAME=VALUE...: a file below the prefix, with @NAME@ replaced.
fill() {
	local text place=$2
	text=$(<"cmake/$1")
	shift 2
	for pair; do
		text=${text//@${pair%%=*}@/${pair#*=}}
	done
	run install -D -m 644 <(printf '%s\n' "$text") "$dest/$place"
}

if [ $# -eq 0 ]; then
	run rm -rf "$dest/lib/axaddrspace" "$dest/lib/cmake/axaddrspace" "$dest/share/doc/axaddrspace"
	run rm -f "$dest/include/axaddrspace.h" "$dest/lib/libaxaddrspace.a" \
		"$dest"/lib/pkgconfig/axaddrspace{,-x86_64,-aarch64,-riscv64}.pc
	exit
fi

for arch; do
	archive=build/$arch/libaxaddrspace.a
	[ -f "$archive" ] || die "no $archive; run: make lib ARCH=$arch"
	if [ "$arch" = host ]; then
		put "$archive" lib/libaxaddrspace.a
		fill axaddrspace.pc.in lib/pkgconfig/axaddrspace.pc \
			NAME=axaddrspace LIBDIR=lib WHERE="programs on $(uname -m)" VERSION="$version"
	else
		put "$archive" "lib/axaddrspace/$arch/libaxaddrspace.a"
		fill axaddrspace.pc.in "lib/pkgconfig/axaddrspace-$arch.pc" NAME="axaddrspace-$arch" \
			LIBDIR="lib/axaddrspace/$arch" WHERE="bare metal on $arch" VERSION="$version"
	fi
done
put include/axaddrspace.h include/axaddrspace.h
put cmake/axaddrspace-targets.cmake lib/cmake/axaddrspace/axaddrspace-targets.cmake
fill axaddrspace-config.cmake.in lib/cmake/axaddrspace/axaddrspace-config.cmake \
	HOST_PROCESSOR="$(uname -m)"
fill axaddrspace-config-version.cmake.in lib/cmake/axaddrspace/axaddrspace-config-version.cmake \
	VERSION="$version"
run scripts/install-docs.py "$dest/share/doc/axaddrspace" "$dest/include/axaddrspace.h"
