#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""abi.py check|update: the interface against c-tests/abi/interface.abi, by abidiff.

A program that was compiled against the committed interface must go on to work: nothing of it may go or
change, things may be added. Looked at are the signature of each function and the layout of each type, as
the x86 C compiler sees them, and the value of each constant of include/axaddrspace.h but its version.

update: makes what the header says now the interface to compare with.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "include/axaddrspace.h"
BASELINE = ROOT / "c-tests/abi/interface.abi"


def names(pattern):
    return sorted(set(re.findall(pattern, HEADER.read_text(), re.MULTILINE)))


def translation_unit():
    """A variable for each item of the header: abidiff compares the types of variables to the last member
    and parameter, and reads them from the debug information of any object, in whatever language the
    functions behind the header are written. A constant's value is that of an enumerator."""
    yield '#define AXAS_STATIC_HAL\n#include "axaddrspace.h"'
    for name in names(r"\b(axas_\w+)\("):
        yield f"__typeof__({name}) *function_{name};"
    for name in names(r"^(?:typedef .*\(\*|typedef .*|\} )(axas_\w+)(?:;|\)\()"):
        pointer = "*" if f"typedef struct {name} {name};" in HEADER.read_text() else ""
        yield f"{name} {pointer}type_{name};"
    for name in names(r"^#define (AXAS_(?!VERSION_)\w+) [-(0-9]"):
        yield f"enum of_{name} {{ value_of_{name} = {name} }} constant_{name};"




def run(*command):
    if not shutil.which(command[0]):
        sys.exit(f"error: {command[0]} is missing; run: scripts/setup.sh abi")
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def describe(directory):
    """The header as an object that abidiff reads."""
    source, shared = Path(directory, "interface.c"), Path(directory, "interface.so")
    source.write_text("\n".join(translation_unit()) + "\n")
    compiled = run("x86_64-linux-gnu-gcc", "-std=gnu11", "-g", "-O0", "-fPIC", "-shared", "-nostdlib", f"-I{HEADER.parent}",
                   f"-ffile-prefix-map={directory}=.", str(source), "-o", str(shared))
    if compiled.returncode != 0:
        sys.exit(f"error: the header does not compile:\n{compiled.stdout}")
    return shared


def update(shared):
    written = run("abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", str(shared))
    if written.returncode != 0:
        sys.exit(f"error: abidw: {written.stdout}")
    BASELINE.write_text(written.stdout)


def check(shared):
    compared = run("abidiff", "--harmless", "--no-added-syms", "--no-show-locs", str(BASELINE), str(shared))
    items = len(list(translation_unit())) - 1
    if compared.returncode != 0:
        print(compared.stdout)
        sys.exit("error: programs that were compiled against the committed interface would break; where "
                 "that is meant, say so in CHANGELOG.md and run: make abi-update")
    print(f"{items} functions, types and constants; those of {BASELINE.relative_to(ROOT)} are unchanged")


def main():
    actions = {"check": check, "update": update}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        sys.exit("usage: scripts/abi.py check|update")
    with tempfile.TemporaryDirectory() as directory:
        actions[sys.argv[1]](describe(directory))


main()
