#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check.py ARCH CHECK [ARCHIVE]: is build/ARCH/libaxaddrspace.a what its list says?

Checks: one-object, sections, relocations, undefined, globals, locals, panics, machine, same-code. What is
allowed stands in ARCH.txt beside this file; the functions to be seen from outside in link/api.sym.
panics reads names, so it looks at build/ARCH-symbols (DEBUG_SYMBOLS=1); same-code compares the two.
check.py ARCH controls: every check must refuse bad.c.
check.py ARCH hardened ARCHIVE: what HARDEN=1 promises, of every function; needs DEBUG_SYMBOLS=1.
"""

import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Registers of floating point and vectors, and what a red zone is: nothing below the stack pointer
# survives an interrupt of a hypervisor.
FORBIDDEN_CODE = {
    "x86_64": r"%[xyz]mm\d|%st\b|%mm\d|\s-0x[0-9a-f]+\(%rsp",
    "aarch64": r"\b[vqdshb]\d+(\.\d*[bhsd])?\b(?!:)|\[sp, #-\d+\](?!!)",
    "riscv64": r"\bf[ast]\d+\b|,-\d+\(sp\)",
}
# Names that only the object's own relocations use, as every linker and symbol table knows them.
LOCAL_NAMES = r"\.L|mem(cpy|move|set|cmp)$"
MAPPING_SYMBOLS = r"\$[xd](\.|$)"
# Xen writes a symbol behind its file's name and `#` into 128 bytes.
MOST_CHARACTERS = 64
PANICS = r"panic|unwrap_failed|slice_index|rust_begin_unwind"


def tool(arch, name, *arguments):
    command = [f"{arch}-linux-gnu-{name}", *arguments]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        sys.exit(f"no {command[0]}; run: apt-get install binutils-{arch.replace('_', '-')}-linux-gnu")


def allowed(arch, subject):
    """The words of the list's lines about a subject, joined."""
    with open(f"{HERE}/{arch}.txt", encoding="ascii") as file:
        return {" ".join(line.split()[1:]) for line in file if line.split()[:1] == [subject]}


def symbols(arch, archive, *options):
    return [line.split()[-2:] for line in tool(arch, "nm", *options, archive).splitlines()
            if len(line.split()) > 1]


def one_object(arch, archive):
    members = tool(arch, "ar", "t", archive).split()
    return [] if members == ["axaddrspace.o"] else members or ["none"]


def sections(arch, archive):
    text = tool(arch, "readelf", "-SW", archive)
    names = {name for name in re.findall(r"^  \[ *\d+\] (\.\S+)", text, re.M)
             if not re.match(r"\.(rela?\.|symtab|strtab|shstrtab)", name)}
    return names ^ allowed(arch, "section")


def relocations(arch, archive):
    found, inside = set(), None
    for line in tool(arch, "readelf", "-rW", archive).splitlines():
        if head := re.match(r"Relocation section '\.rela(\.[^']+)'", line):
            inside = head[1]
        elif kind := re.match(r"[0-9a-f]{16}  [0-9a-f]{16} (R_\w+)", line):
            found.add(f"{inside} {kind[1]}")
    return found - allowed(arch, "relocation")


def undefined(arch, archive):
    return {name for kind, name in symbols(arch, archive) if kind in "Uwv"} - allowed(arch, "undefined")


def global_symbols(arch, archive):
    with open(f"{ROOT}/link/api.sym", encoding="ascii") as file:
        interface = set(re.findall(r"axas_\w+", file.read()))
    with open(f"{ROOT}/link/parts", encoding="ascii") as file:
        interface -= set(re.findall(r"^\w+ (axas_\w+)$", file.read(), re.M))
    seen = {f"{name} ({kind})" for kind, name in symbols(arch, archive, "-g", "--defined-only")}
    return seen ^ {f"{name} (T)" for name in interface}


def local_symbols(arch, archive):
    """Local symbols that no relocation needs, or whose names are not the linker's affair alone."""
    text = tool(arch, "readelf", "-sW", archive)
    found = re.findall(r"^ *\d+: [0-9a-f]{16} +\w+ (\w+) +LOCAL +\w+ +\w+ (.*)$", text, re.M)
    needed = re.findall(r"^[0-9a-f]{16}  [0-9a-f]{16} R_\S+ +[0-9a-f]{16} (.*?)(?: [-+] [0-9a-f]+)?$",
                        tool(arch, "readelf", "-rW", archive), re.M)
    needed = {name.strip() for name in needed}
    wrong = set()
    for kind, name in ((kind, name.strip()) for kind, name in found):
        if kind == "SECTION" or not name or (arch != "x86_64" and re.match(MAPPING_SYMBOLS, name)):
            continue
        if name not in needed:
            wrong.add(f"{name}: no relocation needs it")
        if len(name) > MOST_CHARACTERS or not re.match(LOCAL_NAMES, name):
            wrong.add(f"{name}: {len(name)} characters")
    with open(archive, "rb") as file:
        wrong |= {f"{name.decode()}: a mangled name" for name in re.findall(rb"_ZN\w+|_RNv\w+", file.read())}
    return wrong


def with_symbols(arch):
    """The same archive with the names of its local functions."""
    archive = f"{ROOT}/build/{arch}-symbols/libaxaddrspace.a"
    if not os.path.exists(archive):
        sys.exit(f"no {archive}; run: DEBUG_SYMBOLS=1 scripts/build-lib.sh {arch} build/{arch}-symbols")
    return archive


def contents(arch, archive):
    """The bytes of an archive's sections."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([f"{arch}-linux-gnu-ar", "x", archive], check=True, cwd=directory)
        member, = os.listdir(directory)
        found = {}
        for section in (".text", ".rodata", ".data"):
            tool(arch, "objcopy", "-O", "binary", f"--only-section={section}",
                 f"{directory}/{member}", f"{directory}/bytes")
            with open(f"{directory}/bytes", "rb") as file:
                found[section] = file.read()
        return found


def same_code(arch, archive):
    """Sections whose bytes differ from those of the archive with names."""
    shipped, named = contents(arch, archive), contents(arch, with_symbols(arch))
    return {section for section in shipped if not shipped[section] or shipped[section] != named[section]}


def panics(arch, archive):
    return {name for _, name in symbols(arch, archive) if re.search(PANICS, name)}


def machine(arch, archive):
    """The calling convention that the object declares, and registers that no hypervisor saves."""
    flags = re.search(r"Flags: +(.*)", tool(arch, "readelf", "-h", archive))[1]
    wrong = {f"flags {flags}"} - {f"flags {flag}" for flag in allowed(arch, "flags")}
    for line in tool(arch, "objdump", "-d", "--no-show-raw-insn", archive).splitlines():
        code = re.sub(r"//.*|\b[0-9a-f]+ <.*", "", line.partition(":\t")[2])
        if not code.startswith("lea") and re.search(FORBIDDEN_CODE[arch], code):
            wrong.add(line.strip())
    return wrong


def functions(arch, archive):
    """Name -> instructions, of every function."""
    found, code = {}, None
    for line in tool(arch, "objdump", "-d", "--no-show-raw-insn", archive).splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            code = found.setdefault(head[1], [])
        elif ":\t" in line and code is not None:
            code.append(line.partition(":\t")[2].replace("\t", " "))
    return found


def taken(arch, archive):
    """Functions that can be reached by an indirect branch: those of the interface, and those whose
    addresses stand in data."""
    listing = tool(arch, "readelf", "-sW", archive)
    symbols_at = {int(value, 16): name for value, name in
                  re.findall(r"([0-9a-f]{16}) .* FUNC .* (\S+)$", listing, re.M)}
    inside, found = None, set()
    for line in tool(arch, "readelf", "-rW", archive).splitlines():
        if head := re.match(r"Relocation section '\.rela(\.[^']+)'", line):
            inside = head[1]
        elif (place := re.search(r" \.text \+ ([0-9a-f]+)$", line)) and inside == ".data":
            found.add(symbols_at[int(place[1], 16)])
    return found | {name for _, name in symbols(arch, archive, "-g", "--defined-only")}


def hardened(arch, archive):
    """x86: no indirect branch but by the host's thunk, ENDBR64 where one may arrive. AArch64: BTI (or
    PACIASP, which is one) there, tail calls in x16 or x17, and who saves x30 signs and checks it."""
    entry = {"x86_64": r"endbr64", "aarch64": r"(bti c|paciasp)"}[arch]
    wrong, reachable = set(), taken(arch, archive)
    for name, code in functions(arch, archive).items():
        text = "\n".join(code)
        if name in reachable and not re.match(entry, text):
            wrong.add(f"{name}: no landing pad")
        if arch == "x86_64" and re.search(r"^(notrack )?(call|jmp) +\*", text, re.M):
            wrong.add(f"{name}: an indirect branch of its own")
        if arch == "aarch64" and re.search(r"^br x(?!1[67])", text, re.M) and "bti j" not in text:
            wrong.add(f"{name}: a jump that no bti c takes")
        if arch == "aarch64" and re.search(r"^st[pr] .*x30.*\[sp", text, re.M) and \
                not ("paciasp" in text and re.search(r"^(autiasp|retaa)", text, re.M)):
            wrong.add(f"{name}: a return address that is not signed")
    return wrong


CHECKS = {"one-object": one_object, "sections": sections, "relocations": relocations,
          "undefined": undefined, "globals": global_symbols, "locals": local_symbols, "panics": panics,
          "machine": machine, "same-code": same_code}


def controls(arch):
    with tempfile.TemporaryDirectory() as directory:
        bad, archive = f"{directory}/bad.o", f"{directory}/bad.a"
        # Floating point for RISC-V means a calling convention that Xen and Bao do not link.
        tool(arch, "gcc", "-O1", "-fPIC", "-c", f"{HERE}/bad.c", "-o", bad)
        tool(arch, "ar", "rc", archive, bad)
        missed = [name for name, check in CHECKS.items() if not check(arch, archive)]
    if missed:
        sys.exit(f"{arch}: not refused: {', '.join(missed)}")
    print(f"{arch}: {len(CHECKS)} checks refuse what they must")


def main():
    arch, name = sys.argv[1:3]
    if name == "controls":
        return controls(arch)
    archive = sys.argv[3] if len(sys.argv) > 3 else f"{ROOT}/build/{arch}/libaxaddrspace.a"
    if name == "panics":
        archive = with_symbols(arch)
    check = hardened if name == "hardened" else CHECKS[name]
    if wrong := sorted(check(arch, archive)):
        sys.exit(f"{archive}: {name}:\n" + "\n".join(f"    {what}" for what in wrong[:20]) +
                 f"\nallowed is what stands in {HERE}/{arch}.txt, and link/api.sym")
    print(f"{archive}: {name} as listed")


if __name__ == "__main__":
    main()
