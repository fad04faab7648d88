#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-docs.py links|installed|search|statuses|browser|names|snippets|commands|diagrams: whether the
documentation is true.

links     each relative link in a Markdown file, and in the site if it was built, leads to a file
          and, with #, to a heading of it; each page of the site can be reached from docs/README.md,
          each example has a row in examples/README.md
installed DIRECTORY   the same of the Markdown files of a tree that `make install` or `make dist` made;
          nothing of it leads out of the tree
search    what the site's search looks through has the words of each page, at an address that exists
statuses  in the site, each status or verdict that a function returns is an item of a list, and nothing else is
browser   in Chromium: no page of the site is wider than a telephone, and the search finds words of pages
names     each axas_ and AXAS_ name in a Markdown file is in the header, each status, verdict, reason of a
          flush and required state of it has a row in the page that lists them
snippets  the C of the pages compiles: the porting guides against docs/porting/standins, the others
          on their own
commands  the commands of docs/getting-started.md, run in a copy of the repository, print what it says
diagrams  each picture in docs/diagrams says what the text that it was made of says
"""
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

sys.dont_write_bytecode = True
from markdown import LINK, without_code  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "include/axaddrspace.h"
SITE = ROOT / "build/docs/html"
STARTED = ROOT / "docs/getting-started.md"
BUILT = {"build", "target", "vendor", ".git"}
FIGURES = ROOT / "docs/bench"  # what benchmarks printed, not pages
COMPILERS = {"cc": "gcc", "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu"}
FLAGS = ["-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion",
         "-Wsign-conversion", "-Wshadow", "-Wcast-qual", "-Werror"]

problems = []


def problem(where, what):
    problems.append(f"{where}: {what}")


def read(path):
    return path.read_text(encoding="utf-8")


def pages():
    """All Markdown of the repository."""
    return sorted(path for path in ROOT.rglob("*.md")
                  if path.relative_to(ROOT).parts[0] not in BUILT and FIGURES not in path.parents)


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(text, language):
    """(line, what stands before it, the block without its indent) of each fenced block."""
    for match in re.finditer(rf"^( *)```{language}\n(.*?)^ *```$", text, flags=re.S | re.M):
        indent, body = match.groups()
        before = text[:match.start()]
        body = re.sub(rf"^{indent}", "", body, flags=re.M)
        yield before.count("\n") + 1, before.rstrip().rsplit("\n", 1)[-1], body


# --- links -------------------------------------------------------------------------------------


def anchors_of(path, cache={}):
    if path not in cache:
        seen, cache[path] = {}, set()
        fenced = re.sub(r"^ *(```|~~~).*?^ *\1", "", read(path), flags=re.S | re.M)
        for heading in re.findall(r"^#+ (.*)$", fenced, flags=re.M):
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
            anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            count = seen[anchor] = seen.get(anchor, -1) + 1
            cache[path].add(f"{anchor}-{count}" if count else anchor)
    return cache[path]


def check_page_links(path, top=ROOT):
    """The Markdown files that a page links to; what it links to is below `top`."""
    text = without_code(read(path))
    linked = set()
    for match in re.finditer(LINK, text):
        where = f"{path.relative_to(top)}:{text[:match.start()].count(chr(10)) + 1}"
        target, _, anchor = match.group(2).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (path.parent / target).resolve() if target else path
        if not file.exists():
            problem(where, f"{target} does not exist")
            continue
        if not file.is_relative_to(top):
            problem(where, f"{target} leads out of {top}")
            continue
        if file.suffix == ".md":
            linked.add(file)
            if anchor and anchor not in anchors_of(file):
                problem(where, f"{file.relative_to(top)} has no heading #{anchor}")
        elif anchor:
            problem(where, f"#{anchor} of a file that is no page")
    return linked


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.targets = set(), []
        self.feed(read(path))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (tag == "a" and name == "name"):
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.targets.append(value)


def page_of(path, cache={}):
    if path not in cache:
        cache[path] = Page(path)
    return cache[path]


def check_site_links():
    parsed = {path: page_of(path) for path in SITE.rglob("*.html")}
    for path, page in parsed.items():
        for target in page.targets:
            file, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", file):
                continue
            to = (path.parent / urllib.parse.unquote(file)).resolve() if file else path
            if not to.is_file():
                problem(f"build/docs/html/{path.name}", f"{target} does not exist")
            elif anchor and to in parsed and anchor not in parsed[to].ids:
                problem(f"build/docs/html/{path.name}", f"{target}: there is no such anchor")


def links():
    index = ROOT / "docs/README.md"
    to = {path: check_page_links(path) for path in pages()}
    for path in to:
        if name_of(path).startswith("docs/") and path != index and path not in to[index]:
            problem("docs/README.md", f"does not list {name_of(path)}")
    examples = read(ROOT / "examples/README.md")
    for path in sorted((ROOT / "examples").iterdir()):
        is_example = path.suffix == ".c" or path.is_dir() and any(path.glob("*.c")) and path.name != "glue"
        if is_example and not re.search(rf"^\| \[[^]]*\]\({path.name}/?\) ", examples, flags=re.M):
            problem("examples/README.md", f"does not list {path.name}")
    if SITE.is_dir():
        check_site_links()
    else:
        problem("build/docs/html", "is missing; run: make docs")
    return f"{len(to)} pages and {len(list(SITE.rglob('*.html')))} of the site"


def installed():
    top = pathlib.Path(sys.argv[2]).resolve()
    found = sorted(top.rglob("*.md"))
    for path in found:
        check_page_links(path, top)
    return f"{len(found)} installed pages"


# --- the site ----------------------------------------------------------------------------------


def sections():
    """What docs-site.py made for the search."""
    data = SITE / "search-data.js"
    if not data.is_file():
        sys.exit("check-docs.py: there is no site; run: make docs")
    return json.loads(read(data).removeprefix("const SECTIONS = ").removesuffix(";\n"))


def words(text):
    return set(re.findall(r"[a-z]{4,}", text.lower()))


def search():
    in_site = {}
    for section in sections():
        name, _, anchor = section["url"].partition("#")
        in_site.setdefault(name, set()).update(words(f"{section['title']} {section['page']} {section['text']}"))
        if not (SITE / name).is_file() or (anchor and anchor not in page_of(SITE / name).ids):
            problem("search-data.js", f"{section['url']} does not exist")
    count = 0
    for path in pages():
        name = name_of(path)
        page = "index" if name == "README.md" else "page_" + re.sub(r"\W", "_", name[:-len(".md")]).lower()
        if name.startswith(("docs/", "examples/", "c-tests/")) or "/" not in name:
            text = re.sub(LINK, lambda link: link[1], without_code(read(path)))
            missing = words(re.sub(r"<[^>]*>|\w+://\S+|&\w+;", " ", text)) - in_site.get(f"{page}.html", set())
            count += 1
            if missing:
                problem(name, f"the search does not know its words {' '.join(sorted(missing)[:9])}")
    return f"words of {count} pages"


def statuses():
    count = 0
    for path in sorted(SITE.glob("group__*.html")):
        for returned in re.findall(r'<dl class="section return">.*?</dl>', read(path), flags=re.S):
            for item in returned.split("<li>")[1:]:
                if not re.match(r"\s*<a [^>]*>AXAS_(OK|ERR_\w+|FAULT_\w+)</a>", item):
                    problem(path.name, f"a line of its own that says no status: {re.sub('<[^>]*>', '', item)[:60]!r}")
            for item in returned.split("<li>"):
                found = re.findall(r"(AXAS_(?:OK|ERR_\w+))</a>(?:[:;.]|</li>)|^\s*<a [^>]*>(AXAS_FAULT_\w+)</a>:", item)
                count += len(found)
                if len(found) > 1:
                    problem(path.name, f"one line says {' '.join(map(''.join, found))}")
    return f"{count} statuses"


BROWSER = """<!DOCTYPE html><pre id="said"></pre><script>
const said = document.getElementById("said");
async function look(address, see) {
	const frame = document.createElement("iframe");
	frame.width = %d; frame.height = 900; frame.src = address;
	const loaded = new Promise((resolve) => { frame.onload = resolve; });
	document.body.append(frame);
	await loaded;
	await see(frame.contentDocument);
	frame.remove();
}
(async () => {
	for (const page of %s)
		await look(page, (shown) => {
			const { scrollWidth, clientWidth } = shown.documentElement;
			const content = shown.getElementById("doc-content") ?? shown.body;
			const wide = Math.max(scrollWidth - clientWidth, content.scrollWidth - content.clientWidth);
			said.append(`${page} ${wide}\n`);
		});
	for (const word of %s)
		await look(`index.html?q=${word}`, async (shown) => {
			for (let tries = 0; tries < 100 && !shown.querySelector("#results a"); tries++)
				await new Promise((resolve) => setTimeout(resolve, 100));
			said.append(`?${word} ${shown.querySelectorAll("#results a").length}\n`);
		});
	said.append("end");
})();
</script>
"""
TELEPHONE = 420
SOUGHT = ["deadlock", "retpoline", "axas_map_linear"]


def browser():
    if not shutil.which("chromium"):
        sys.exit("check-docs.py: chromium is missing; run: scripts/setup.sh shots")
    names = sorted(path.name for path in SITE.glob("*.html")) + ["source/src/ffi/mapping.rs.html"]
    harness = SITE / "check.htm"
    harness.write_text(BROWSER % (TELEPHONE, json.dumps(names), json.dumps(SOUGHT)), encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        shown = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                                "--allow-file-access-from-files",
                                f"--user-data-dir={profile}", "--virtual-time-budget=600000", "--dump-dom",
                                harness.as_uri()], text=True, capture_output=True, check=True).stdout
    harness.unlink()
    said = re.search(r'<pre id="said">(.*?)end</pre>', shown, flags=re.S)
    if not said:
        sys.exit(f"check-docs.py: Chromium did not get to the end:\n{shown[-2000:]}")
    for line in said[1].splitlines():
        what, number = line.split()
        if what.startswith("?") and number == "0":
            problem("the search", f"does not find {what[1:]}")
        elif not what.startswith("?") and number != "0":
            problem(what, f"is {number} pixels wider than {TELEPHONE}")
    return f"{len(names)} pages and {len(SOUGHT)} searches in Chromium"


# --- names -------------------------------------------------------------------------------------


# What has a row of its own in a table of these pages.
ROWS = {"docs/troubleshooting.md": r"AXAS_(OK|ERR_\w+|FAULT_\w+)",
        "docs/concepts.md": r"AXAS_(FAULT|FLUSH)_\w+",
        "docs/hal.md": r"AXAS_NEEDS_\w+"}


def names():
    known = set(re.findall(r"\b(?:axas|AXAS)_\w+", read(HEADER)))
    count = 0
    for path in pages():
        for number, line in enumerate(read(path).splitlines(), 1):
            for match in re.finditer(r"(?<![\w])(-D)?((?:axas|AXAS)_[\w*]*)", line):
                cmake, name = match.groups()
                count += 1
                pattern = name.replace("*", r"\w+") + (r"\w+" if name.endswith("_") else "")
                if not cmake and not any(re.fullmatch(pattern, other) for other in known):
                    problem(f"{name_of(path)}:{number}", f"{name} is not in the header")
    for page, kinds in ROWS.items():
        text = read(ROOT / page)
        for name in sorted(known):
            if re.fullmatch(kinds, name) and f"\n| `{name}` |" not in text:
                problem(page, f"no row for {name}")
    return f"{count} names"


# --- snippets ----------------------------------------------------------------------------------


def snippets():
    """A guide's blocks are one file, the stand-ins before them; other blocks stand for themselves."""
    for compiler, package in COMPILERS.items():
        if not shutil.which(compiler):
            sys.exit(f"check-docs.py: {compiler} is missing; run: apt-get install {package}")
    count = 0
    for path in pages():
        guide = path.parent.name == "porting"
        found = list(blocks(read(path), "c"))
        for line, _, body in [(0, "", "".join(b[2] for b in found))] if guide and found else found:
            count += 1
            first = ["-include", str(path.parent / "standins" / f"{path.stem}.h")] if guide else []
            hosted = "<stdio.h>" in body  # a program for the PC
            for compiler in ["cc"] if hosted else COMPILERS:
                free = [] if hosted else ["-ffreestanding"]
                run = subprocess.run([compiler, *FLAGS, *free, *first, "-I", ROOT / "include", "-x", "c", "-"],
                                     input=body, text=True, capture_output=True, check=False)
                if run.returncode:
                    problem(f"{name_of(path)}:{line}", f"{compiler}:\n{run.stderr}")
    return f"{count} pieces of C"


# --- commands ----------------------------------------------------------------------------------


def commands_of(block):
    """(command, expected lines) of a console block."""
    steps = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif not steps:
            problem(name_of(STARTED), "a console block must begin with a command")
        else:
            steps[-1][1].append(line)
    return steps


def agrees(expected, printed):
    """`...` alone in a line is any number of lines, within a line any text."""
    def pattern(line):
        return ".*?".join(re.escape(part) for part in line.split("..."))

    lines = [r"(?:[^\n]*\n)*?" if line == "..." else f"{pattern(line)}\n" for line in expected]
    return re.fullmatch("".join(lines), printed) is not None


def commands():
    text = read(STARTED)
    events = [(line, "c", before, body) for line, before, body in blocks(text, "c")]
    events += [(line, "console", before, body) for line, before, body in blocks(text, "console")]
    count = 0
    with tempfile.TemporaryDirectory() as copy:
        for entry in ROOT.iterdir():
            if entry.name not in BUILT:
                if entry.is_dir():
                    shutil.copytree(entry, f"{copy}/{entry.name}", symlinks=True)
                else:
                    shutil.copy(entry, copy)
        environment = {**os.environ, "LC_ALL": "C"}
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "CARGO_TARGET_DIR"):
            environment.pop(name, None)
        for line, kind, before, body in sorted(events):
            if kind == "c":
                if not (saved := re.search(r"[Ss]ave this as `(\w+\.c)`:$", before)):
                    sys.exit(f"check-docs.py: {name_of(STARTED)}:{line}: C that is saved nowhere")
                pathlib.Path(copy, saved.group(1)).write_text(body, encoding="utf-8")
                continue
            for command, expected in commands_of(body):
                count += 1
                done = subprocess.run(["bash", "-c", command], cwd=copy, text=True, env=environment,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, check=False)
                if done.returncode:
                    problem(f"{name_of(STARTED)}:{line}",
                            f"`{command}` ended with {done.returncode}:\n{done.stdout}")
                elif not agrees(expected, done.stdout):
                    problem(f"{name_of(STARTED)}:{line}", f"`{command}` printed:\n{done.stdout}")
                if problems:
                    return ""
    return f"{count} commands"


# --- diagrams ----------------------------------------------------------------------------------


def labels(svg):
    """The texts of a picture, whatever version of Graphviz placed them."""
    return sorted(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


def diagrams():
    if not shutil.which("dot"):
        sys.exit("check-docs.py: dot is missing; run: scripts/setup.sh docs")
    sources = sorted((ROOT / "docs/diagrams").glob("*.dot"))
    for source in sources:
        fresh = subprocess.run(["dot", "-Tsvg", source], text=True, capture_output=True, check=True).stdout
        if labels(fresh) != labels(read(source.with_suffix(".svg"))):
            problem(name_of(source), "the picture says something else; run: scripts/docs.sh diagrams")
    return f"{len(sources)} diagrams"


def main():
    checks = {f.__name__: f for f in (links, installed, search, statuses, browser, names, snippets, commands, diagrams)}
    if len(sys.argv) != (3 if "installed" in sys.argv else 2) or sys.argv[1] not in checks:
        sys.exit(__doc__)
    what = checks[sys.argv[1]]()
    for line in problems:
        print(line)
    if problems:
        sys.exit(f"check-docs.py: {len(problems)} problems")
    if what.startswith("0 "):
        sys.exit("check-docs.py: nothing was checked")
    print(f"{what}: as they should be")


if __name__ == "__main__":
    main()
