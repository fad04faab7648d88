#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# exhaust.sh: every call in every state of a tiny space, every allocation failing (docs/testing.md). From the
# environment:
#
#   TRANSITIONS=N      for each format and group (10,000,000)
#   GROUP="core ..."   of core parts two (all): the calls of every archive, the parts, two spaces
#   FORMAT="ept ..."   of ept npt arm riscv (all)
#   NEW=FILE           the archive (build/host/libaxaddrspace.a)
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
need cmake

cmake -S c-tests -B build/exhaust -G Ninja -DAXAS_QUICK=ON \
	-DAXAS_LIBRARY="$(realpath "${NEW:-build/host/libaxaddrspace.a}")" >/dev/null
cmake --build build/exhaust --target exhaust exhaust_two >/dev/null

failed=0
for format in ${FORMAT:-ept npt arm riscv}; do
	for group in ${GROUP:-core parts two}; do
		if [ "$group" = two ]; then
			build/exhaust/exhaust/exhaust_two "$format" "${TRANSITIONS:-10000000}" || failed=1
		else
			build/exhaust/exhaust/exhaust "$format" "${TRANSITIONS:-10000000}" "$group" || failed=1
		fi
	done
done
exit "$failed"
