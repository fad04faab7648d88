#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-instructions.py [--update]: instructions of the hot calls against c-tests/abi/instructions.txt.

Counted by callgrind inside of the library's functions, callbacks included (c-tests/instructions): EPT with
the archive as it ships for bare metal, Arm and RISC-V with the same built for their formats. (NPT is left out:
axas_create reads CR4, which no program may.) No clock is involved. Fails where a call takes 3 % more than
the golden figure; 15 % with another compiler than the one that made the golden figures.
  --update     make what was measured the golden figures
"""

import glob
import os
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
import shipped

GOLDEN = "instructions.txt"
OTHERS = "arm-stage2,riscv-gstage"
FORMATS = {"ept": None, "arm": OTHERS, "riscv": OTHERS}  # None: what ships
SLACK, SLACK_OTHER_COMPILER = 0.03, 0.15


def compiler_version():
    """Of the compiler that set-up chose for bare metal."""
    with open(f"{shipped.ROOT}/build/toolchain.env", encoding="utf-8") as file:
        chosen = re.search(r"^BARE_CARGO=.*?RUSTC=([^\\ ]+)", file.read(), re.M)
    return shipped.run(chosen[1] if chosen else "rustc", "--version").strip()


def head(compiler):
    return (f"# Instructions inside of the library for one page, or one call, of {compiler}.\n"
            "# After a change that is meant: scripts/check-instructions.py --update\n#\n"
            "# format  piece of work             instructions\n")


def count(directory, name, archive):
    """Instructions of each piece of work with a format."""
    program = f"{directory}/hot_calls"
    shipped.run("cc", "-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-o", program,
                "c-tests/instructions/hot_calls.c", archive)
    for left in glob.glob(f"{directory}/counts*"):
        os.remove(left)
    times = shipped.run("valgrind", "--tool=callgrind", "--collect-atstart=no",
                        "--toggle-collect=axas_*", "--dump-after=count_*",
                        f"--callgrind-out-file={directory}/counts", program, name)
    totals = {}
    for file in glob.glob(f"{directory}/counts.*"):
        with open(file, encoding="ascii") as counts:
            text = counts.read()
        piece = re.search(r"^desc: Trigger: --dump-after=count_(\w+)$", text, re.M)[1]
        totals[piece] = int(re.search(r"^totals: (\d+)$", text, re.M)[1])
    figures = {}
    for line in times.splitlines():
        piece, often = line.split()
        if not totals.get(piece):
            sys.exit(f"{name}: callgrind counted nothing for {piece}")
        figures[piece] = totals[piece] / int(often)
    return figures


def measure():
    """Instructions by format and piece of work."""
    figures = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, built in FORMATS.items():
            archive = shipped.build("x86_64", built)
            for piece, figure in count(directory, name, archive).items():
                figures[name, piece] = figure
    return figures


def row(key, figure):
    return f"{key[0]:8}  {key[1]:24}  {figure:10.1f}"


def compare(figures, golden, slack):
    """Prints every figure beside its golden one; returns how many are wrong."""
    failures = 0
    for key, figure in figures.items():
        before = golden.get(key)
        verdict = "no golden figure" if before is None else f"golden {before}"
        if before is None or figure > before * (1 + slack) + 0.1:
            failures += 1
            verdict += ": TOO MANY"
        elif figure < before * (1 - slack) - 0.1:
            verdict += ": fewer, --update keeps it so"
        print(f"{row(key, figure)}  ({verdict})")
    for key in golden.keys() - figures.keys():
        failures += 1
        print(f"{' '.join(key)}: not counted any more")
    return failures


def main():
    if not shutil.which("valgrind"):
        sys.exit("no valgrind; run: apt-get install valgrind")
    compiler = compiler_version()
    figures = measure()
    path = f"{shipped.ROOT}/c-tests/abi/{GOLDEN}"
    if "--update" in sys.argv[1:]:
        rows = [row(key, figure) + "\n" for key, figure in figures.items()]
        with open(path, "w", encoding="ascii") as file:
            file.write(head(compiler) + "".join(rows))
        return
    slack = SLACK
    with open(path, encoding="ascii") as file:
        if compiler not in file.read():
            slack = SLACK_OTHER_COMPILER
            print(f"{compiler} did not make the golden figures: {slack:.0%} more are allowed")
    golden = {tuple(words[:2]): float(words[2]) for words in shipped.read_golden(GOLDEN)}
    failures = compare(figures, golden, slack)
    if failures:
        sys.exit(f"{failures} figures are wrong; if that is meant: scripts/check-instructions.py --update")


if __name__ == "__main__":
    main()
