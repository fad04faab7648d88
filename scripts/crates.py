# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which crates go into what is built: asked of cargo by licenses.py, sbom.py and vendor.py."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def find_cargo():
    cargo_home = os.environ.get("CARGO_HOME", Path.home() / ".cargo")
    places = [os.environ["PATH"], f"{cargo_home}/bin"]
    return shutil.which("cargo", path=":".join(places)) or sys.exit("error: cargo is missing; run: scripts/setup.sh host")


def compiled(*options, manifest="Cargo.toml", targets):
    """What a package compiles for any of these targets, itself and macros too, as `name-version`."""
    found = set()
    for target in targets:
        command = [find_cargo(), "tree", "--locked", f"--manifest-path={manifest}", f"--target={target}",
                   "--edges=normal,build", "--prefix=none", "--format={p}", *options]
        tree = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        found |= {f"{words[0]}-{words[1].removeprefix('v')}" for words in map(str.split, tree.splitlines())}
    return found


def linked(*options, manifest="Cargo.toml", targets):
    """The package of a manifest, and {id: (package, ids of those that it links)} of it and of all it links. Macros
    are not linked, they run when it is compiled. Metadata alone has crates of features that other systems need."""
    really = compiled(*options, manifest=manifest, targets=targets)
    command = [find_cargo(), "metadata", "--locked", "--format-version=1", f"--manifest-path={manifest}", *options]
    command += [f"--filter-platform={target}" for target in targets]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}

    def is_linked(dependency):
        package = packages[dependency["pkg"]]
        kinds = {kind for target in package["targets"] for kind in target["kind"]}
        return f"{package['name']}-{package['version']}" in really and "proc-macro" not in kinds and any(kind["kind"] is None for kind in dependency["dep_kinds"])

    root = metadata["resolve"]["root"]
    found, ahead = {}, [root]
    while ahead:
        at = ahead.pop()
        if at not in found:
            below = [dependency["pkg"] for dependency in nodes[at]["deps"] if is_linked(dependency)]
            found[at] = packages[at], below
            ahead += below
    return packages[root], found


def in_archives(graph):
    """`linked` of the archives, as deny.toml says what is in them."""
    return linked("--no-default-features", "--features", ",".join(graph["features"]), targets=graph["targets"])


def host_target():
    about = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(line.split()[1] for line in about.splitlines() if line.startswith("host: "))


def in_inspect():
    """`linked` of axas-inspect as built here."""
    return linked(manifest="tools/axas-inspect/Cargo.toml", targets=[host_target()])


def others(found):
    """Packages that come from elsewhere, by name."""
    return sorted((package for package, _ in found.values() if package["source"]),
                  key=lambda package: (package["name"], package["version"]))


def licence_of(package):
    """Its SPDX expression; older crates write / for OR."""
    return package["license"].replace("/", " OR ")
