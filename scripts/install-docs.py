#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""install-docs.py DIRECTORY HEADER: put the documents and examples into DIRECTORY, for readers who have an
installation and no sources. Links to the header lead to HEADER; a link to what only the sources have
becomes its text.
"""

import os
import pathlib
import re
import shutil
import sys

sys.dont_write_bytecode = True
from markdown import LINK, without_code  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE_HEADER = ROOT / "include/axaddrspace.h"
DOCUMENTS = ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY-LICENSES",
             "docs/**/*.md", "docs/**/*.svg", "docs/**/*.csv", "docs/**/*.h", "examples/**/*"]


def documents():
    found = {path for pattern in DOCUMENTS for path in ROOT.glob(pattern) if path.is_file()}
    return {path for path in found if "build" not in path.relative_to(ROOT).parts}


def for_readers(page, found, header):
    """A page whose links lead to what is installed."""
    text = page.read_text(encoding="utf-8")
    known = found | {directory for path in found for directory in path.parents}
    pieces, at = [], 0
    for link in re.finditer(LINK, without_code(text)):
        target, mark, anchor = link[2].partition("#")
        to = (page.parent / target).resolve()
        if not target or re.match(r"[a-z]+:", target) or to in known:
            continue
        shown = text[link.start(1):link.end(1)]
        if text[:link.start()].endswith("!"):
            sys.exit(f"install-docs.py: {page}: the picture {target} is not installed")
        if to == SOURCE_HEADER:
            shown = f"[{shown}]({header}{mark}{anchor})"
        pieces += [text[at:link.start()], shown]
        at = link.end()
    return "".join(pieces) + text[at:]


def main():
    directory, installed_header = (pathlib.Path(argument) for argument in sys.argv[1:])
    found = documents()
    for path in sorted(found):
        place = directory / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            header = os.path.relpath(installed_header, place.parent)
            place.write_text(for_readers(path, found, header), encoding="utf-8")
        else:
            shutil.copyfile(path, place)
        place.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    for place in [directory, *directory.rglob("*/")]:
        place.chmod(0o755)
    print(f"{directory}: {len(found)} documents")


if __name__ == "__main__":
    main()
