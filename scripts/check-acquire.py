#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-acquire.py ARCH ARCHIVE: readers beside faults load entries with acquire (aarch64, riscv64).

A fault zeroes a frame, then installs its entry. Whoever reads the entry without holding the space alone
and goes on into the table or the memory that it names must not read that earlier than the entry. x86
orders loads by itself, and emulators do not show the difference. The archive has its source lines, so that a
function is found wherever it was inlined: make lib DEBUG_SYMBOLS=1.
"""

import re
import sys

sys.dont_write_bytecode = True
from shipped import inlined, run, tool

# Source functions that load entries beside faults, and the generation beside a call that holds the space alone.
READERS = {"page_way", "exchange", "load_neighbour", "load_acquire", "walk_unlocked", "translate_unlocked",
           "read_unlocked", "resolve_page"}
# What loads with acquire, as the compiler makes it: also a compare-exchange or a barrier.
ACQUIRE = {
    "aarch64": r"(?:ldarh?|ldaxrh?|casah?|casalh?|dmb\tishld)",
    "riscv64": r"(?:fence\tr,rw|lr\.[wd]\.aq)",
}


def main():
    arch, archive = sys.argv[1:]
    text = run(tool(arch, "objdump"), "-d", "--no-show-raw-insn", archive)
    loads = re.findall(rf"^\s+([0-9a-f]+):\t{ACQUIRE[arch]}", text, re.M)
    missing = READERS - {place.function for places in inlined(arch, archive, loads) for place in places}
    if missing:
        sys.exit(f"{archive}: no load with acquire in {', '.join(sorted(missing))}")
    print(f"{archive}: readers load entries with acquire")


if __name__ == "__main__":
    main()
