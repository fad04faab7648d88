#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# random.sh: many random calls against a model of pages (docs/testing.md), by c-tests/api/test_random.c. From the
# environment:
#
#   OPERATIONS=N       for each format (5,000,000)
#   SEED=N             of the first sequence (1); the seed of one that fails is printed, and fails again with
#                      OPERATIONS=1
#   FORMAT="ept ..."   of ept npt arm riscv (all)
#   NEW=FILE           the archive (build/host/libaxaddrspace.a)
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
need cmake

cmake -S c-tests -B build/random -G Ninja \
	-DAXAS_LIBRARY="$(realpath "${NEW:-build/host/libaxaddrspace.a}")" >/dev/null
cmake --build build/random --target test_random >/dev/null

failed=0
for format in ${FORMAT:-ept npt arm riscv}; do
	RANDOM_OPERATIONS=${OPERATIONS:-5000000} RANDOM_SEED=${SEED:-1} TEST_FORMAT=$format \
		build/random/test_random || failed=1
done
exit "$failed"
