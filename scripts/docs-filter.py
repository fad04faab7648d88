#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""docs-filter.py FILE: print FILE as Doxygen should read it, line for line.

The Markdown of this repository is that of a Git forge: links to files and headings, code in
headings. Doxygen wants labels; a link to a file that is no page leads to the page that docs-site.py makes of
it. In the header only the functions are under topics, because cbindgen orders the rest by kind; here each of its items is
put under one, with links to where it is declared and, a function, where it is written, and the statuses that
it returns become a list.
"""
import glob
import html
import os
import re
import sys

sys.dont_write_bytecode = True
from topics import DECLARED, ORDER, TOPICS, topic_of  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INDEX = "docs/README.md"
HEADER = "include/axaddrspace.h"
FIGURES = "docs/bench/"  # what benchmarks printed, not pages
LINKED = ("include", "src", "examples", "c-tests", "LICENSE-MIT", "LICENSE-APACHE")  # as docs-site.py has them


def fail(message):
    sys.exit(f"docs-filter.py: {message}")


def declared(lines):
    """The names that a header declares."""
    return {name for line in lines if (match := DECLARED.match(line)) for name in match.groups() if name}


def linked(text, known):
    """A text with a link at each name."""
    return re.sub(r"\w+", lambda m: f'@ref {m[0]} "{m[0]}"' if m[0] in known else m[0], text)


def written():
    """Where each function of the interface stands in the Rust sources."""
    places = {}
    for path in sorted(glob.glob(os.path.join(ROOT, "src/ffi/**/*.rs"), recursive=True)):
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if match := re.match(r'pub (?:unsafe )?extern "C" fn (axas_\w+)', line):
                    places[match[1]] = os.path.relpath(path, ROOT), number
    return places


def place(path, number):
    return f'<a href="source/{path}.html#L{number}">{path}:{number}</a>'


def list_statuses(lines):
    """A list of the statuses or verdicts that a comment separates by semicolons, line for line."""
    inside = []
    for number, line in enumerate(lines):
        if inside and re.match(r" \*(/|$| @)", line):
            text = "\n".join(lines[inside[0]:number])
            items = re.split(r";(?=\s+(?:\* +)?AXAS_(?:OK|ERR_\w+|FAULT_\w+)\b:)", text)
            if len(items) > 1:
                items[0] = items[0].replace("@return ", "@return <ul><li>")
                text = "</li>".join([items[0], *(re.sub("AXAS_", "<li>AXAS_", item, count=1) for item in items[1:])])
                lines[inside[0]:number] = (text + "</li></ul>").split("\n")
            inside = []
        if line.startswith(" * @return "):
            inside = [number]


def header(lines):
    """Topics for a header: @ingroup in the comment above each name, all topics at the end."""
    first, last = lines.index("/*"), lines.index(" */")
    lines[first] = "/** @file"
    used = set()
    known = declared(lines)
    places = written()
    list_statuses(lines)
    comment = None  # the end of the comment above the current line
    for number, line in enumerate(lines):
        if " @defgroup " in line:  # with all topics at the end
            end = lines.index(" */", number) + 1
            lines[number - 1:end] = [""] * (end - number + 1)
            continue
        if re.match(r"\s*(/\*)?\*", line):
            line = re.sub(r"#(?=\w)", r"\\#", line)
            lines[number] = "`".join(linked(text, known) if part % 2 == 0 else text
                                     for part, text in enumerate(line.split("`")))
        if number <= last:
            continue
        if line == " */" or re.match(r"/\*\* .* \*/$", line):
            comment = number
        elif (match := DECLARED.match(line)) and comment:
            name = next(name for name in match.groups() if name)
            topic = topic_of(name)
            stands = [place(HEADER, number + 1)] + ([place(*places[name])] if name in places else [])
            lines[comment] = (f'{lines[comment][:-2]}<div class="sources">{", ".join(stands)}</div> '
                              f"@ingroup {topic} */")
            used.add(topic)
            comment = None
    for name in ORDER:
        topic, title, about, _ = next(topic for topic in TOPICS if topic[0] == name)
        if topic in used:
            lines.append(f"/** @defgroup {topic} {title}\n * {about}\n */")
    return lines


def slug(heading):
    """The anchor that Git forges give a heading."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def label_of(path):
    if path == "README.md":
        return "mainpage"
    return "page_" + re.sub(r"\W", "_", path[: -len(".md")]).lower()


def in_site(path):
    top = path.split("/")[0]
    return path.endswith(".md") and (top in ("docs", "examples", "c-tests") or top == path) \
        and not path.startswith(FIGURES) and os.path.exists(os.path.join(ROOT, path))


def link(path, text, target, subpages):
    """A link as Doxygen wants it."""
    if re.match(r"[a-z]+:", target):
        return f"[{text}]({target})"
    file, _, anchor = target.partition("#")
    file = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
    if os.path.isdir(os.path.join(ROOT, file)) and in_site(f"{file}/README.md"):
        file += "/README.md"
    text = text.replace("\0", "\1")  # no links in the text of a link
    if not in_site(file):
        if not file.startswith(LINKED):
            return text
        return f"[{text}](source/{file}{'/index' if os.path.isdir(os.path.join(ROOT, file)) else ''}.html)"
    label = label_of(file)
    if anchor:
        label += "_" + anchor.replace("-", "_")
    elif path == INDEX and file not in subpages and label != "mainpage":
        subpages.add(file)
        return f'@subpage {label} "{re.sub("[`*]", "", text)}"'
    return f"[{text}](@ref {'index' if label == 'mainpage' else label})"


CODE = re.compile(r"(`+)(.+?)\1")
LINK = re.compile(r"(?<!!)\[((?:[^][]|\[[^]]*\])+)\]\(([^)\s]+)\)")


def inline(path, line, subpages, names):
    """Links for Doxygen, those of the Markdown and one at each name of the interface."""
    spans = []

    def keep(match):
        spans.append(match.group(2))
        return f"\0{len(spans) - 1}\0"

    line = CODE.sub(keep, line)
    line = LINK.sub(lambda m: link(path, m.group(1), m.group(2), subpages), line)
    line = re.sub(r"@(?!ref|subpage)|#(?=\w)", r"\\\g<0>", line)

    def put(match):
        mark, number = match.groups()
        span = spans[int(number)]
        if mark == "\1" or not any(name in names for name in re.findall(r"\w+", span)):
            if not re.search(r"(?<!\w)::", span):
                return f"`{span}`"
        span = re.sub(r"(?<!\w)::", r"\\::", html.escape(span, quote=False))
        return f"<code>{linked(span, names)}</code>"

    return re.sub("([\0\1])(\\d+)[\0\1]", put, line)


def markdown(path, lines):
    fence = None
    seen = {}
    subpages = set()
    with open(os.path.join(ROOT, HEADER), encoding="utf-8") as file:
        names = declared(file)
    for number, line in enumerate(lines):
        if fence:
            if line.strip() == fence:
                fence = None
        elif match := re.match(r"\s*(```+|~~~+)(\w*)", line):
            fence = match.group(1)
            lines[number] = re.sub(r"```console|```text|```sh", "```", line)
        elif match := re.match(r"(#+) (.*)", line):
            marks, title = match.groups()
            text = re.sub(r"[`]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title))
            if marks == "#":
                label = label_of(path)
            else:
                anchor = slug(title)
                count = seen[anchor] = seen.get(anchor, -1) + 1
                anchor += f"-{count}" if count else ""
                label = label_of(path) + "_" + anchor.replace("-", "_")
            lines[number] = f"{marks} {text} {{#{label}}}"
        elif not line.startswith("    "):
            lines[number] = inline(path, line, subpages, names)
    return lines


def main():
    path = os.path.relpath(os.path.abspath(sys.argv[1]), ROOT)
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        lines = file.read().split("\n")
    print("\n".join(header(lines) if path.endswith(".h") else markdown(path, lines)), end="")


if __name__ == "__main__":
    main()
