#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# run_parts.sh PART: compile and run run_parts.c with the host's archive that has this part and no other.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(mktemp)
trap 'rm -f "$program"' EXIT
cc -std=c11 -O1 -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wstrict-prototypes \
	-Wno-address -Werror -Iinclude "-DPART=AXAS_PART_${1^^}" c-tests/link/run_parts.c \
	"build/host-part-$1/libaxaddrspace.a" -o "$program"
"$program"
