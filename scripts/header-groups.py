#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""header-groups.py HEADER: put a heading, a group for Doxygen, above the functions of each topic."""
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from topics import DECLARED, TOPICS, topic_of  # noqa: E402


def main():
    header = Path(sys.argv[1])
    titles = {topic: (title, re.sub(r":? see @ref \w+", "", about)) for topic, title, about, _ in TOPICS}
    lines, seen, comment = [], [], 0
    for line in header.read_text(encoding="ascii").splitlines():
        if line == "/**":
            comment = len(lines)
        lines.append(line)
        match = DECLARED.match(line)
        if not match or not (name := match[5]) or name.startswith("axas_hal_"):
            continue
        topic = topic_of(name)
        if topic in seen[:-1]:
            sys.exit(f"{name} stands apart from the other functions of its topic, {topic}")
        if topic not in seen:
            title, about = titles[topic]
            lines[comment:comment] = ["/**", f" * @defgroup {topic} {title}", f" * {about}", " */", ""]
            seen.append(topic)
    header.write_text("\n".join(lines) + "\n", encoding="ascii")


main()
