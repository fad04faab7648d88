#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-missing-tools.sh: where a tool is missing, each script fails and says how to install it.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
failures=0

# All commands there are; one at a time is taken away.
IFS=: read -ra places <<<"$PATH"
for ((place = ${#places[@]} - 1; place >= 0; place--)); do
	[ ! -d "${places[place]}" ] || find "${places[place]}" -maxdepth 1 -mindepth 1 \
		-exec ln -sf -t "$tools" {} +
done

# without TOOL COMMAND...: the command must fail, and name the tool and the way to get it. A tool that is
# not here need not be taken away.
without() {
	local tool=$1 said code=0
	shift
	[ ! -e "$tools/$tool" ] || mv "$tools/$tool" "$tools/.taken-away"
	said=$(PATH=$tools CARGO_HOME=$tools/none "$@" 2>&1) || code=$?
	[ ! -e "$tools/.taken-away" ] || mv "$tools/.taken-away" "$tools/$tool"
	if [ $code -eq 0 ]; then
		say "without $tool '$*' succeeds"
	elif ! grep -E "\b$tool\b.*(apt-get install|run: scripts/setup\.sh)" <<<"$said"; then
		say "without $tool '$*' does not say how to install it, but: $(tail -n3 <<<"$said")"
	else
		return 0
	fi
	failures=$((failures + 1))
}

without cargo scripts/build-lib.sh host
without aarch64-linux-gnu-ld scripts/build-lib.sh aarch64
without clang-format scripts/check.sh
without cargo scripts/check.sh
without abidiff scripts/abi.py check
without x86_64-linux-gnu-gcc scripts/abi.py check
without clang scripts/check-header-docs.py
without cargo scripts/licenses.py check
without cmake scripts/check-install.sh find_package host
without ninja scripts/check-install.sh find_package host
without qemu-system-aarch64 scripts/check-install.sh find_package aarch64
without pkg-config scripts/check-install.sh pkg-config host
without aarch64-linux-gnu-gcc scripts/check-install.sh pkg-config aarch64
without gcc scripts/tsan.sh
without objcopy scripts/differential.sh
without cmake scripts/exhaust.sh
without qemu-system-aarch64 make -C examples/hypervisor run MACHINE=arm \
	BUILD="$tools/none" LIB="$ROOT/build/aarch64/libaxaddrspace.a"
without aarch64-linux-gnu-gcc make -C c-tests/machines check MACHINE=arm \
	BUILD="$tools/none" LIB="$ROOT/build/aarch64/libaxaddrspace.a"
[ $failures -eq 0 ] || die "$failures complaints"
