#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""bench-runs.py DIRECTORY...: the targets of several runs of `make bench`, met or not in the median of them.

A target is met where the median of figure by bound is at most 1 (at least 1 where the target says so). Reads
targets.csv of each directory; prints Markdown.
"""

import csv
import statistics
import sys


def read(directory):
    with open(f"{directory}/targets.csv", encoding="utf-8", newline="") as file:
        return {(row["workload"], row["subject"], row["target"]): row for row in csv.DictReader(file)}


def share(row):
    """Of the bound; 0 of 0 is as it should be."""
    figure, bound = float(row["figure"]), float(row["bound"])
    if bound == 0:
        return 1.0 if figure == 0 else float("inf")
    return figure / bound


def main():
    runs = [read(directory) for directory in sys.argv[1:]]
    if not runs:
        sys.exit("usage: bench-runs.py DIRECTORY...")
    if any(run.keys() != runs[0].keys() for run in runs):
        sys.exit("the runs have different targets")
    met, lines = 0, []
    for key in runs[0]:
        shares = [share(run[key]) for run in runs]
        middle = statistics.median(shares)
        is_met = middle >= 1 if key[2].startswith("at least") else middle <= 1
        met += is_met
        lines.append(f"| {key[0]}, {key[1]} | {key[2]} | {' '.join(f'{value:.2f}' for value in shares)} "
                     f"| {middle:.2f} | {'met' if is_met else 'not met'} |")
    print(f"Targets: {met} of {len(lines)} met in the median of {len(runs)} runs one after another.\n")
    print("| workload, subject | target | figure by bound, by run | median | verdict |\n|---|---|---|---:|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
