#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-instructions.py [--update]: instructions of the hot calls against c-tests/abi/instructions.txt.

Counted by callgrind, for one call or one page: every instruction between the entry of one of the library's
functions and its return, callbacks included (about 12 for a frame that is taken or given back), but not the
callback `released`. An instruction that repeats (rep stos, rep movs) counts once for each word or byte that it
writes. For each format alone without messages, built for x86-64; and EPT with the archive as it ships.
(NPT is left out: axas_create reads CR4, which no program may.) And each format with all parts. No clock is involved.

Each format with the log, ageing and merges, none of which runs, is compared with the same format without: a call may
take 2 % or 4 instructions more, but for those of DEARER, which has what they take.

Goals are for EPT alone: they are printed and fail nothing. A piece of work whose option the library does not
know is not available, and its goal is not met. Fails where a call takes 3 % more than the golden figure;
another compiler than the one that made the golden figures fails nothing.
  --update     make what was measured the golden figures, here and in README.md
"""

import glob
import os
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
import golden
import shipped

GOLDEN = "instructions.txt"
HEAD = """Instructions inside of the library for one page, or one call: format, piece of work.
# After a change that is meant: scripts/check-instructions.py --update
#"""
SLACK = 0.03
PARTS = " ".join(sorted({line.split()[0] for line in open(f"{shipped.ROOT}/link/parts", encoding="utf-8")
                         if line[0] != "#"}))
# Name of a set of rows -> (name for people, the format, what is built, with messages, with parts).
SETS = {
    "ept": ("EPT", "ept", "intel-ept", False, ""),
    "arm": ("Arm", "arm", "arm-stage2", False, ""),
    "riscv": ("RISC-V", "riscv", "riscv-gstage", False, ""),
    "shipped": ("EPT, shipped", "ept", None, True, ""),
    "ept-parts": ("EPT, all parts", "ept", "intel-ept", False, PARTS),
    "arm-parts": ("Arm, all parts", "arm", "arm-stage2", False, PARTS),
    "riscv-parts": ("RISC-V, all parts", "riscv", "riscv-gstage", False, PARTS),
}
# Parts that cost nothing while they do nothing: the log, ageing and merges. Name of a set of SETS -> the same with them.
WATCHING = "age dirty merge"
MORE, MORE_INSTRUCTIONS = 0.02, 4
# Calls that take more, and how many instructions: a fault on a page that allows the access looks at its dirty and its
# young bit, and keeps the place of the entry for the case that they are to be set.
DEARER = {"spurious_fault": 12}
# Of EPT alone.
GOALS = {
    "fault": 150,
    "map_one_page": 160,
    "unmap_one_page": 170,
    "translate": 80,
    "replace_linear_page": 350,
    "replace_lone_page": 350,
    "replace_owned_page": 350,
    "map_and_unmap_far_page": 4500,
    "pair_with_kept_tables": 400,
    "reserve_64g_aligned": 1500,
    "give_back_64g_aligned": 1500,
    "create_and_destroy": 1600,
    "released_contiguous_ratio": 1.5,
    "released_scattered_more": 40,
}


def count(directory, name, archive):
    """Instructions of each piece of work with a format; None for what the library does not know."""
    program = f"{directory}/hot_calls"
    shipped.run("cc", "-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-o", program,
                "c-tests/instructions/hot_calls.c", archive)
    for left in glob.glob(f"{directory}/counts*"):
        os.remove(left)
    times = shipped.run("valgrind", "--tool=callgrind", "--collect-atstart=no",
                        "--toggle-collect=axas_*", "--toggle-collect=note_released",
                        "--dump-after=prepare_*", "--dump-after=count_*",
                        f"--callgrind-out-file={directory}/counts", program, name)
    totals = {}
    for file in glob.glob(f"{directory}/counts.*"):
        with open(file, encoding="ascii") as counts:
            text = counts.read()
        if piece := re.search(r"^desc: Trigger: --dump-after=count_(\w+)$", text, re.M):
            totals[piece[1]] = int(re.search(r"^totals: (\d+)$", text, re.M)[1])
    figures = {}
    for line in times.splitlines():
        piece, often = line.split()
        if int(often) and not totals.get(piece):
            sys.exit(f"{name}: callgrind counted nothing for {piece}")
        figures[piece] = totals[piece] / int(often) if int(often) else None
    figures["released_contiguous_ratio"] = \
        figures["unmap_contiguous_released"] / figures["unmap_contiguous"]
    figures["released_scattered_more"] = \
        figures["unmap_scattered_released"] - figures["unmap_scattered"]
    return figures


def dearer(directory, name, figures):
    """What the calls of a set of SETS take more with the parts that watch, a line for each that takes too much."""
    people, format_name, built, messages, _ = SETS[name]
    archive = shipped.build("x86_64", built, messages, parts=WATCHING)
    watching = count(directory, format_name, archive)
    wrong = []
    most = 0, ""
    for piece, figure in figures.items():
        if figure is None or watching[piece] is None or piece.startswith("released_"):
            continue
        more = watching[piece] - figure
        most = max(most, (more, piece))
        if more > max(MORE * figure, MORE_INSTRUCTIONS, DEARER.get(piece, 0)) + 0.05:
            wrong.append(f"{piece}, {people}: {watching[piece]:.1f} with {WATCHING}, {figure:.1f} without")
    print(f"{people}: with {WATCHING}, none of which runs, {most[1]} takes most more, {most[0]:.1f} instructions")
    return wrong


# What rows() finds of calls that parts which do nothing make too dear.
too_dear = []


def rows():
    """Every figure, and whether this compiler made the golden ones."""
    if not shutil.which("valgrind"):
        sys.exit("no valgrind; run: apt-get install valgrind")
    before, same = golden.read(GOLDEN, 2)
    measured = []
    with tempfile.TemporaryDirectory() as directory:
        for name, (people, format_name, built, messages, parts) in SETS.items():
            archive = shipped.build("x86_64", built, messages, parts=parts)
            figures = count(directory, format_name, archive)
            if not parts and not messages:
                too_dear.extend(dearer(directory, name, figures))
            for piece, figure in figures.items():
                key = name, piece
                goal = GOALS.get(piece) if name == "ept" else None
                digits = 2 if piece.endswith("_ratio") else 1
                measured.append(golden.Row(key, f"instructions, {piece}", people, figure, before.get(key), goal,
                                           digits))
    missing = GOALS.keys() - {row.key[1] for row in measured}
    if missing:
        sys.exit(f"a goal for what is not counted: {', '.join(sorted(missing))}")
    return measured, before, same


def main():
    measured, before, same = rows()
    updates = "--update" in sys.argv[1:]
    if updates:
        golden.write(GOLDEN, HEAD, measured)
    golden.show(measured)
    wrong = 0 if updates else golden.judge("check-instructions.py", measured, before, same, SLACK)
    for line in too_dear:
        print(f"more than {MORE:.0%} or {MORE_INSTRUCTIONS} instructions more: {line}")
    shipped.readme(updates)
    sys.exit(1 if wrong or too_dear and same else 0)


if __name__ == "__main__":
    main()
