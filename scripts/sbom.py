#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""sbom.py TREE SOURCES HOST_RUST BARE_RUST: put a bill of materials (CycloneDX 1.5, JSON) of the archives and one of
axas-inspect into the documents of TREE, which dist.sh laid out.

cargo-cyclonedx writes them in SOURCES, a copy that may be written to. Added here is what cargo does not know: the
files of TREE with their checksums, and the parts of Rust in them.
"""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

sys.dont_write_bytecode = True
from crates import ROOT, find_cargo, host_target  # noqa: E402

TOOL = ROOT / "build/tools/bin/cargo-cyclonedx"
RUST = {
    "core": "MIT OR Apache-2.0",
    "std": "MIT OR Apache-2.0",
    "compiler_builtins": "MIT AND Apache-2.0 WITH LLVM-exception AND (MIT OR Apache-2.0)",
}


def bill_of(manifest, target, *options):
    """What cargo-cyclonedx writes about a package, which does not depend on where the sources are."""
    command = [TOOL, "cyclonedx", "--quiet", "--format=json", "--spec-version=1.5", "--no-build-deps",
               "--override-filename=bill", f"--target={target}", f"--manifest-path={manifest}", *options]
    try:
        subprocess.run(command, check=True, env=os.environ | {"CARGO": find_cargo()})
    except FileNotFoundError:
        sys.exit("error: cargo-cyclonedx is missing; run: scripts/setup.sh dist")
    written = manifest.with_name("bill.json")
    text = written.read_text()
    written.unlink()
    return text


def write(place, text, tree, files, parts):
    """A bill with the files of TREE that are the package, and (part, version) of Rust."""
    bill = json.loads(text)
    package = bill["metadata"]["component"]
    package["components"] = [
        {"type": "file", "bom-ref": str(path.relative_to(tree)), "name": str(path.relative_to(tree)),
         "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]}
        for path in sorted(files)]
    rust = {f"rust/{part}@{version}": (part, version) for part, version in sorted(parts)}
    bill["components"] += [
        {"type": "library", "bom-ref": ref, "name": part, "version": version, "licenses": [{"expression": RUST[part]}],
         "description": "part of the Rust toolchain"} for ref, (part, version) in rust.items()]
    bill["dependencies"] += [{"ref": ref} for ref in rust]
    (own,) = [entry for entry in bill["dependencies"] if entry["ref"] == package["bom-ref"]]
    own["dependsOn"] += rust
    place.write_text(json.dumps(bill, indent=2) + "\n")
    place.chmod(0o644)


def main():
    tree, sources = (Path(argument).resolve() for argument in sys.argv[1:3])
    host_rust, bare_rust = sys.argv[3:]
    documents = tree / "share/doc/axaddrspace"
    graph = tomllib.loads((ROOT / "deny.toml").read_text())["graph"]
    bills = {
        "axaddrspace": (
            bill_of(sources / "Cargo.toml", graph["targets"][0], "--no-default-features",
                    f"--features={','.join(graph['features'])}"),
            tree.rglob("libaxaddrspace.a"),
            {(part, version) for part in ("core", "compiler_builtins") for version in (host_rust, bare_rust)}),
        "axas-inspect": (
            bill_of(sources / "tools/axas-inspect/Cargo.toml", host_target()),
            [tree / "bin/axas-inspect"],
            {(part, host_rust) for part in RUST}),
    }
    for name, (text, files, parts) in bills.items():
        write(documents / f"{name}.cdx.json", text.replace(f"path+file://{sources}", "axaddrspace"), tree, files, parts)


if __name__ == "__main__":
    main()
