#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# rename.sh NM OBJCOPY ARCHIVE PREFIX OUT: a copy of the archive whose functions are called PREFIXaxas_...
set -eu
"$1" -g --defined-only "$3" | awk -v prefix="$4" 'NF == 3 { print $3, prefix $3 }' >"$5.names"
"$2" --redefine-syms="$5.names" "$3" "$5"
