#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""docs-site.py sources|index: what the site in build/docs/html has besides Doxygen's pages.

sources  a page of each source file and directory that pages and reference link to: source/PATH.html, with
         an anchor L1, L2, ... at each line
index    search-data.js: the sections of all pages, their addresses and words, for docs/site/search.js
"""
import html
import html.parser
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SITE = ROOT / "build/docs/html"
SOURCES = ["include", "src", "examples", "c-tests", "LICENSE-MIT", "LICENSE-APACHE"]
STYLES = ["doxygen.css", "doxygen-awesome.css", "site.css"]

# --- sources -----------------------------------------------------------------------------------


def page(path, up, body):
    """A page in the site's colours; `up` leads to the site."""
    name = html.escape(str(path))
    head = "".join(f'<link rel="stylesheet" href="{up}{style}"/>' for style in STYLES)
    return (f'<!DOCTYPE html><html><head><meta charset="utf-8"/><title>{name}</title>{head}'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
            f'<script src="{up}doxygen-awesome-darkmode-toggle.js"></script></head><body>'
            f'<div class="contents"><p><a href="{up}index.html">axaddrspace</a></p><h1>{name}</h1>'
            f"{body}</div></body></html>\n")


def lines(text):
    return "".join(f'<span id="L{number}"><a href="#L{number}">{number}</a>{html.escape(line)}\n</span>'
                   for number, line in enumerate(text.splitlines(), 1))


def write_source(path):
    """Whether there is a page of the file, or of the directory and what is in it."""
    name = path.relative_to(ROOT)
    if path.name in ("build", "__pycache__", "target") or path.is_symlink():
        return False
    if path.is_dir():
        inside = [entry for entry in sorted(path.iterdir()) if write_source(entry)]
        entries = "".join(f'<li><a href="{entry.name}{"/index" if entry.is_dir() else ""}.html">'
                          f"{html.escape(entry.name)}</a></li>" for entry in inside)
        place, body = SITE / "source" / name / "index.html", f"<ul>{entries}</ul>"
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return False
        place, body = SITE / "source" / f"{name}.html", f'<pre class="source">{lines(text)}</pre>'
    place.parent.mkdir(parents=True, exist_ok=True)
    up = "../" * len(place.relative_to(SITE).parts[:-1])
    place.write_text(page(name, up, body), encoding="utf-8")
    return True


def sources():
    for name in SOURCES:
        write_source(ROOT / name)


# --- index -------------------------------------------------------------------------------------


class Sections(html.parser.HTMLParser):
    """The sections of a page of Doxygen's: each heading that has an anchor begins one."""
    VOID = {"br", "img", "hr", "input", "meta", "link", "col", "area", "base", "wbr"}
    LEFT_OUT = {"memberdecls", "toc", "permalink", "memproto", "ttc", "mlabels", "directory"}
    HEADINGS = {"h1", "h2", "h3", "h4"}

    def __init__(self, path):
        super().__init__()
        self.sections = []
        self.open, self.skipped, self.anchor = [], 0, ""
        self.title = self.heading = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        classes = set((values.get("class") or "").split())
        if tag == "a" and (values.get("id") or values.get("name")):
            self.anchor = values.get("id") or values.get("name")
        if tag in self.VOID:
            return
        left_out = self.skipped or classes & self.LEFT_OUT or tag in ("script", "style")
        self.open.append((tag, bool(left_out), "contents" in classes, "title" in classes))
        if left_out:
            self.skipped += 1
        elif tag in self.HEADINGS and self.inside():
            self.heading = ""

    def inside(self):
        return any(contents for _, _, contents, _ in self.open)

    def handle_endtag(self, tag):
        while self.open and tag not in self.VOID:
            was, left_out, _, _ = self.open.pop()
            self.skipped -= left_out
            if was == tag:
                break
        if tag in self.HEADINGS and self.heading is not None:
            self.sections.append([self.anchor, self.heading.strip(), ""])
            self.heading = None

    def handle_data(self, data):
        if self.skipped:
            return
        if any(title for *_, title in self.open):
            self.title = (self.title or "") + data
        elif self.heading is not None:
            self.heading += data
        elif self.inside():
            if not self.sections:
                self.sections.append(["", "", ""])
            self.sections[-1][2] += data


def index():
    found = []
    for path in sorted(SITE.glob("*.html")):
        parsed = Sections(path)
        name = " ".join((parsed.title or "").split())
        for anchor, title, text in parsed.sections:
            title, text = (" ".join(part.replace("◆\u00a0", "").split()) for part in (title, text))
            if title or text:
                found.append({"url": path.name + (f"#{anchor}" if anchor else ""), "title": title or name,
                              "page": name, "text": text})
    if not found:
        sys.exit("docs-site.py: no sections; run: make docs")
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    (SITE / "search-data.js").write_text(f"const SECTIONS = {text};\n", encoding="utf-8")


def main():
    parts = {f.__name__: f for f in (sources, index)}
    if len(sys.argv) != 2 or sys.argv[1] not in parts:
        sys.exit(__doc__)
    parts[sys.argv[1]]()


if __name__ == "__main__":
    main()
