#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""licenses.py check|write: the licences of what is in the archives.

check: each crate that goes into an archive is offered under a licence of deny.toml's list, stands with
it in docs/licensing.md, and its licence texts are in THIRD-PARTY-LICENSES.
write: puts the texts there.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

try:
    import license_expression
except ImportError:
    sys.exit("error: license_expression is missing; run: scripts/setup.sh licenses")

ROOT = Path(__file__).resolve().parent.parent
NOTICES = ROOT / "THIRD-PARTY-LICENSES"
PAGE = ROOT / "docs/licensing.md"
LINE = "=" * 100


def crates(graph):
    """What goes into an archive, our own crate left out: the normal dependencies, all the way down."""
    command = [find_cargo(), "metadata", "--locked", "--format-version=1"]
    command += ["--no-default-features", "--features", ",".join(graph["features"])]
    command += [f"--filter-platform={target}" for target in graph["targets"]]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found, ahead = {}, [root]
    while ahead:
        for dependency in nodes[ahead.pop()]["deps"]:
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_linked and dependency["pkg"] not in found:
                found[dependency["pkg"]] = packages[dependency["pkg"]]
                ahead.append(dependency["pkg"])
    return sorted(found.values(), key=lambda package: package["name"])


def built_with():
    """The features that the bare-metal archives are built with, as the scripts have them."""
    ask = ". scripts/common.sh; for arch in x86_64 aarch64 riscv64; do bare_features $arch; done"
    words = subprocess.run(["bash", "-c", ask], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return set(words.stdout.replace(",", " ").split())


def find_cargo():
    cargo_home = os.environ.get("CARGO_HOME", Path.home() / ".cargo")
    places = [os.environ["PATH"], f"{cargo_home}/bin"]
    return shutil.which("cargo", path=":".join(places)) or sys.exit("error: cargo is missing; run: scripts/setup.sh licenses")


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
        texts = sorted(directory.glob("LICENSE*"))
        if not texts:
            sys.exit(f"error: {package['name']} comes without a licence text: find out why")
        for path in texts:
            yield f"{LINE}\n{package['name']} {package['version']} ({package['license']}): {path.name}\n{LINE}\n\n"
            yield path.read_text().rstrip() + "\n\n"


def complaints(graph, allowed, packages, texts):
    for feature in sorted(built_with() - set(graph["features"])):
        yield f"archives are built with {feature}, which deny.toml leaves out"
    page = PAGE.read_text()
    for package in packages:
        if not offered(package["license"], allowed):
            yield f"{package['name']} is offered under {package['license']}; deny.toml allows: {' '.join(allowed)}"
        row = f"| `{package['name']}` | {package['license']} |"
        if row not in page:
            yield f"{PAGE.relative_to(ROOT)} has no row that starts with {row}"
    if not NOTICES.read_text().endswith(texts):
        yield f"{NOTICES.name} is not what the crates come with; run: scripts/licenses.py write"


def main():
    if sys.argv[1:] not in (["check"], ["write"]):
        sys.exit("usage: scripts/licenses.py check|write")
    policy = tomllib.loads((ROOT / "deny.toml").read_text())
    graph = policy["graph"]
    packages = crates(graph)
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
