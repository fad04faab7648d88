#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-bochs.sh: a Bochs that crashes when the example hypervisor has ended does not fail the run; one that
# crashes before that does.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
real=$(command -v bochs) || die "no bochs; run: apt-get install --no-install-recommends bochs bochs-term"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# run COMMAND: the example in a Bochs that is COMMAND and then a crash.
run() {
	printf '#!/bin/sh\n%s\nkill -SEGV $$\n' "$1" >"$work/bochs"
	chmod +x "$work/bochs"
	PATH=$work:$PATH make -C examples/hypervisor check-one MACHINE=amd CPU=ryzen \
		LIB="$ROOT/build/x86_64/libaxaddrspace.a" BUILD="$work/build" 2>&1
}

said=$(run "\"$real\" \"\$@\"") || die "a crash after the image's end fails the run: $said"
said=$(run true) && die "a crash before the image's end passes: $said"
grep -F 'Bochs ended before its image did' "$work"/build/*/printed-ryzen.txt ||
	die "a crash before the image's end is not named: $said"
