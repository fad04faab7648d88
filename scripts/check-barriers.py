#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-barriers.py: barriers and ordered accesses in the archives for aarch64 and riscv64, without parts and with all.

Emulators, and x86, do not show an access that is not ordered or a barrier that is missing. Checked are

1. the sources: which atomic accesses and fences are ordered, and where entries are published to page walkers, is as ORDERED says,
   so that none becomes relaxed, comes or goes unseen;
2. the objects: each of them, at every place that the compiler made of it, has the instructions that order it. Places are
   known by their source lines, so that it does not matter which function was inlined into which;
3. on AArch64 the order of barriers and TLB maintenance in the library's own flush. This follows every path
   through the function that holds it, and takes the order that the Arm ARM asks for
   (TLB maintenance instructions; a change of VTTBR_EL2 needs an ISB before its use) and the errata notices
   of parts that translate speculatively, as by AT, from registers of two VMs (Cortex-A53, A55, A57, A72, A76):

    interrupts masked, DSB ISH; TCR_EL1, ISB, SCTLR_EL1, ISB (no walk of stage 1 from here on); VTTBR_EL2,
    ISB; TLBI stage 2, DSB, TLBI stage 1, DSB, ISB; VTTBR_EL2, ISB, SCTLR_EL1, ISB, TCR_EL1, ISB,
    interrupts as before

   with the inner-shareable forms together and the local ones together.
"""

import pathlib
import re
import sys
from collections import Counter, defaultdict

sys.dont_write_bytecode = True
import shipped

# File, source function, operations with their orders, and the architecture if one alone has them. "walkers publish" is
# publish_tables: DSB ISHST on AArch64, nothing on RISC-V.
ORDERED = """
src/logging.rs set store Release, store Release
src/logging.rs deliver load Acquire
src/npt/dirty.rs clean_pages fence Release
src/npt/dirty.rs put_live swap AcqRel
src/npt/fault.rs resolve_page load Acquire, load Acquire
src/npt/fault.rs marked walkers publish
src/npt/fault.rs repair_after walkers publish
src/npt/hide.rs end_hiding walkers publish
src/npt/hide.rs show walkers publish
src/npt/lock.rs full_barrier fence SeqCst
src/npt/lock.rs try_shared fetch_add SeqCst, load SeqCst
src/npt/lock.rs exclusive load SeqCst
src/npt/lock.rs announce compare_exchange SeqCst
src/npt/lock.rs has_readers load SeqCst
src/npt/lock.rs leave_resolved fetch_add Release
src/npt/lock.rs drop fetch_sub Release, store Release
src/npt/look.rs walk_unlocked load Acquire
src/npt/look.rs translate_unlocked load Acquire
src/npt/look.rs read_unlocked fence Acquire
src/npt/map.rs publish_entries walkers publish
src/npt/merge.rs merge_some walkers publish
src/npt/merge.rs move_pages walkers publish
src/npt/page.rs page_way load Acquire
src/npt/page.rs map_page store Release, walkers publish
src/npt/page.rs end_page store Release
src/npt/page.rs replace_page store Release aarch64, store Release aarch64, walkers publish, store Release riscv64
src/npt/populate.rs publish walkers publish
src/npt/protect.rs protect walkers publish, walkers publish
src/npt/provider.rs announce_brought walkers publish
src/npt/provider.rs supply_page load Acquire
src/npt/table.rs load_acquire load Acquire
src/npt/table.rs load_neighbour load Acquire
src/npt/table.rs store store Release
src/npt/table.rs update fence Release
src/npt/table.rs edit compare_exchange Release
src/npt/table.rs exchange compare_exchange AcqRel
src/npt/table.rs fill fence Release
src/npt/tags.rs retag walkers publish
src/npt/transfer.rs put walkers publish
src/npt/transfer.rs put_notes walkers publish
src/npt/unmap.rs begin_reaping walkers publish, store Release, fence Release
"""

# state -> event -> state; paths begin in "start" and end in "start" (no flush here) or "end".
ORDER = {"start": {"mask": "masked"}}
BEFORE = ("dsb ish", "tcr", "isb", "sctlr", "isb", "vttbr", "isb")
AFTER = ("vttbr", "isb", "sctlr", "isb", "tcr", "isb")


def chain(first, events, last):
    """One event after the other, from one state to another."""
    states = [first] + [f"{first}, then {' '.join(events[:n])}" for n in range(1, len(events))] + [last]
    for state, event, following in zip(states, events, states[1:]):
        ORDER.setdefault(state, {})[event] = following


chain("masked", BEFORE, "ready")
for suffix, domain in (("", "nsh"), ("is", "ish")):
    name = "stage 2 " + domain
    for first in ("ipas2e1" + suffix, "vmalls12e1" + suffix):
        ORDER.setdefault("ready", {})[first] = name
        ORDER.setdefault(name, {})[first] = name
    chain(name, ("dsb " + domain, "vmalle1" + suffix, "dsb " + domain, "isb"), "restore")
chain("restore", AFTER, "unmask")
ORDER["unmask"] = {"unmask": "end"}


def event(mnemonic, operands):
    """What an instruction does in the order, if anything."""
    if mnemonic == "dsb":
        return "dsb " + operands
    if mnemonic == "isb":
        return "isb"
    if mnemonic == "tlbi":
        return operands.split(",")[0]
    if mnemonic == "msr":
        register = operands.split(",")[0]
        return {"vttbr_el2": "vttbr", "tcr_el1": "tcr", "sctlr_el1": "sctlr", "daifset": "mask",
                "daif": "unmask"}.get(register)
    return None


def wrong_order(code):
    """The first path that leaves the order, as text; nothing if there is none."""
    places = {address: place for place, (address, _, _) in enumerate(code)}
    todo, seen = [(0, "start")], set()
    while todo:
        place, state = todo.pop()
        if (place, state) in seen or place >= len(code):
            continue
        seen.add((place, state))
        address, mnemonic, operands = code[place]
        if (what := event(mnemonic, operands)) is not None:
            if what not in ORDER.get(state, {}):
                return f"at {address:#x}: {what} after {state}"
            state = ORDER[state][what]
        if mnemonic == "ret" and state not in ("start", "end"):
            return f"at {address:#x}: return after {state}"
        if re.match(r"(b|b\..*|cbn?z|tbn?z)$", mnemonic):
            target = int(operands.split(",")[-1].strip(), 16)
            if target in places:
                todo.append((places[target], state))
        if mnemonic not in ("b", "br", "ret"):
            todo.append((place + 1, state))
    return None


def call_before(text, place):
    """The atomic operation whose argument stands at a place, and where it is named; none if it is in another statement."""
    statement = max(text.rfind(mark, 0, place) for mark in ";{}")
    found = None
    for found in re.finditer(r"\.(load|store|swap|compare_exchange|fetch_\w+)\(|\b(fence)\(", text[statement + 1:place]):
        pass
    return found and (found[1] or found[2], statement + 1 + found.start(found.lastindex))


def ordered_in(path):
    """(line, function, operation, order) of each ordered operation of a source file, without what only models have."""
    text = path.read_text(encoding="utf-8")
    code = re.sub(r"//[^\n]*", lambda comment: " " * len(comment[0]), text)
    functions = [(place.start(), place[1]) for place in re.finditer(r"\bfn (\w+)", code)]

    def describe(place, operation, order):
        name = [name for start, name in functions if start < place][-1]
        return code.count("\n", 0, place) + 1, name, operation, order

    for found in re.finditer(r"Ordering::(Acquire|Release|AcqRel|SeqCst)|publish_tables\(\);", code):
        before = code[:found.start()].splitlines()
        # A branch that only a planted defect takes, or a model.
        if re.search(r"if planted\(.*\{\s*(let .*\n\s*)?$|cfg\(loom\)\]\n$", "\n".join(before[-3:-1]) + "\n"):
            continue
        if not found[1]:
            if "fn publish_tables" not in before[-2]:
                yield describe(found.start(), "walkers", "publish")
            continue
        if variable := re.search(r"let (\w+) = (?:unless\([\w:]+, )?$", before[-1]):
            uses = re.finditer(rf"\.(load|compare_exchange)\([^;]*?\b{variable[1]}\b", code[found.end():])
            use = next(uses)
            yield describe(found.end() + use.start(1), use[1], found[1])
        elif call := call_before(code, found.start()):
            yield describe(call[1], call[0], found[1])
        else:
            sys.exit(f"{path}:{len(before)}: an order of no operation")


def sources():
    """(file, line) -> (function, operation, order), of src without the models."""
    found = {}
    for path in sorted(pathlib.Path(shipped.ROOT, "src").rglob("*.rs")):
        if "model" not in path.parts:
            for line, *rest in ordered_in(path):
                # The order of a failed exchange comes second.
                found.setdefault((path.relative_to(shipped.ROOT).as_posix(), line), rest)
    return found


# What an instruction does: reads, writes; and what it orders: later accesses behind it, earlier ones before it.
ACCESSES = {
    "aarch64": ((r"ldap?r|ldarb|ldarh", "r", "a"), (r"ldaxr\w?", "r", "a"), (r"ldxr\w?", "r", ""),
                (r"ld[ru]\w*|ldp\w*", "r", ""), (r"stlrb?|stlrh", "w", "r"), (r"stlxr\w?", "w", "r"), (r"stxr\w?", "w", ""),
                (r"st[ru]\w*|stp", "w", "")),
    "riscv64": ((r"(amo\w+|lr|sc)\.[wd]\.aqrl", "rw", "ar"), (r"(amo\w+|lr)\.[wd]\.aq", "rw", "a"),
                (r"(amo\w+|sc)\.[wd]\.rl", "rw", "r"), (r"(amo\w+|lr|sc)\.[wd]", "rw", ""),
                (r"l[bhwd]u?", "r", ""), (r"s[bhwd]", "w", "")),
}
FENCES = {
    "aarch64": {"dmb\tish": "arf", "dsb\tish": "arf", "dmb\tishld": "a", "dsb\tishst": "s"},
    "riscv64": {"fence\trw,rw": "arf", "fence": "arf", "fence\tr,rw": "a", "fence\trw,w": "r"},
}
NEEDS = {"Acquire": "a", "Release": "r", "AcqRel": "ar", "SeqCst": "ar"}


def instruction(arch, mnemonic, operands):
    """What it does, and what it orders, if it has to do with memory. lr reads and sc writes alone."""
    fence = FENCES[arch].get(f"{mnemonic}\t{operands}".strip())
    if fence:
        return "", fence
    for pattern, does, orders in ACCESSES[arch]:
        if re.fullmatch(pattern, mnemonic):
            return {"lr": "r", "sc": "w"}.get(mnemonic[:2], does) if arch == "riscv64" else does, orders
    return None


def read(arch, archive):
    """Name -> list of (address, mnemonic, operands)."""
    text = shipped.run(shipped.tool(arch, "objdump"), "-d", "-C", "--no-show-raw-insn", archive)
    code, found = None, {}
    for line in text.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            code = found.setdefault(head[1], [])
        elif (body := re.match(r"\s+([0-9a-f]+):\t(\S+)\s*(.*)$", line)) and code is not None:
            operands = body[3].split("//")[0].split("<")[0].strip()
            code.append((int(body[1], 16), body[2], operands))
    return found


def instances(arch, archive, found):
    """(file, line) of a source -> what the compiler made of it at each place: lists of (address, does, orders)."""
    memory = [(name, address, what) for name, code in found.items() for address, mnemonic, operands in code
              if (what := instruction(arch, mnemonic, operands))]
    chains = shipped.inlined(arch, archive, [hex(address) for _, address, _ in memory])
    made = defaultdict(lambda: defaultdict(list))
    for (name, address, what), chain in zip(memory, chains):
        # Inside the standard library's functions for atomic accesses, or a barrier.
        outer = [place for place in chain if "/core/src/" not in place.file]
        if outer and (len(outer) < len(chain) or "f" in what[1] or "s" in what[1]):
            if outer[0].file.endswith("src/hal/cpu.rs"):
                outer = [place for place in outer if not place.file.endswith("src/hal/cpu.rs")]
            if not outer or not outer[0].line.isdecimal():
                continue
            file = outer[0].file[outer[0].file.find("src/"):]
            made[file, int(outer[0].line)][name, *outer].append((address, *what))
    return made


def unordered(operation, order, instance):
    """What is wrong with one place, if anything."""
    fences = [(address, orders) for address, does, orders in instance if not does]
    if operation == "fence":
        need = "f" if order == "SeqCst" else NEEDS[order]
        return None if any(need in orders for _, orders in fences) else "another barrier"
    for address, does, orders in instance:
        need = (NEEDS[order] if operation != "store" else "r") if operation != "load" else "a"
        if "r" in does and "a" in need and "a" not in orders and not any(
                "a" in fence and behind > address for behind, fence in fences):
            return f"a read at {address:#x} that orders nothing behind it"
        if "w" in does and "r" in need and "r" not in orders and not any(
                "r" in fence and before < address for before, fence in fences):
            return f"a write at {address:#x} that is not ordered"
    return None


def check_object(arch, archive, wanted):
    """That every place of every ordered operation is ordered; which ones are there."""
    found = read(arch, archive)
    made = instances(arch, archive, found)
    for place, (function, operation, order) in wanted.items():
        for instance in made.get(place, {}).values():
            if operation != "walkers" and (problem := unordered(operation, order, instance)):
                sys.exit(f"{archive}: {':'.join(map(str, place))}, {operation} {order} in {function}: {problem}")
    if arch == "aarch64":
        flushes = [code for code in found.values() if any(mnemonic == "tlbi" for _, mnemonic, _ in code)]
        if not flushes:
            sys.exit(f"{archive}: no TLB maintenance in it")
        for code in flushes:
            if problem := wrong_order(code):
                sys.exit(f"{archive}: {problem}")
    there = {place: len(places) for place, places in made.items() if place in wanted}
    return set(there), sum(there.values())


def read_list():
    """The rows of ORDERED, all of them and those of each architecture, each counted."""
    everything, of_arch = Counter(), {arch: Counter() for arch in ACCESSES}
    for line in ORDERED.strip().splitlines():
        file, function, *operations = re.split(r" +|, ", line)
        while operations:
            operation, order, *operations = operations
            only = operations.pop(0) if operations and operations[0] in ACCESSES else None
            row = file, function, operation, order
            everything[row] += 1
            for arch in ACCESSES:
                of_arch[arch][row] += only in (None, arch) and (operation != "walkers" or arch == "aarch64")
    return everything, of_arch


def main():
    wanted = sources()
    rows = Counter((file, *rest) for (file, _), rest in wanted.items())
    everything, of_arch = read_list()
    for row in everything - rows:
        print("not in the sources any more:", *row)
    for row in rows - everything:
        print("in the sources and not listed:", *row)
    if rows != everything:
        sys.exit("the ordered operations are not those of ORDERED")
    for arch in ACCESSES:
        there, count = set(), 0
        for parts in ("", " ".join(shipped.PARTS)):
            more, places = check_object(arch, shipped.build(arch, symbols=True, parts=parts), wanted)
            there, count = there | more, count + places
        made = Counter((place[0], *wanted[place]) for place in there)
        for row in of_arch[arch] - made:
            sys.exit(f"{arch}: nothing is made of {' '.join(row)}")
        print(f"{arch}: {len(there)} ordered operations are ordered at all of {count} places")


if __name__ == "__main__":
    main()
