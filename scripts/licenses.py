#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""licenses.py check|write: the licences of what is in the archives, and in axas-inspect.

check: each crate that goes into an archive is offered under a licence of deny.toml's list and is with it in
docs/licensing.md; it is in THIRD-PARTY-LICENSES, and so is a licence text that it comes with. The same of the
crates in axas-inspect, in a file of their own; Apache-2.0 is as good as MIT for it, which nothing links.
write: has cargo-about put the texts there (cargo install --locked cargo-about --features cli).
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

try:
    import license_expression
except ImportError:
    sys.exit("error: license_expression is missing; run: scripts/setup.sh licenses")

sys.dont_write_bytecode = True
from crates import ROOT, find_cargo, in_archives, in_inspect, licence_of, others  # noqa: E402

NOTICES = ROOT / "THIRD-PARTY-LICENSES"
INSPECT_NOTICES = ROOT / "THIRD-PARTY-LICENSES-axas-inspect"
PAGE = ROOT / "docs/licensing.md"
LINE = "=" * 100


def built_with():
    """The features that the bare-metal archives are built with, as the scripts have them."""
    ask = ". scripts/common.sh; for arch in x86_64 aarch64 riscv64; do bare_features $arch; done"
    words = subprocess.run(["bash", "-c", ask], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return set(words.stdout.replace(",", " ").split())


def offered(expression, allowed):
    """Whether the licences of a list are enough for what an SPDX expression asks."""
    spdx = license_expression.Licensing()
    asked = spdx.parse(expression)
    having = {symbol: spdx.TRUE if str(symbol) in allowed else spdx.FALSE for symbol in asked.symbols}
    return asked.subs(having, simplify=True) == spdx.TRUE


def heading(package):
    return f"{package['name']} {package['version']} ({licence_of(package)})"


def write(path, packages, *options):
    """Has cargo-about write what is behind the part of a file that is written by hand, and leaves out what it has of
    crates that only run when others are compiled."""
    command = [find_cargo(), "about", "generate", "--frozen", f"--config={ROOT}/about.toml", *options,
               "scripts/third-party.hbs"]
    texts = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    headings = rf"^{LINE}\n((?:[\w-]+ \d.* \(.*\)\n)+){LINE}\n"
    by_hand = re.split(headings, path.read_text(), maxsplit=1, flags=re.M)[0]
    parts = iter(re.split(headings, texts, flags=re.M)[1:])
    inside = set(map(heading, packages))
    kept = [(inside.intersection(names.splitlines()), text.strip()) for names, text in zip(parts, parts)]
    path.write_text(by_hand + "\n\n".join(
        "\n".join([LINE, *sorted(names), LINE, "", text]) for names, text in kept if names) + "\n")


def missing(packages, path):
    """Crates that a file does not have as they are, or without a text of theirs."""
    have = path.read_text()
    words = " ".join(have.split())
    for package in packages:
        texts = [text for text in Path(package["manifest_path"]).parent.glob("*")
                 if re.match(r"(?i)licen[cs]e|copying", text.name)]
        if f"\n{heading(package)}\n" not in have or not any(" ".join(text.read_text().split()) in words for text in texts):
            yield f"{path.name} has not {heading(package)} with its text; run: scripts/licenses.py write"


def offences(packages, allowed):
    for package in packages:
        if not offered(licence_of(package), allowed):
            yield f"{package['name']} is offered under {package['license']}; allowed: {' '.join(allowed)}"


def complaints(graph, allowed, packages):
    for feature in sorted(built_with() - set(graph["features"])):
        yield f"archives are built with {feature}, which deny.toml leaves out"
    yield from offences(packages, allowed)
    page = PAGE.read_text()
    for package in packages:
        row = f"| `{package['name']}` | {package['license']} |"
        if row not in page:
            yield f"{PAGE.relative_to(ROOT)} has no row that starts with {row}"
    yield from missing(packages, NOTICES)
    inside = others(in_inspect()[1])
    yield from offences(inside, [*allowed, "Apache-2.0"])
    yield from missing(inside, INSPECT_NOTICES)


def main():
    if sys.argv[1:] not in (["check"], ["write"]):
        sys.exit("usage: scripts/licenses.py check|write")
    policy = tomllib.loads((ROOT / "deny.toml").read_text())
    graph = policy["graph"]
    packages = others(in_archives(graph)[1])
    if sys.argv[1] == "write":
        write(NOTICES, packages, "--no-default-features", f"--features={' '.join(graph['features'])}")
        write(INSPECT_NOTICES, others(in_inspect()[1]), "--manifest-path=tools/axas-inspect/Cargo.toml")
        return
    wrong = list(complaints(graph, policy["licenses"]["allow"], packages))
    for line in wrong:
        print(line)
    print(f"{len(packages)} crates: {' '.join(package['name'] for package in packages)}")
    if wrong:
        sys.exit(f"error: {len(wrong)} complaints")


main()
