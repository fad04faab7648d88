#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""header-groups.py HEADER: put the functions of each topic together, below a heading, a group for Doxygen; write
the constants as src/abi/constants.rs does: bits in hexadecimal, what is negative in parentheses."""
import re
import sys
import textwrap
from pathlib import Path

sys.dont_write_bytecode = True
from topics import DECLARED, ORDER, TOPICS, topic_of  # noqa: E402


CONSTANTS = Path(__file__).resolve().parent.parent / "src/abi/constants.rs"


def constants(text):
    """cbindgen writes each value in decimal."""
    for name, value in re.findall(r"^pub const (AXAS_\w+): \w+ = (0x[0-9a-f_]+?|-\d+)(?:_u32)?;$",
                                  CONSTANTS.read_text(encoding="ascii"), re.MULTILINE):
        value = value.replace("_", "")
        plain = re.search(rf"^#define {name} ({int(value, 0)})(u|ull|)$", text, re.MULTILINE)
        if not plain:
            sys.exit(f"{name} is not {value} in the header")
        new = f"({value})" if value.startswith("-") else value + plain[2]
        text = text[:plain.start(1)] + new + text[plain.end():]
    return text


def main():
    header = Path(sys.argv[1])
    lines = constants(header.read_text(encoding="ascii")).splitlines()
    functions, comment = [], 0  # (topic, first line, line behind the last)
    for number, line in enumerate(lines):
        if line == "/**":
            comment = number
        match = DECLARED.match(line)
        if match and (name := match[5]) and not name.startswith("axas_hal_"):
            functions.append((topic_of(name), comment, lines.index("", number)))
    for (_, _, end), (_, first, _) in zip(functions, functions[1:]):
        if first != end + 1:
            sys.exit(f"between functions: {lines[end + 1]}")
    titles = {topic: (title, re.sub(r":? see @ref \w+", "", about)) for topic, title, about, _ in TOPICS}
    grouped = []
    for topic in ORDER:
        own = [lines[first:end + 1] for at, first, end in functions if at == topic]
        if own:
            title, about = titles[topic]
            lined = [f" * {line}" for line in textwrap.wrap(about, 108)]
            grouped += ["/**", f" * @defgroup {topic} {title}", *lined, " */", "", *sum(own, [])]
    lines[functions[0][1]:functions[-1][2] + 1] = grouped
    header.write_text("\n".join(lines) + "\n", encoding="ascii")


main()
