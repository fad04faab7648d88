#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""unsafe.py [--list]: the unsafe blocks, functions and implementations of src/, counted by file or listed with their
reasons. Fails where a block has no SAFETY comment before it. Models (src/model) are in no archive and left out."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
KINDS = {
    "block": re.compile(r"\bunsafe \{"),
    "function": re.compile(r"\bunsafe (extern \"C\" )?fn \w"),
    "implementation": re.compile(r"\bunsafe (impl|trait)\b"),
}
MOST_LINES = 14  # between a comment and the block that it is for


def code(line):
    """The line without its comment and texts."""
    return re.sub(r'"[^"]*"', lambda text: '"C"' if text[0] == '"C"' else '""', line).split("//")[0]


def reason(lines, number):
    """The SAFETY comment that ends closest before a line, on one line."""
    for first in range(number, max(number - MOST_LINES, -1), -1):
        found = re.search(r"// SAFETY: (.*)", lines[first])
        if found:
            text = [found[1]]
            for line in lines[first + 1 : number]:
                more = re.match(r"\s*// (.*)", line)
                if not more:
                    break
                text.append(more[1])
            return " ".join(text)
    return None


def main():
    found, silent = [], []
    for path in sorted((ROOT / "src").rglob("*.rs")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("src/model/"):
            continue
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            for kind, pattern in KINDS.items():
                for _ in pattern.finditer(code(line)):
                    why = reason(lines, number)
                    found.append((name, number + 1, kind, why))
                    if kind != "function" and why is None:
                        silent.append(f"{name}:{number + 1}")
    if "--list" in sys.argv[1:]:
        for name, number, kind, why in found:
            # What a function asks of its callers is in its documentation.
            print(f"{name}:{number}: {kind}" + (f": {why}" if why and kind != "function" else ""))
    else:
        for name in dict.fromkeys(entry[0] for entry in found):
            counts = (sum(entry[0] == name and entry[2] == kind for entry in found) for kind in KINDS)
            print(f"{name:32}" + "".join(f"{count:5}" for count in counts))
        counts = (sum(entry[2] == kind for entry in found) for kind in KINDS)
        print(f"{'blocks, functions, implementations':32}" + "".join(f"{count:5}" for count in counts))
    for place in silent:
        print(f"error: {place} has no SAFETY comment", file=sys.stderr)
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
