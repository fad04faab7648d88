#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""vendor.py DIRECTORY: put the crates that `make lib` and `make tools` compile into DIRECTORY/vendor and have the
sources in DIRECTORY take them from there.

Cargo wants to read the manifest of every crate of a lock file, and to see that there is a source. Of crates that only
tests or other systems need, nothing else stays: 7 MB in place of 18 in a release.
"""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

sys.dont_write_bytecode = True
from crates import ROOT, compiled, find_cargo  # noqa: E402

INSPECT = "tools/axas-inspect/Cargo.toml"
# On which axas-inspect may be built; what bare metal needs is among it.
HOSTS = [f"{arch}-unknown-linux-{libc}" for arch in ("x86_64", "aarch64", "riscv64gc") for libc in ("gnu", "musl")]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/vendor.py DIRECTORY")
    directory = Path(sys.argv[1])
    graph = tomllib.loads((ROOT / "deny.toml").read_text())["graph"]
    whole = compiled(manifest=INSPECT, targets=HOSTS)
    whole |= compiled("--no-default-features", "--features", ",".join(graph["features"]), targets=HOSTS)
    vendor = subprocess.run(
        [find_cargo(), "vendor", "--locked", "--versioned-dirs", f"--sync={INSPECT}", "vendor"],
        cwd=directory, check=False, capture_output=True, text=True)
    if vendor.returncode:
        sys.exit(vendor.stderr)
    (directory / ".cargo").mkdir()
    (directory / ".cargo/config.toml").write_text(vendor.stdout)
    for crate in (directory / "vendor").iterdir():
        if crate.name in whole:
            continue
        sums = json.loads((crate / ".cargo-checksum.json").read_text())
        sums["files"] = {"Cargo.toml": sums["files"]["Cargo.toml"]}
        manifest = (crate / "Cargo.toml").read_bytes()
        shutil.rmtree(crate)
        (crate / "src").mkdir(parents=True)
        (crate / "src/lib.rs").touch()
        (crate / "Cargo.toml").write_bytes(manifest)
        (crate / ".cargo-checksum.json").write_text(json.dumps(sums))


main()
