#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""licenses.py check|write|inspect: the licences of what is in the archives, and in axas-inspect.

check: each crate that goes into an archive is offered under a licence of deny.toml's list, stands with
it in docs/licensing.md, and its licence texts are in THIRD-PARTY-LICENSES.
write: puts the texts there.
inspect: prints those of the crates in axas-inspect, after the same look at what they are offered under.
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
from crates import ROOT, in_archives, in_inspect, licence_of, others  # noqa: E402

NOTICES = ROOT / "THIRD-PARTY-LICENSES"
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


def notices(packages):
    """The licence texts that the crates come with, under a heading for each."""
    for package in packages:
        directory = Path(package["manifest_path"]).parent
        texts = sorted(path for path in directory.glob("*") if re.match(r"(?i)licen[cs]e|copying", path.name))
        if not texts:
            sys.exit(f"error: {package['name']} comes without a licence text: find out why")
        for path in texts:
            yield f"{LINE}\n{package['name']} {package['version']} ({package['license']}): {path.name}\n{LINE}\n\n"
            yield path.read_text().rstrip() + "\n\n"


def offences(packages, allowed):
    for package in packages:
        if not offered(licence_of(package), allowed):
            yield f"{package['name']} is offered under {package['license']}; allowed: {' '.join(allowed)}"


def inspect(allowed):
    """Nobody links axas-inspect: Apache-2.0 is as good as MIT for it."""
    packages = others(in_inspect()[1])
    if wrong := list(offences(packages, [*allowed, "Apache-2.0"])):
        sys.exit("\n".join(wrong))
    print("What axas-inspect contains besides axaddrspace itself (LICENSE-MIT, LICENSE-APACHE) and what\n"
          "THIRD-PARTY-LICENSES lists; of the Rust standard library, whose terms stand there, all of it.\n")
    sys.stdout.write("".join(notices(packages)))


def complaints(graph, allowed, packages, texts):
    for feature in sorted(built_with() - set(graph["features"])):
        yield f"archives are built with {feature}, which deny.toml leaves out"
    yield from offences(packages, allowed)
    page = PAGE.read_text()
    for package in packages:
        row = f"| `{package['name']}` | {package['license']} |"
        if row not in page:
            yield f"{PAGE.relative_to(ROOT)} has no row that starts with {row}"
    if not NOTICES.read_text().endswith(texts):
        yield f"{NOTICES.name} is not what the crates come with; run: scripts/licenses.py write"


def main():
    if sys.argv[1:] not in (["check"], ["write"], ["inspect"]):
        sys.exit("usage: scripts/licenses.py check|write|inspect")
    policy = tomllib.loads((ROOT / "deny.toml").read_text())
    graph = policy["graph"]
    if sys.argv[1] == "inspect":
        inspect(policy["licenses"]["allow"])
        return
    packages = others(in_archives(graph)[1])
    texts = "".join(notices(packages))
    if sys.argv[1] == "write":
        # What stands before the first crate is written by hand.
        by_hand = NOTICES.read_text().split(f"{LINE}\n{packages[0]['name']}")[0]
        NOTICES.write_text(by_hand + texts)
        return
    wrong = list(complaints(graph, policy["licenses"]["allow"], packages, texts))
    for line in wrong:
        print(line)
    print(f"{len(packages)} crates: {' '.join(package['name'] for package in packages)}")
    if wrong:
        sys.exit(f"error: {len(wrong)} complaints")


main()
