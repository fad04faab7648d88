#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# ab.sh: times of two archives beside each other in one process (docs/performance.md). It measures and fails
# nothing. From the environment:
#
#   OLD=FILE NEW=FILE    the archives, for x86-64; otherwise NEW is built here as it ships
#   OLD_COMMIT=COMMIT    build the old archive from that commit of this repository (a63ae8e: the last before entries said how full tables are)
#   ROUNDS=N             of which the median is taken (11)
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
need cc ld objcopy nm
load_toolchain
[ "$(uname -m)" = x86_64 ] || die "it needs an x86_64 host: the archive for bare metal runs in it"

if [ -z "${OLD:-}" ]; then
	OLD=$(archive_of_commit "${OLD_COMMIT:-a63ae8e}" x86_64)
fi
if [ -z "${NEW:-}" ]; then
	NEW=build/ab/new.d/libaxaddrspace.a
	env -u FORMATS -u CALLS -u LOG scripts/build-lib.sh x86_64 build/ab/new.d >/dev/null
fi
say "old: $OLD"
say "new: $NEW"

mkdir -p build/ab
for side in old new; do
	archive=$OLD
	[ $side = old ] || archive=$NEW
	c-tests/differential/rename.sh nm objcopy "$archive" "${side}_" "build/ab/lib$side.a"
	# Equal code then has equal places in cache lines and predictors: a loop across two lines cost 20 %.
	objcopy --set-section-alignment .text=4096 "build/ab/lib$side.a"
done
cc -O2 -std=gnu11 -Wall -Wextra -Werror -Iinclude -o build/ab/ab c-tests/ab/ab.c build/ab/libold.a build/ab/libnew.a
build/ab/ab "${ROUNDS:-11}"
