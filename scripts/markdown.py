# SPDX-License-Identifier: MIT OR Apache-2.0
"""What check-docs.py and install-docs.py read in a page."""

import re

# A link or picture: its text, its target.
LINK = r"\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s]+)\)"


def without_code(text):
    """A page with its fenced blocks, then its code spans, blanked; places stay."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())

    text = re.sub(r"^ *(```|~~~).*?^ *\1", blank, text, flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", blank, text)
