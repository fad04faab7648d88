#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-acquire.py ARCH ARCHIVE: readers beside faults load entries with acquire (aarch64, riscv64).

A fault zeroes a frame, then installs its entry. Whoever reads the entry without holding the space alone
and goes on into the table or the memory that it names must not read that earlier than the entry. x86
orders loads by itself, and emulators do not show the difference. The archive has the names of its
functions: make lib DEBUG_SYMBOLS=1.
"""

import re
import subprocess
import sys

# Functions that load entries beside faults; they are never inlined.
READERS = ("walk_to", "followers", "entry", "first_table")
# A load of 64 bits with acquire, as the compiler makes it.
ACQUIRE = {
    "aarch64": r"ldar\tx\d+, ",
    "riscv64": r"ld\t(?:[^\n]*\n){1,8}?[^\n]*\tfence\tr,rw",
}


def bodies(arch, archive):
    """Name of each function, without its path and type arguments (Rust 1.96 tells them), and its code."""
    text = subprocess.run([f"{arch}-linux-gnu-objdump", "-dC", "--no-show-raw-insn", archive],
                          check=True, capture_output=True, text=True).stdout
    for name, body in re.findall(r"^[0-9a-f]+ <(.*)>:\n((?:.+\n)*)", text, re.M):
        yield re.sub("::<.*>$", "", name).split("::")[-1], body


def main():
    arch, archive = sys.argv[1:]
    missing = set(READERS)
    for name, body in bodies(arch, archive):
        if name in READERS and re.search(ACQUIRE[arch], body):
            missing.discard(name)
    if missing:
        sys.exit(f"{archive}: no load with acquire in {', '.join(sorted(missing))}")
    print(f"{archive}: readers load entries with acquire")


if __name__ == "__main__":
    main()
