#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-size.py [--update] [--list [N]]: bytes of code of the archives against c-tests/abi/size.txt.

Measured is .text of the shipped object: for each architecture as `make lib` builds it, and for each
format alone without messages. Of the latter also what some calls leave of the archive with SPLIT_SECTIONS=1
after `ld -r --gc-sections`, summed over the functions: an x86 linker adds some bytes between them. And what each part of
link/parts adds to everything with one format. Fails where
more than the golden figure and 1 % stands; another compiler than the one that made the golden figures fails
nothing. Goals are printed and fail nothing.
  --list [N]   the N (30) largest functions of each archive with one format
  --update     make what was measured the golden figures, here and in README.md
"""

import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
import golden
import shipped

GOLDEN = "size.txt"
HEAD = """Bytes of .text in the shipped object: architecture, formats, messages, calls.
# After a change that is meant: scripts/check-size.py --update
#"""
SLACK = 0.01
SHIPPED = [(arch, "all", "yes", "all") for arch in shipped.ARCHITECTURES]
FORMATS = {"intel-ept": "x86_64", "amd-npt": "x86_64", "arm-stage2": "aarch64", "riscv-gstage": "riscv64"}
DECODERS = {"intel-ept": "ept", "amd-npt": "npf", "arm-stage2": "arm", "riscv-gstage": "riscv"}
# Calls that a hypervisor gets along with: "partition" where memory never changes, "core" for a virtual machine
# that runs under it.
CALLS = {
    "core": ["create", "create_in", "destroy", "hw_regs", "map_linear", "map_alloc", "map_trap", "unmap",
             "protect", "map_linear_some", "map_alloc_some", "unmap_some", "protect_some",
             "handle_page_fault", "translate", "trap_cookie", "fault_resumes"],
    "partition": ["create_in", "hw_regs", "map_linear", "map_extents"],
}
# The same from an archive without all that can be left out.
LEAST = {"core-least": "core", "partition-least": "partition"}
WHAT = {"core": "bytes, core profile", "all": "bytes, everything, one format",
        "partition": "bytes, static partition", "core-least": "bytes, core profile, least",
        "partition-least": "bytes, static partition, least"}
with open(os.path.join(shipped.ROOT, "scripts", "common.sh"), encoding="ascii") as file:
    WITHOUT = re.search(r'^CAPABILITIES_KNOWN="(.*)"$', file.read(), re.M)[1]
GOALS = {"core": 24576, "all": 40960, "core-least": 24576, "partition-least": 12288}
GOALS_RISCV = {"core": 20480, "all": 34816, "core-least": 20480, "partition-least": 12288}


def calls_of(profile, formats):
    """The functions of a profile; of the decoders, that of the format."""
    calls = [f"axas_{call}" for call in CALLS[profile]]
    return calls + ([f"axas_fault_from_{DECODERS[formats]}"] if profile == "core" else [])


def text_bytes(arch, file):
    """Of all sections with code."""
    sections = [line.split() for line in shipped.run(shipped.tool(arch, "size"), "-A", file).splitlines()]
    sizes = [int(words[1]) for words in sections if words and words[0].split(".")[:2] == ["", "text"]]
    return sum(sizes) or sys.exit(f"{file}: no .text")


def measure(key):
    """Bytes of code; of a part those that it adds to everything."""
    arch, formats, messages, calls = key
    if calls in shipped.PARTS:
        return (text_bytes(arch, shipped.build(arch, formats, False, parts=calls)) -
                measure((arch, formats, messages, "all")))
    archive = shipped.build(arch, None if formats == "all" else formats, messages == "yes",
                            split=calls != "all", without=WITHOUT if calls in LEAST else "")
    if calls == "all":
        return text_bytes(arch, archive)
    with tempfile.TemporaryDirectory() as directory:
        rest = os.path.join(directory, "rest.o")
        shipped.run(shipped.tool(arch, "ld"), "-r", "--gc-sections", "-e", "0", "-o", rest,
                    *(f"--undefined={call}" for call in calls_of(LEAST.get(calls, calls), formats)), archive)
        return text_bytes(arch, rest)


def rows():
    """Every figure, and whether this compiler made the golden ones."""
    before, same = golden.read(GOLDEN, 4)
    measured = []
    for profile in WHAT:
        for formats, arch in FORMATS.items():
            key = arch, formats, "no", profile
            goals = GOALS_RISCV if formats == "riscv-gstage" else GOALS
            measured.append(golden.Row(key, WHAT[profile], golden.NAMES[formats], measure(key), before.get(key),
                                       goals.get(profile)))
    for part in shipped.PARTS:
        for formats, arch in FORMATS.items():
            key = arch, formats, "no", part
            measured.append(golden.Row(key, f"bytes, part {part}", golden.NAMES[formats], measure(key),
                                       before.get(key)))
    for key in SHIPPED:
        measured.append(golden.Row(key, "bytes, as make lib builds it", key[0], measure(key), before.get(key)))
    return measured, before, same


def show_largest(count):
    for formats, arch in FORMATS.items():
        print(f"{golden.NAMES[formats]}: the largest functions")
        archive = shipped.build(arch, formats, log=False, symbols=True)
        functions = shipped.Image(arch, archive).functions
        for name, size, _ in sorted(functions.values(), key=lambda function: -function[1])[:count]:
            print(f"    {size:6} {name}")


def main():
    arguments = sys.argv[1:]
    if "--list" in arguments:
        given = arguments[arguments.index("--list") + 1:][:1]
        show_largest(int(given[0]) if given and given[0].isdigit() else 30)
    measured, before, same = rows()
    updates = "--update" in arguments
    if updates:
        golden.write(GOLDEN, HEAD, measured)
    golden.show(measured)
    wrong = 0 if updates else golden.judge("check-size.py", measured, before, same, SLACK)
    shipped.readme(updates)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
