#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-instructions.py [--update]: instructions of the hot calls against c-tests/abi/instructions.txt.

Counted by callgrind, for one call or one page: every instruction between the entry of one of the library's
functions and its return, callbacks included (about 12 for a frame that is taken or given back), but not the
callback `released`. An instruction that repeats (rep stos, rep movs) counts once for each word or byte that it
writes. For each format alone without messages, built for x86-64; and EPT with the archive as it ships.
(NPT is left out: axas_create reads CR4, which no program may.) What a part adds is counted in an archive with that
part. No clock is involved.

Goals are for EPT alone: they are printed and fail nothing. A piece of work whose option the library does not
know is not available, and its goal is not met. Fails where a call takes 3 % more than the golden figure;
another compiler than the one that made the golden figures fails nothing.
  --update     make what was measured the golden figures
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
# Name of a set of rows -> (name for people, the format, what is built, with messages).
SETS = {
    "ept": ("EPT", "ept", "intel-ept", False),
    "arm": ("Arm", "arm", "arm-stage2", False),
    "riscv": ("RISC-V", "riscv", "riscv-gstage", False),
    "shipped": ("EPT, shipped", "ept", None, True),
}
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


# Pieces of work with this word in their names need the part of the same name.
PART = "transfer"


def count(directory, name, archive, part=None):
    """Instructions of each piece of work with a format; None for what the library does not know. With a part only the
    pieces of that."""
    program = f"{directory}/hot_calls"
    shipped.run("cc", "-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-o", program,
                *([f"-D{part.upper()}"] if part else []), "c-tests/instructions/hot_calls.c", archive)
    for left in glob.glob(f"{directory}/counts*"):
        os.remove(left)
    times = shipped.run("valgrind", "--tool=callgrind", "--collect-atstart=no",
                        "--toggle-collect=axas_*", "--toggle-collect=note_released",
                        "--dump-after=prepare_*", "--dump-after=count_*",
                        f"--callgrind-out-file={directory}/counts", program, name,
                        *([part] if part else []))
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
    if part:
        return {piece: figure for piece, figure in figures.items() if part in piece}
    figures["released_contiguous_ratio"] = \
        figures["unmap_contiguous_released"] / figures["unmap_contiguous"]
    figures["released_scattered_more"] = \
        figures["unmap_scattered_released"] - figures["unmap_scattered"]
    return figures


def rows():
    """Every figure, and whether this compiler made the golden ones."""
    if not shutil.which("valgrind"):
        sys.exit("no valgrind; run: apt-get install valgrind")
    before, same = golden.read(GOLDEN, 2)
    measured = []
    with tempfile.TemporaryDirectory() as directory:
        for name, (people, format_name, built, messages) in SETS.items():
            archive = shipped.build("x86_64", built, messages)
            figures = count(directory, format_name, archive)
            if not messages:
                archive = shipped.build("x86_64", built, messages, parts=PART)
                figures |= count(directory, format_name, archive, PART)
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
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
