#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# run_static_hal.sh: compile and run run_static_hal.c with the host's archive of STATIC_HAL=1.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(mktemp)
trap 'rm -f "$program"' EXIT
cc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual \
	-Wstrict-prototypes -Werror -Iinclude c-tests/link/run_static_hal.c c-tests/link/static_hal.c \
	build/host-static-hal/libaxaddrspace.a -o "$program"
"$program"
