#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-stack.py [--update] [--list [N]] [--path FUNCTION]: worst stack of each call.

Reads the code of the shipped objects: every path through every function, what it does to the stack
pointer, what it calls at which depth. Against c-tests/abi/stack.txt; fails where a call takes more than
1 KiB, or more than its golden figure and 64 bytes (another compiler's); where a call takes more than 1 KiB in an
archive with all parts (link/parts), which has no golden figures; where a function calls itself; and
where the code does something to the stack pointer that is not understood. What the host's callbacks take
comes on top.
  --list [N]        the N (30) deepest frames of each architecture
  --path FUNCTION   the chain of calls behind a figure
  --update          make what was measured the golden figures, here and in README.md
"""

import re
import sys

sys.dont_write_bytecode = True
import shipped

GOLDEN = "stack.txt"
LIMIT = 1024
TOLERANCE = 64
HEAD = f"""# Bytes of stack that a call takes at most, the host's callbacks not counted; the limit is {LIMIT}.
# After a change that is meant: scripts/check-stack.py --update
#
"""
WORD = 8


class NotUnderstood(Exception):
    pass


# Who calls a function by an address that another call left in the space, and which ones these are. Neither is inlined.
STORED = {"AddressSpace::leave_alone": "::undo_failed"}


def number(text):
    return int(text.lstrip("$#"), 0)


def target_of(operands):
    """The address a direct branch goes to: the last operand, or what objdump made of two instructions."""
    if found := re.search(r"# ([0-9a-f]+) <", operands):
        return int(found[1], 16)
    found = re.search(r"(?:^|,)\s*(?:0x)?([0-9a-f]+) <", operands)
    return int(found[1], 16) if found else None


# Each machine's `step`: depth and frame pointer before -> (depth after, frame pointer after, what the
# instruction does). What it does is one of: "next", "branch" (to a target, or on), "jump", "call",
# "indirect call", "indirect jump", "end".

def step_x86_64(mnemonic, operands, depth, frame, _registers):
    mnemonic = re.sub(r"^(notrack|bnd|addr32|data16|cs|rep|repz|lock) ", "", mnemonic)
    if mnemonic in ("push", "pushf"):
        return depth + WORD, frame, "next"
    if mnemonic in ("pop", "popf"):
        if operands == "%rsp":
            raise NotUnderstood
        return depth - WORD, frame, "next"
    if mnemonic == "leave":
        return frame - WORD, None, "next"
    if mnemonic == "mov" and operands == "%rsp,%rbp":
        return depth, depth, "next"
    if mnemonic == "call":
        return depth, frame, "indirect call" if operands.startswith("*") else "call"
    if mnemonic == "jmp":
        return depth, frame, "indirect jump" if operands.startswith("*") else "jump"
    if mnemonic in ("ret", "ud2", "hlt", "int3"):
        return depth, frame, "end"
    if mnemonic.startswith("j"):
        return depth, frame, "branch"
    if operands.endswith(",%rsp") and not mnemonic.startswith(("cmp", "test")):
        if found := re.fullmatch(r"(\$-?0x[0-9a-f]+),%rsp", operands):
            value = number(found[1])
            value -= 1 << 64 if value >= 1 << 63 else 0
            if mnemonic in ("add", "sub"):
                return depth + (value if mnemonic == "sub" else -value), frame, "next"
            if mnemonic == "and":
                return depth - value - WORD, frame, "next"
        if found := re.fullmatch(r"(-?0x[0-9a-f]+)\(%(rsp|rbp)\),%rsp", operands):
            base = depth if found[2] == "rsp" else frame
            if mnemonic == "lea" and base is not None:
                return base - number(found[1]), frame, "next"
        raise NotUnderstood
    return depth, frame, "next"


def step_aarch64(mnemonic, operands, depth, frame, registers):
    if found := re.match(r"(add|sub)$", mnemonic) and re.fullmatch(
            r"(sp|x29|x9), (sp|x29|x9), #(0x[0-9a-f]+)(, lsl #12)?", operands):
        value = number(found[3]) << (12 if found[4] else 0)
        base = {"sp": depth, "x29": frame, "x9": registers.get("x9")}[found[2]]
        after = None if base is None else base + (value if mnemonic == "sub" else -value)
        if found[1] == "x9":
            registers["x9"] = after
            return depth, frame, "next"
        if found[1] == "x29":
            return depth, after, "next"
        if after is None:
            raise NotUnderstood
        return after, frame, "next"
    # More than the 16 bytes of alignment that the stack always has: worst case, all of it is lost.
    if mnemonic == "and" and registers.get("x9") and operands.startswith("sp, x9, #"):
        return registers["x9"] + (1 << 64) - number(operands.split()[2]) - 16, frame, "next"
    if mnemonic == "mov" and operands in ("x29, sp", "sp, x29"):
        if operands == "x29, sp":
            return depth, depth, "next"
        if frame is None:
            raise NotUnderstood
        return frame, frame, "next"
    if re.match(r"(st|ld)[pr]", mnemonic):
        if found := re.search(r"\[sp, #(-?\d+)\]!$|\[sp\], #(-?\d+)$", operands):
            return depth - int(found[1] or found[2]), frame, "next"
        return depth, frame, "next"
    if mnemonic == "bl":
        return depth, frame, "call"
    if mnemonic.startswith("blr"):
        return depth, frame, "indirect call"
    if mnemonic == "b":
        return depth, frame, "jump"
    if re.fullmatch(r"br(a[ab]z?)?", mnemonic):
        return depth, frame, "indirect jump"
    if re.match(r"(b\.|cbn?z|tbn?z)", mnemonic):
        return depth, frame, "branch"
    if re.fullmatch(r"ret(a[ab])?|udf|brk", mnemonic):
        return depth, frame, "end"
    if re.match(r"(sp|wsp)(,|$)", operands) and mnemonic != "cmp":
        raise NotUnderstood
    return depth, frame, "next"


def step_riscv64(mnemonic, operands, depth, frame, registers):
    words = operands.split(",")

    def value(place):
        """An immediate, or a register whose value is known; a move has none."""
        if place >= len(words):
            return 0
        if words[place] in registers:
            return registers[words[place]]
        try:
            return number(words[place])
        except ValueError:
            raise NotUnderstood from None

    if mnemonic in ("addi", "add", "mv", "sub") and words[0] in ("sp", "s0") and words[1] in ("sp", "s0"):
        base = depth if words[1] == "sp" else frame
        if words[0] == "s0":
            return depth, base - value(2) if words[1] == "sp" else None, "next"
        if base is None:
            raise NotUnderstood
        return base + (value(2) if mnemonic == "sub" else -value(2)), frame, "next"
    if mnemonic in ("and", "andi") and words[:2] == ["sp", "sp"]:
        return depth - number(words[2]) - 16, frame, "next"
    # Frames above 2 KiB go through a register.
    if mnemonic == "lui":
        registers[words[0]] = (number(words[1]) << 12) - (1 << 32 if number(words[1]) >> 19 else 0)
    elif mnemonic in ("addi", "addiw") and words[0] == words[1] and words[0] in registers:
        registers[words[0]] += number(words[2])
    elif mnemonic == "li":
        registers[words[0]] = number(words[1])
    elif words[0] in registers and not re.match(r"s[bhwd]$|b", mnemonic):
        del registers[words[0]]
    if mnemonic in ("jal", "jalr"):
        registers.clear()
        return depth, frame, "call" if target_of(operands) is not None else "indirect call"
    if mnemonic in ("j", "jr"):
        return depth, frame, "jump" if target_of(operands) is not None else "indirect jump"
    if mnemonic in ("ret", "unimp", "ebreak"):
        return depth, frame, "end"
    if re.match(r"b(eq|ne|lt|ge|gt|le)", mnemonic):
        return depth, frame, "branch"
    if words[0] == "sp" and not re.match(r"s[bhwd]$|b", mnemonic):
        raise NotUnderstood
    return depth, frame, "next"


STEP = {"x86_64": step_x86_64, "aarch64": step_aarch64, "riscv64": step_riscv64}


class Function:
    """What a function does to the stack: its own deepest point, and whom it calls how deep."""

    def __init__(self, name, is_api):
        self.name = name
        self.is_api = is_api
        self.depth = 0
        self.calls = {}  # address -> depth at the call
        self.tail_calls = set()  # addresses jumped to with nothing left on the stack
        self.indirect = None  # depth at the deepest indirect call
        self.closures = set()  # addresses of closures that it makes references to
        self.pointers = set()  # addresses of functions that it takes

    def calls_at(self, target, depth):
        self.calls[target] = max(depth, self.calls.get(target, 0))
        self.depth = max(self.depth, depth)

    def calls_indirectly_at(self, depth):
        self.indirect = max(depth, self.indirect or 0)
        self.depth = max(self.depth, depth)


def read_code(listing):
    code = []
    for line in listing.splitlines():
        if found := re.match(r"\s+([0-9a-f]+):\t(\S+(?: (?=call|jmp|stos|movs|ret))?\S*)\s*(.*)$", line):
            code.append((int(found[1], 16), found[2], found[3].split("//")[0].strip()))
    return code


def follow(function, code, arch):
    """Goes every path through a function."""
    step = STEP[arch]
    call_takes = WORD if arch == "x86_64" else 0
    places = {address: place for place, (address, _, _) in enumerate(code)}
    todo, seen, switches, is_switch = [(0, 0, None, {})], {}, [], False
    while True:
        if not todo:
            # What no branch leads to is reached by a switch.
            rest = [place for place in range(len(code)) if place not in seen and
                    not re.match(r"nop|xchg|int3|ud2|udf|unimp|data16|cs|c\.unimp|bti|endbr", code[place][1])]
            if not rest or not switches:
                break
            is_switch = True
            todo.append((rest[0], *max(switches, key=lambda switch: switch[0]), {}))
        place, depth, frame, registers = todo.pop()
        while place < len(code):
            if depth <= seen.get(place, -1):
                break
            seen[place] = depth
            address, mnemonic, operands = code[place]
            try:
                after, frame, what = step(mnemonic, operands, depth, frame, registers)
            except NotUnderstood:
                sys.exit(f"{arch}: {function.name} at {address:#x}: not understood: {mnemonic} {operands}")
            depth = after
            if not 0 <= depth < 1 << 16:
                sys.exit(f"{arch}: {function.name} at {address:#x}: a stack of {depth} bytes")
            function.depth = max(function.depth, depth)
            target = target_of(operands) if what in ("branch", "jump", "call") else None
            if what == "call":
                function.calls_at(target, depth + call_takes)
            elif what == "indirect call":
                function.calls_indirectly_at(depth + call_takes)
            elif what == "indirect jump":
                switches.append((depth, frame))
            elif what in ("branch", "jump"):
                if target in places:
                    todo.append((places[target], depth, frame, dict(registers)))
                else:
                    function.calls_at(target, depth)
                    if depth == 0:
                        function.tail_calls.add(target)
            if what in ("jump", "indirect jump", "end"):
                break
            place += 1
    if switches and not is_switch:
        function.calls_indirectly_at(max(depth for depth, _ in switches))


class Stacks:
    """The stack of every function of an architecture's archive."""

    def __init__(self, arch, parts=""):
        self.arch = arch
        self.name = f"{arch}, all parts" if parts else arch
        self.cycles = set()
        self.worst = {}
        image = shipped.Image(arch, shipped.build(arch, symbols=True, parts=parts))
        code = read_code(image.listing)
        self.functions = {}
        for start, (name, size, is_api) in image.functions.items():
            function = self.functions[start] = Function(name, is_api)
            follow(function, [line for line in code if start <= line[0] < start + size], arch)
        self.find_closures(image)
        self.find_pointers(image, code)

    def find_closures(self, image):
        """Closures that Rust calls through vtables: a function that makes a reference to one takes the
        address of its vtable. (The first method of each is for calls by value; nobody calls those.)"""
        takers = {}
        for address, section, offset in image.data_taken:
            for start, (_, size, _) in image.functions.items():
                if start <= address < start + size:
                    takers.setdefault((section, offset), set()).add(start)
        for section, offset, closure in image.pointers:
            vtable = max((place for place in takers if place[0] == section and place[1] <= offset),
                         default=None)
            if vtable is None or closure not in self.functions:
                sys.exit(f"{self.arch}: {section}+{offset:#x}: a pointer whose use is not understood")
            if "vtable.shim" not in self.functions[closure].name:
                for taker in takers[vtable]:
                    self.functions[taker].closures.add(closure)

    def find_pointers(self, image, code):
        """Functions whose addresses other functions take. Rust code hands such a pointer to the function that calls it,
        and that one does not hand it on."""
        taken = list(image.functions_taken)
        for address, mnemonic, operands in code:
            if mnemonic == "lea" and "(%rip)" in operands and (target := target_of(operands)):
                taken.append((address, target))
        for address, target in taken:
            for start, (_, size, _) in image.functions.items():
                if start <= address < start + size and target in self.functions:
                    self.functions[start].pointers.add(target)

    def of(self, address, closures=frozenset(), path=(), pointers=frozenset()):
        """The worst stack from a function on, and the chain that takes it. Each indirect call may be one
        of the closures that were made further up, one of the functions that the caller or the function itself takes the address
        of, as well as one of the host's callbacks."""
        function = self.functions.get(address)
        if function is None:
            sys.exit(f"{self.arch}: a call to {address:#x}, where no function is")
        if address in path:
            chain = path[path.index(address):] + (address,)
            if any(after not in self.functions[before].tail_calls
                   for before, after in zip(chain, chain[1:])):
                self.cycles.add(frozenset(self.functions[place].name for place in chain))
            return 0, []
        closures = (closures | function.closures) - {address}
        key = address, closures, pointers
        if key in self.worst:
            return self.worst[key]
        most, chain = function.depth, []
        own = frozenset(function.pointers)
        below = [(depth, *self.of(target, closures, path + (address,), own))
                 for target, depth in function.calls.items()]
        if function.indirect is not None:
            called = closures | pointers | own
            if stored := [name for caller, name in STORED.items() if caller in function.name]:
                called = {place for place, one in self.functions.items() if stored[0] in one.name}
            below += [(function.indirect, *self.of(place, closures, path + (address,))) for place in called]
        for depth, stack, names in below:
            if depth + stack > most:
                most, chain = depth + stack, [(function.name, depth)] + names
        self.worst[key] = most, chain or [(function.name, most)]
        return self.worst[key]

    def api(self):
        return {function.name: self.of(address)
                for address, function in self.functions.items() if function.is_api}


def argument(name, otherwise=None):
    """The word behind an option; `otherwise` if there is none; nothing without the option."""
    if name not in sys.argv:
        return None
    behind = sys.argv[sys.argv.index(name) + 1:][:1]
    return behind[0] if behind and not behind[0].startswith("-") else otherwise


def explain(everything, deepest, wanted):
    if wanted and not any(wanted in stacks.api() for stacks in everything):
        sys.exit(f"no function {wanted}")
    for stacks in everything:
        if deepest:
            print(f"{stacks.name}: the deepest frames")
            frames = sorted(stacks.functions.values(), key=lambda function: -function.depth)
            for function in frames[:deepest]:
                print(f"    {function.depth:6} {function.name}")
        if wanted in stacks.api():
            most, chain = stacks.api()[wanted]
            print(f"{stacks.name}: {wanted} takes {most}")
            for name, depth in chain:
                print(f"    {depth:6} {name}")


def above_limit(stacks):
    """What is wrong with an archive that has no golden figures."""
    wrong = [f"{stacks.name}: recursion: {', '.join(sorted(cycle))}" for cycle in stacks.cycles]
    for name, (most, _) in sorted(stacks.api().items()):
        if most > LIMIT:
            wrong.append(f"{stacks.name}: {name}: {most}, at most {LIMIT}")
    return wrong


def main():
    everything = {arch: Stacks(arch) for arch in shipped.ARCHITECTURES}
    with_parts = [Stacks(arch, " ".join(shipped.PARTS)) for arch in shipped.ARCHITECTURES]
    rows = {}
    for arch, stacks in everything.items():
        for name, (most, _) in stacks.api().items():
            rows.setdefault(name, {})[arch] = most
        rows.setdefault("recursions", {})[arch] = len(stacks.cycles)
        for cycle in stacks.cycles:
            print(f"{arch}: recursion: {', '.join(sorted(cycle))}")
    explain([*everything.values(), *with_parts], int(argument("--list", "30") or 0), argument("--path"))
    lines = [f"{'# call':28}" + "".join(f"{arch:>10}" for arch in shipped.ARCHITECTURES)]
    lines += [f"{name:28}" + "".join(f"{rows[name][arch]:10}" for arch in shipped.ARCHITECTURES)
              for name in sorted(rows)]
    print("\n".join(lines))
    updates = "--update" in sys.argv
    golden = {row[0]: dict(zip(shipped.ARCHITECTURES, map(int, row[1:])))
              for row in shipped.read_golden(GOLDEN)}
    worse = []
    for name, row in rows.items():
        for arch, most in row.items():
            before = golden.get(name, {}).get(arch, LIMIT)
            bound = LIMIT if updates else min(before + TOLERANCE, LIMIT)
            if most > (0 if name == "recursions" else bound):
                worse.append(f"{arch}: {name}: {most}, golden {before}, at most {LIMIT}")
    if worse:
        sys.exit("\n".join(["more than before:", *worse,
                            f"if that is meant, and up to {LIMIT}: scripts/check-stack.py --update"]))
    if wrong := [line for stacks in with_parts for line in above_limit(stacks)]:
        sys.exit("\n".join(wrong))
    if updates:
        with open(f"{shipped.ROOT}/c-tests/abi/{GOLDEN}", "w", encoding="ascii") as file:
            file.write(HEAD + "\n".join(lines) + "\n")
    shipped.readme(updates)
    most, name = max((most, name) for stacks in with_parts for name, (most, _) in stacks.api().items())
    print(f"all calls within {GOLDEN}; the worst takes {max(max(row.values()) for row in rows.values())}; "
          f"with all parts: {most}, {name}")


if __name__ == "__main__":
    main()
