#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# run_without.sh: compile and run run_without.c with the host's archive that has nothing which can be left out.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(mktemp)
trap 'rm -f "$program"' EXIT
cc -std=c11 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual \
	-Wstrict-prototypes -Werror -Iinclude c-tests/link/run_without.c \
	build/host-without/libaxaddrspace.a -o "$program"
"$program"
