#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""sbom.py DIRECTORY VERSION HOST_RUST BARE_RUST: print a bill of materials, CycloneDX 1.5 in JSON, of the binaries in
the tree that dist.sh laid out: their checksums, and the crates and parts of Rust in each.

Not by cargo-cyclonedx: to compile it takes longer than to build the release, and it sees neither that the
archives leave the feature `multiarch` out nor what of Rust is in them.
"""

import datetime
import hashlib
import json
import os
import sys
import tomllib
from pathlib import Path

sys.dont_write_bytecode = True
from crates import ROOT, in_archives, in_inspect, licence_of  # noqa: E402

RUST = {
    "core": "MIT OR Apache-2.0",
    "std": "MIT OR Apache-2.0",
    "compiler_builtins": "MIT AND Apache-2.0 WITH LLVM-exception AND (MIT OR Apache-2.0)",
}


class Bill:
    def __init__(self):
        self.components, self.dependencies = {}, {}

    def add(self, ref, below=(), **component):
        self.components[ref] = {"bom-ref": ref, **component}
        self.dependencies.setdefault(ref, set()).update(below)
        return ref

    def rust(self, part, version):
        return self.add(f"rust/{part}@{version}", type="library", name=part, version=version,
                        licenses=[{"expression": RUST[part]}], description="part of the Rust toolchain")

    def crates(self, linked, lock_file):
        """The refs of what a package links."""
        root, found = linked
        locked = tomllib.loads((ROOT / lock_file).read_text())["package"]
        checksums = {(package["name"], package["version"]): package.get("checksum") for package in locked}

        def ref(package):
            return f"pkg:cargo/{package['name']}@{package['version']}"

        for package, below in found.values():
            if not package["source"]:
                continue
            self.add(ref(package), [ref(found[key][0]) for key in below], type="library",
                     name=package["name"], version=package["version"], purl=ref(package),
                     licenses=[{"expression": licence_of(package)}],
                     hashes=[{"alg": "SHA-256", "content": checksums[package["name"], package["version"]]}])
        ours = [package["id"] for package, _ in found.values() if not package["source"]]
        assert root["id"] in ours
        return {ref(found[key][0]) for key in ours for key in found[key][1] if found[key][0]["source"]}


def digest(path):
    return [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]


def main():
    tree, version, host_rust, bare_rust = sys.argv[1:]
    tree = Path(tree)
    ours = {"version": version, "licenses": [{"expression": "MIT OR Apache-2.0"}]}
    graph = tomllib.loads((ROOT / "deny.toml").read_text())["graph"]
    bill = Bill()
    files = []
    linked = bill.crates(in_archives(graph), "Cargo.lock")
    for path in sorted((tree / "lib").rglob("libaxaddrspace.a")):
        place = str(path.relative_to(tree))
        rust = host_rust if path.parent.name == "lib" else bare_rust
        below = linked | {bill.rust(part, rust) for part in ("core", "compiler_builtins")}
        files.append(bill.add(place, below, type="library", name=place, hashes=digest(path), **ours))
    below = bill.crates(in_inspect(), "tools/axas-inspect/Cargo.lock")
    below |= {bill.rust(part, host_rust) for part in ("core", "std", "compiler_builtins")}
    files.append(bill.add("bin/axas-inspect", below, type="application", name="bin/axas-inspect",
                          hashes=digest(tree / "bin/axas-inspect"), **ours))
    bill.dependencies["axaddrspace"] = set(files)
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    print(json.dumps({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
                     "component": {"bom-ref": "axaddrspace", "type": "library", "name": "axaddrspace", **ours}},
        "components": [bill.components[ref] for ref in sorted(bill.components)],
        "dependencies": [{"ref": ref, "dependsOn": sorted(below)} for ref, below in sorted(bill.dependencies.items())],
    }, indent=2))


if __name__ == "__main__":
    main()
