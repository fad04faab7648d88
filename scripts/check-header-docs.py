#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-header-docs.py: every item of include/axaddrspace.h has a comment of its own. That of a function
says what a status and each parameter mean, itself, and if it says a parameter, all of them. Read by clang."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

HEADER = Path(__file__).resolve().parent.parent / "include/axaddrspace.h"
VERDICTS = set(re.findall(r"^#define (AXAS_FAULT_\w+)", HEADER.read_text(), re.MULTILINE))


def declarations():
    """The functions, types and structs that clang finds in the header."""
    if not shutil.which("clang"):
        sys.exit("error: clang is missing; run: apt-get install clang")
    command = ["clang", "-xc", "-std=c11", "-fsyntax-only", "-fparse-all-comments", "-DAXAS_STATIC_HAL"]
    command += ["-Xclang", "-ast-dump=json", str(HEADER)]
    tree = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return [item for item in tree["inner"] if item.get("name", "").startswith("axas_")
            and (item["kind"] != "RecordDecl" or item.get("completeDefinition"))]


def parts(item, kind):
    return [part for part in item.get("inner", []) if part["kind"] == kind]


def words(comment):
    return "".join(part.get("text", "") + words(part) for part in comment.get("inner", [])).strip()


def complaints(item, owner=""):
    """What an item, or a member of it, lacks."""
    name = owner + item["name"]
    comments = parts(item, "FullComment")
    if not any(words(comment) for comment in comments):
        yield f"{name} has no comment"
    elif item["kind"] == "FunctionDecl":
        parameters = parts(comments[0], "ParamCommandComment")
        said = {part["param"] for part in parameters if words(part)}
        there = {part["name"] for part in parts(item, "ParmVarDecl")}
        if said and said != there:
            yield f"{name} does not say all of its parameters, or others: {' '.join(said ^ there)}"
        for part in parameters:
            if re.search(r"\b[Aa]s for axas_", words(part)):
                yield f"{name} sends its reader elsewhere for {part['param']}"
        returns = [part for part in parts(comments[0], "BlockCommandComment") if part["name"] == "return"]
        if item["type"]["qualType"].startswith("axas_status_t") and not any(map(words, returns)):
            yield f"{name} does not say what its status means"
        said = re.findall(r"(?:^|;\s+)(AXAS_(?:OK|ERR_\w+|FAULT_\w+))\b(?=[:;,])", " ".join(map(words, returns)))
        if len(said) != len(set(said)):
            yield f"{name} says one status twice"
        if item["type"]["qualType"].startswith("axas_fault_result_t") and set(said) != VERDICTS:
            yield f"{name} does not say all verdicts: {' '.join(set(said) ^ VERDICTS)}"
        if any(re.search(r"\b[Aa]s (for )?axas_", words(part)) for part in returns):
            yield f"{name} sends its reader elsewhere for what its status means"
    for member in parts(item, "FieldDecl"):
        yield from complaints(member, f"{name}.")


def main():
    items = declarations()
    wrong = [line for item in items for line in complaints(item)]
    text = HEADER.read_text()
    constants = re.findall(r"^#define (AXAS_\w+)", text, re.MULTILINE)
    explained = re.findall(r"\*/\n#define (AXAS_\w+)", text)
    wrong += [f"{name} has no comment" for name in constants if name not in explained]
    for line in wrong:
        print(line)
    members = sum(len(parts(item, "FieldDecl")) for item in items)
    print(f"{len(items)} functions and types, {members} members, {len(constants)} constants")
    if wrong:
        sys.exit(f"error: {len(wrong)} complaints; the comments are in src/abi and src/ffi")


main()
