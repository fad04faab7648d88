#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""docs-filter.py FILE: print FILE as Doxygen should read it, line for line.

The Markdown of this repository is that of a Git forge: links to files and headings, code in
headings. Doxygen wants labels; a link to a file that is no page leads to the page that docs-site.py makes of
it. The header has no topics of its own, because cbindgen orders it by kind; here each of its items is
put under one, with links to where it is declared and, a function, where it is written, and the statuses that
it returns become a list.
"""
import glob
import html
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INDEX = "docs/README.md"
HEADER = "include/axaddrspace.h"
FIGURES = "docs/bench/"  # what benchmarks printed, not pages
LINKED = ("include", "src", "examples", "c-tests", "LICENSE-MIT", "LICENSE-APACHE")  # as docs-site.py has them

# Topic, title, what it is about, and the names that belong to it: the first pattern that fits.
TOPICS = [
    ("status", "Statuses, version, log", "What every call returns, and what the archive says of itself.",
     r"axas_status|AXAS_OK|AXAS_ERR_|axas_version|AXAS_VERSION|axas_set_logger|axas_log_fn|AXAS_MUST_USE"),
    ("slices", "Long operations in slices", "The same operations with a budget, for ranges that take long.",
     r"axas_\w+_some$"),
    ("faults", "Page faults", "From the registers of a fault to a verdict: see @ref page_docs_concepts.",
     r"axas_fault|AXAS_FAULT_|AXAS_KIND_|AXAS_VALID_|AXAS_IS_|axas_handle_page_fault|axas_trap_cookie"),
    ("looking", "Looking", "What stands where, and whether the tables are sound.",
     r"axas_translate|axas_query|axas_for_each$|axas_dump|axas_stats|axas_audit|axas_mapping_t|AXAS_STATE_"
     r"|axas_run_fn|axas_write_fn"),
    ("memory", "A guest's memory", "The host's way to a guest's bytes, page by page and checked.",
     r"axas_(read|write|fill)(_u\d+)?$|axas_for_each_chunk|axas_chunk_fn|AXAS_ACCESS_"),
    ("host", "The host's callbacks", "What a hypervisor supplies: see @ref page_docs_hal.",
     r"axas_hal_t|AXAS_HAL_|axas_\w+_frame_fn|axas_\w+_fn$|AXAS_FRAME_|axas_tlb_request_t|AXAS_FLUSH_"
     r"|AXAS_SCOPE_"),
    ("arena", "Arena", "Frames for a host that has no allocator.", r"axas_arena|AXAS_ARENA_"),
    ("frames", "Frames for the host's own use", "For vCPU state, bitmaps and rings: taken from the callbacks of a space.", r"axas_frame_"),
    ("devices", "Device ranges", "MMIO, ports and system registers of emulated devices.",
     r"(?i)axas_(mmio|port|sysreg|width)"),
    ("dirty", "Dirty and accessed pages", "Which pages a guest wrote or used.", r"(?i)axas_(dirty|age)"),
    ("mapping", "Mapping", "What stands in a space: frames of the host, memory of the library's, traps.",
     r"axas_map|axas_unmap|axas_protect|axas_populate|axas_discard|axas_collect|axas_merge|axas_extent_t|axas_flags_t"
     r"|AXAS_(READ|WRITE|EXECUTE|USER|DEVICE\w*|UNCACHED|WRITE_\w+|POPULATE|NO_HUGE\w*|MAX_2M|HUGE_FRAMES"
     r"|REPLACE|NEED_LAZY)$"),
    ("life", "Life cycle", "Making a space, what to load into the hardware, taking it down.",
     r"axas_create|axas_destroy|axas_clear|axas_set_vmid|axas_(base|size|levels|root|contains_range)$"
     r"|axas_hw_regs|axas_config_regs|axas_tables_needed|axas_config_t|axas_t$|axas_[gh]pa_t|AXAS_HPA_INVALID|AXAS_PAGE_SIZE"
     r"|AXAS_FORMAT_|AXAS_FEATURE_|AXAS_NEEDS_|AXAS_STORAGE_"
     r"|AXAS_(CALLER_LOCKED|SMALL_EXEC|KEEP_TABLES|IGNORE_GUEST_PAT|FRAMES_ARE_ZEROED|NO_ZERO|NONCOHERENT_WALK|NO_WAIT)$"),
]

# Order of the topics in the site.
ORDER = ["life", "mapping", "faults", "looking", "memory", "slices", "host", "arena", "frames",
         "devices", "dirty", "status"]

DECLARED = re.compile(
    r"^#define (AXAS_\w+)|^typedef struct (axas_\w+)|^typedef \w[\w ]*\*?\(\*(axas_\w+)\)"
    r"|^typedef \w+ (axas_\w+);|^(?:AXAS_MUST_USE )?(?:const )?[a-z]\w+ \*?(axas_\w+)\(")


def fail(message):
    sys.exit(f"docs-filter.py: {message}")


def topic_of(name):
    for topic, _, _, pattern in TOPICS:
        if re.match(pattern, name):
            return topic
    fail(f"{name} belongs to no topic: give it one in TOPICS")


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
    """A list of the statuses that a comment separates by semicolons, line for line."""
    inside = []
    for number, line in enumerate(lines):
        if inside and re.match(r" \*(/|$| @)", line):
            text = "\n".join(lines[inside[0]:number])
            items = re.split(r";(?=\s+(?:\* +)?AXAS_)", text)
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
