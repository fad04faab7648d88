#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-parity.py: each row of docs/parity.md has a test, and each test it names is one that runs."""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
page = (root / "docs/parity.md").read_text()
NAMED = re.compile(r"`((?:c-tests|tests)/[\w/.-]+\.(?:c|rs)):(\w+)`")


def runs(file: pathlib.Path, name: str) -> bool:
    """A C test is defined and in its group's list; a Rust test has the attribute."""
    text = file.read_text()
    if file.suffix == ".rs":
        return re.search(rf"#\[test\]\s+fn {name}\(\)", text) is not None
    defined = re.search(rf"^static void {name}\(void \*\*state\)", text, re.M)
    listed = re.search(rf"\b{name}\b", text.split("int main(void)")[-1])
    return bool(defined and listed)


wrong = []
for file, name in sorted(set(NAMED.findall(page))):
    if not (root / file).is_file():
        wrong.append(f"{file} is not there")
    elif not runs(root / file, name):
        wrong.append(f"{file} runs no test {name}")

rows = [line for line in page.splitlines() if line.startswith("|")]
rows = [row for row in rows if not re.match(r"\|(-+\|)+$|\| (#|there|wish) \|", row)]
wrong += [f"no test in the row: {row[:100]}" for row in rows if not NAMED.search(row)]

numbers = {int(row.split("|")[1]) for row in rows if row.split("|")[1].strip().isdigit()}
wrong += [f"behaviour {n} has no row" for n in range(1, 26) if n not in numbers]

for line in wrong:
    print(f"docs/parity.md: {line}", file=sys.stderr)
print(f"docs/parity.md: {len(rows)} rows, {len(set(NAMED.findall(page)))} tests")
sys.exit(1 if wrong else 0)
