# SPDX-License-Identifier: MIT OR Apache-2.0
"""What check-*.py look at: archives as they are shipped, linked to an image."""

import os
import re
import subprocess
import sys
import tempfile
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ARCHITECTURES = ("x86_64", "aarch64", "riscv64")
with open(f"{ROOT}/link/parts", encoding="ascii") as parts_file:
    PARTS = sorted({row.split()[0] for row in parts_file if not row.startswith("#")})


def run(*command, **environment):
    """What a command prints; its failure is ours."""
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(arch, formats=None, log=True, split=False, symbols=False, parts="", without=""):
    """An archive of an architecture with the formats, all of them if none is named, with parts, and without what can be left out. With symbols: the same
    code, and the names of its functions."""
    name = "-".join([arch] + (formats.split(",") if formats else []) + ([] if log else ["silent"]) +
                    (["split"] if split else []) + (["symbols"] if symbols else []) +
                    parts.split() + (["without"] + without.split() if without else []))
    options = {"LOG": str(int(log)), "SPLIT_SECTIONS": str(int(split)), "DEBUG_SYMBOLS": str(int(symbols))}
    options |= {"FORMATS": formats} if formats else {}
    options |= {"PARTS": parts, "WITHOUT": without}
    run("scripts/build-lib.sh", arch, f"build/{name}", **options)
    return f"{ROOT}/build/{name}/libaxaddrspace.a"


def tool(arch, name):
    return f"{arch}-linux-gnu-{name}"


class Image:
    """An archive's object, linked at some address so that every call of its own has its target."""

    def __init__(self, arch, archive):
        self.arch = arch
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/image"
            # No relaxing: an address is the object's offset and `base`.
            run(tool(arch, "ld"), "--whole-archive", archive, "--no-relax", "-e", "0", "-o", path,
                "--unresolved-symbols=ignore-all", "--no-warn-rwx-segments")
            self.listing = run(tool(arch, "objdump"), "-d", "--no-show-raw-insn", path)
            sections = run(tool(arch, "readelf"), "-SW", path)
        self.base = int(re.search(r"\] \.text +PROGBITS +([0-9a-f]+)", sections)[1], 16)
        self.read_object(run(tool(arch, "readelf"), "-SsrW", "--demangle", archive))

    def read_object(self, text):
        names = dict(re.findall(r"^  \[ *(\d+)\] (\.\S+)", text, re.M))
        symbols = {}
        self.functions = {}  # address -> (name, bytes, whether the host sees it)
        for place, value, size, kind, binding, section, name in re.findall(
                r"^ *(\d+): ([0-9a-f]{16}) +(\w+) (\w+) +(\w+) +\w+ +(\w+) ?(.*)$", text, re.M):
            symbols[int(place)] = names.get(section), int(value, 16)
            if kind == "FUNC" and section != "UND":
                address = self.base + int(value, 16)
                if binding == "GLOBAL" or address not in self.functions:
                    self.functions[address] = plain(name), int(size, 0), binding == "GLOBAL"
        self.read_relocations(text, symbols)
        if not self.functions:
            sys.exit(f"{self.arch}: no functions")

    def read_relocations(self, text, symbols):
        """Which code takes the address of which data or function, and which data hold addresses of functions."""
        self.data_taken = []  # (address in the code, section, offset)
        self.pointers = []  # (section, offset, address of a function)
        self.functions_taken = []  # (address in the code, address of a function); not on x86, which needs no relocation
        inside = None
        for line in text.splitlines():
            if found := re.match(r"Relocation section '\.rela(\.\w+)'", line):
                inside = found[1]
            found = re.match(r"([0-9a-f]{16})  ([0-9a-f]{16}) (R_\w+) .* ([+-]) ([0-9a-f]+)$", line)
            if not found:
                continue
            offset, info = int(found[1], 16), int(found[2], 16)
            section, value = symbols[info >> 32]
            value += int(found[4] + found[5], 16)
            if inside == ".text" and section in (".data", ".rodata"):
                value += 4 if found[3] == "R_X86_64_PC32" else 0
                self.data_taken.append((self.base + offset, section, value))
            elif inside == ".text" and section == ".text" and found[3] in (
                    "R_AARCH64_ADD_ABS_LO12_NC", "R_RISCV_PCREL_HI20"):
                self.functions_taken.append((self.base + offset, self.base + value))
            elif inside in (".data", ".rodata") and section == ".text" and found[3].endswith("64"):
                self.pointers.append((inside, offset, self.base + value))


def plain(name):
    """A function's name without what only the compiler needs."""
    name = re.sub(r"::h[0-9a-f]{16}$", "", name)
    return name.replace("axaddrspace::", "")


Place = namedtuple("Place", "function file line")


def inlined(arch, archive, addresses):
    """Where the instructions at addresses, hexadecimal, of an archive with source lines are from: the source
    functions, the innermost first, that were made one at each."""
    with tempfile.TemporaryDirectory() as directory:
        run(tool(arch, "ar"), "x", f"--output={directory}", os.path.abspath(archive))
        (name,) = os.listdir(directory)
        listed = f"{directory}/addresses"
        with open(listed, "w", encoding="ascii") as file:
            file.writelines(f"{address}\n" for address in addresses)
        text = run(tool(arch, "addr2line"), "-afiC", "-j", ".text", "-e", f"{directory}/{name}", f"@{listed}")
    for part in re.split(r"^0x[0-9a-f]+\n", text, flags=re.M)[1:]:
        lines = part.splitlines()
        yield [Place(re.sub("<.*>$", "", function).split("::")[-1], *re.match(r"(.*):(\d+|\?)", place).groups())
               for function, place in zip(lines[::2], lines[1::2])]


def read_golden(name):
    """The rows of a golden list, without comments."""
    with open(f"{ROOT}/c-tests/abi/{name}", encoding="ascii") as file:
        return [line.split() for line in file if line.strip() and not line.startswith("#")]


def figures():
    """The golden figures as README.md shows them: {name of a block: its lines}."""
    size = {tuple(row[:-1]): int(row[-1]) for row in read_golden("size.txt")}
    stack = {row[0]: dict(zip(ARCHITECTURES, map(int, row[1:]))) for row in read_golden("stack.txt")}
    stack.pop("recursions", None)
    instructions = {tuple(row[:2]): float(row[2]) for row in read_golden("instructions.txt")}

    def kib(*key):
        return f"{size[key] / 1024:.1f} KiB"

    def formats(calls):
        return [f"{kib('x86_64', 'intel-ept', 'no', calls)} EPT, {kib('x86_64', 'amd-npt', 'no', calls)} NPT",
                kib("aarch64", "arm-stage2", "no", calls), kib("riscv64", "riscv-gstage", "no", calls)]

    def worst(arch):
        name = max(stack, key=lambda call: stack[call][arch])
        return f"{stack[name][arch]} B, `{name}`"

    def table(rows):
        return "".join("| " + " | ".join(row) + " |\n" for row in rows).replace("|  |", "| |")

    def count(piece):
        return [f"{instructions[walker, piece]:.0f}" for walker in ("ept", "arm", "riscv")]

    return {"first figures": table([
        ["", "x86_64, EPT", "aarch64", "riscv64"], ["---"] * 4,
        ["Code of a core of 18 calls", *(kib(arch, walker, "no", "core") for arch, walker in zip(
            ARCHITECTURES, ("intel-ept", "arm-stage2", "riscv-gstage")))],
        ["Stack of the deepest call", *(f"{max(call[arch] for call in stack.values())} B" for arch in ARCHITECTURES)],
        ["Instructions to map one page, counted on x86_64", *count("map_one_page")],
        ["... to unmap it", *count("unmap_one_page")],
        ["... to handle a fault that takes a page in, zeroing aside", *count("fault")]]),
        "figures of c-tests/abi": table([
            ["", *ARCHITECTURES], ["---"] * 4,
            ["Code as `make lib` builds it", *(kib(arch, "all", "yes", "all") for arch in ARCHITECTURES)],
            ["Code with one format and `LOG=0`", *formats("all")],
            ["... of which a core of 18 calls links (`SPLIT_SECTIONS=1`, `--gc-sections`)", *formats("core")],
            ["Stack of a page fault", *(f"{stack['axas_handle_page_fault'][arch]} B" for arch in ARCHITECTURES)],
            ["Stack of the deepest call", *(worst(arch) for arch in ARCHITECTURES)]])}


def readme(update):
    """README.md shows the golden figures, between comments."""
    with open(f"{ROOT}/README.md", encoding="utf-8") as file:
        before = file.read()
    text = before
    for name, lines in figures().items():
        begin, end = f"<!-- {name} -->\n", "<!-- end of figures -->\n"
        head, found, rest = text.partition(begin)
        if not found:
            sys.exit(f"README.md has no {begin}")
        text = head + begin + lines + end + rest.partition(end)[2]
    if text == before:
        return
    if not update:
        sys.exit("README.md shows other figures than c-tests/abi: scripts/check-size.py --update")
    with open(f"{ROOT}/README.md", "w", encoding="utf-8") as file:
        file.write(text)
