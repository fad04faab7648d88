#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-size.py [--update] [--list [N]]: bytes of code of the archives against c-tests/abi/size.txt.

Measured is .text of the shipped object: for each architecture as `make lib` builds it, and for each
format alone without messages; of the latter also what is left of it in a host that uses some calls, is
linked with --gc-sections and takes the archive with SPLIT_SECTIONS=1: as much as CALLS= leaves. Fails where more than the golden figure
and 2 % stands.
  --list [N]   the N (30) largest functions of each archive with one format
  --update     make what was measured the golden figures, here and in README.md
"""

import os
import sys
import tempfile

sys.dont_write_bytecode = True
import shipped

GOLDEN = "size.txt"
GOAL = 24 * 1024
HEAD = f"""# Bytes of .text in the shipped object; the goal for one format without messages is {GOAL}.
# After a change that is meant: scripts/check-size.py --update
#
# arch    formats            messages  calls     bytes
"""
SHIPPED = [(arch, "all", "yes", "all") for arch in shipped.ARCHITECTURES]
FORMATS = [("x86_64", "intel-ept"), ("x86_64", "amd-npt"), ("aarch64", "arm-stage2"),
           ("riscv64", "riscv-gstage")]
SMALL = [(arch, formats, "no", "all") for arch, formats in FORMATS]
# Calls that a hypervisor gets along with: "partition" for memory that never changes, "few" for trapped devices
# and memory that goes again too.
CALLS = {
    "partition": ["axas_create_in", "axas_hw_regs", "axas_map_linear", "axas_map_extents"],
    "few": ["axas_create_in", "axas_destroy", "axas_hw_regs", "axas_map_linear", "axas_map_trap", "axas_unmap",
            "axas_protect", "axas_translate", "axas_handle_page_fault", "axas_trap_cookie"],
}
LINKED = [(arch, formats, "no", calls) for calls in CALLS for arch, formats in FORMATS]


def text_bytes(arch, file):
    for line in shipped.run(shipped.tool(arch, "size"), "-A", file).splitlines():
        words = line.split()
        if words and words[0] == ".text":
            return int(words[1])
    sys.exit(f"{file}: no .text")


def measure(key):
    """Bytes of code."""
    arch, formats, messages, calls = key
    archive = shipped.build(arch, None if formats == "all" else formats, messages == "yes",
                            split=calls in CALLS)
    if calls == "all":
        return text_bytes(arch, archive)
    with tempfile.TemporaryDirectory() as directory:
        image = os.path.join(directory, "image")
        shipped.run(shipped.tool(arch, "ld"), "--gc-sections", "-e", CALLS[calls][0], "-o", image,
                    *(f"--undefined={call}" for call in CALLS[calls]), archive)
        return text_bytes(arch, image)


def show_largest(arch, formats, count):
    functions = shipped.Image(arch, shipped.build(arch, formats, log=False, symbols=True)).functions
    for name, size, _ in sorted(functions.values(), key=lambda function: -function[1])[:count]:
        print(f"    {size:6} {name}")


def main():
    arguments = sys.argv[1:]
    largest = 0
    if "--list" in arguments:
        given = arguments[arguments.index("--list") + 1:][:1]
        largest = int(given[0]) if given and given[0].isdigit() else 30
    golden = {tuple(row[:-1]): int(row[-1]) for row in shipped.read_golden(GOLDEN)}
    rows, failures = [], 0
    for key in SHIPPED + SMALL + LINKED:
        size = measure(key)
        rows.append("{:9} {:18} {:9} {:9} {}".format(*key, size))
        before = golden.get(key)
        verdict = "no golden figure" if before is None else f"golden {before}"
        bound = 0 if before is None else before + before // 50
        if size > bound:
            failures += 1
            verdict += f", at most {bound}: TOO LARGE"
        elif key in SMALL and size > GOAL:
            verdict += f"; the goal is {GOAL}"
        print(f"{rows[-1]:55} ({verdict})")
        if largest and key in SMALL:
            show_largest(*key[:2], largest)
    if "--update" in arguments:
        with open(f"{shipped.ROOT}/c-tests/abi/{GOLDEN}", "w", encoding="ascii") as file:
            file.write(HEAD + "".join(row + "\n" for row in rows))
    elif failures:
        sys.exit(f"{failures} archives are too large; if that is meant: scripts/check-size.py --update")
    shipped.readme("--update" in arguments)


if __name__ == "__main__":
    main()
