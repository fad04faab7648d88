#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-barriers.py ARCHIVE: the order of barriers and TLB maintenance in the AArch64 archive.

Emulators do not show a barrier that is missing or stands in the wrong place. This follows every path
through the function that holds the library's own flush, and takes the order that the Arm ARM asks for
(TLB maintenance instructions; a change of VTTBR_EL2 needs an ISB before its use) and the errata notices
of parts that translate speculatively, as by AT, from registers of two VMs (Cortex-A53, A55, A57, A72, A76):

    interrupts masked, DSB ISH; TCR_EL1, ISB, SCTLR_EL1, ISB (no walk of stage 1 from here on); VTTBR_EL2,
    ISB; TLBI stage 2, DSB, TLBI stage 1, DSB, ISB; VTTBR_EL2, ISB, SCTLR_EL1, ISB, TCR_EL1, ISB,
    interrupts as before

with the inner-shareable forms together and the local ones together. It also looks that every
source function which publishes entries has a DSB ISHST, wherever it was inlined: the archive has its source lines
(make lib DEBUG_SYMBOLS=1).
"""

import re
import subprocess
import sys

sys.dont_write_bytecode = True
from shipped import inlined

OBJDUMP = "aarch64-linux-gnu-objdump"
# Source functions that publish entries.
PUBLISHERS = {"map_page", "replace_page", "publish", "publish_content", "begin_reaping", "repair_after", "protect"}

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


def functions(archive):
    """Name -> list of (address, mnemonic, operands)."""
    text = subprocess.run([OBJDUMP, "-d", "-C", "--no-show-raw-insn", archive], check=True,
                          capture_output=True, text=True).stdout
    code, found = None, {}
    for line in text.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            code = found.setdefault(head[1], [])
        elif (body := re.match(r"\s+([0-9a-f]+):\t(\S+)\s*(.*)$", line)) and code is not None:
            operands = body[3].split("//")[0].split("<")[0].strip()
            code.append((int(body[1], 16), body[2], operands))
    return found


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


def main():
    archive = sys.argv[1]
    found = functions(archive)
    flushes = [code for code in found.values()
               if any(mnemonic == "tlbi" for _, mnemonic, _ in code)]
    if not flushes:
        sys.exit(f"{archive}: no TLB maintenance in it")
    for code in flushes:
        if problem := wrong_order(code):
            sys.exit(f"{archive}: {problem}")
    barriers = [hex(address) for code in found.values() for address, m, o in code
                if event(m, o) == "dsb ishst"]
    missing = PUBLISHERS - {place.function for places in inlined("aarch64", archive, barriers)
                            for place in places}
    if missing:
        sys.exit(f"{archive}: no DSB ISHST in {', '.join(sorted(missing))}")
    print(f"{archive}: barriers and TLB maintenance in order on every path")


if __name__ == "__main__":
    main()
