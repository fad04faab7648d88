# SPDX-License-Identifier: MIT OR Apache-2.0
"""Figures of check-size.py and check-instructions.py beside golden ones and goals: a golden figure is what the
committed library has and may not grow, a goal is what it should reach."""

import re
import sys
from dataclasses import dataclass

sys.dont_write_bytecode = True
import shipped

NAMES = {"intel-ept": "EPT", "amd-npt": "NPT", "arm-stage2": "Arm", "riscv-gstage": "RISC-V"}


@dataclass
class Row:
    """One figure. A figure of None: the library does not know what is asked for."""
    key: tuple
    what: str
    format: str
    figure: float | None
    golden: float | None = None
    goal: float | None = None
    digits: int = 0

    def text(self, figure):
        return "-" if figure is None else f"{figure:.{self.digits}f}"

    def met(self):
        return self.figure is not None and self.figure <= self.goal

    def cells(self):
        figure = "not available" if self.figure is None else self.text(self.figure)
        verdict = "" if self.goal is None else "met" if self.met() else "not met"
        return [self.what, self.format, figure, self.text(self.golden), self.text(self.goal), verdict]


def compiler_version():
    """Of the compiler that set-up chose for bare metal."""
    with open(f"{shipped.ROOT}/build/toolchain.env", encoding="utf-8") as file:
        chosen = re.search(r"^BARE_CARGO=.*?RUSTC=([^\\ ]+)", file.read(), re.M)
    return shipped.run(chosen[1] if chosen else "rustc", "--version").strip()


def read(name, key_words):
    """The golden figures of a list by the first words of their lines, and whether this compiler made them."""
    with open(f"{shipped.ROOT}/c-tests/abi/{name}", encoding="ascii") as file:
        same = compiler_version() in file.read()
    rows = shipped.read_golden(name)
    return {tuple(row[:key_words]): float(row[key_words]) for row in rows}, same


def write(name, head, rows):
    """Makes the figures the golden ones."""
    width = max(len("  ".join(row.key)) for row in rows)
    lines = [f"{'  '.join(row.key):{width}}  {row.text(row.figure):>10}\n" for row in rows
             if row.figure is not None]
    with open(f"{shipped.ROOT}/c-tests/abi/{name}", "w", encoding="ascii") as file:
        file.write(f"# {head} Compiler: {compiler_version()}.\n" + "".join(lines))


def show(rows):
    """One table, readable as Markdown too, and how many goals are met."""
    table = [["figure of", "format", "is", "golden", "goal", "verdict"]] + [row.cells() for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(6)]
    table.insert(1, ["-" * widths[0], "-" * widths[1]] + ["-" * (width - 1) + ":" for width in widths[2:]])
    for line in table:
        cells = (f"{cell:<{width}}" if place < 2 else f"{cell:>{width}}"
                 for place, (cell, width) in enumerate(zip(line, widths)))
        print("| " + " | ".join(cells) + " |")
    goals = [row for row in rows if row.goal is not None]
    if goals:
        print(f"\n{sum(row.met() for row in goals)} of {len(goals)} goals met")


def grown(rows, golden, slack):
    """What is wrong beside the golden figures, a line for each."""
    wrong = []
    for row in rows:
        name = f"{row.what}, {row.format}"
        if row.figure is None:
            if row.golden is not None:
                wrong.append(f"{name}: not available any more")
        elif row.golden is None:
            wrong.append(f"{name}: no golden figure")
        elif row.figure > row.golden * (1 + slack) + 0.5 * 10 ** -row.digits:
            wrong.append(f"{name}: {row.text(row.figure)}, golden {row.text(row.golden)}: more than {slack:.0%} more")
    wrong += [f"{' '.join(key)}: not measured any more" for key in golden.keys() - {row.key for row in rows}]
    return wrong


def judge(script, rows, golden, same, slack):
    """Prints what has grown; with the compiler of the golden figures the number of such rows counts."""
    wrong = grown(rows, golden, slack)
    for line in wrong:
        print(line)
    less = sum(row.figure is not None and row.golden is not None and row.figure < row.golden * (1 - slack)
               for row in rows)
    if less:
        print(f"{less} figures are lower than the golden ones by more than {slack:.0%}: scripts/{script} --update")
    if not same:
        print(f"{script}: {compiler_version()} did not make the golden figures: nothing fails by them")
        return 0
    if wrong:
        print(f"{len(wrong)} figures are wrong; if that is meant: scripts/{script} --update")
    return len(wrong)
