#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# loaded.sh [COMMAND...]: run a command, or `make test`, beside two busy loops for each CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
loops=()
trap 'kill "${loops[@]}"' EXIT
for ((i = 0; i < 2 * $(nproc); i++)); do
	while :; do :; done &
	loops+=($!)
done
[ $# -gt 0 ] || set -- make test
"$@"
