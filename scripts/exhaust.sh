#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# exhaust.sh: every call in every state of a tiny space, every allocation failing (docs/testing.md). From the
# environment:
#
#   TRANSITIONS=N      for each format (30,000,000)
#   FORMAT="ept ..."   of ept npt arm riscv (all)
#   NEW=FILE           the archive (build/host/libaxaddrspace.a)
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
need cmake

cmake -S c-tests -B build/exhaust -G Ninja -DAXAS_QUICK=ON \
	-DAXAS_LIBRARY="$(realpath "${NEW:-build/host/libaxaddrspace.a}")" >/dev/null
cmake --build build/exhaust --target exhaust >/dev/null

failed=0
for format in ${FORMAT:-ept npt arm riscv}; do
	build/exhaust/exhaust/exhaust "$format" "${TRANSITIONS:-30000000}" || failed=1
done
exit "$failed"
