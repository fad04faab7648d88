#!/usr/bin/env python3
"""check-size.py [--update] [--list [N]]: bytes of code of the archives against c-tests/abi/size.txt.

Measured is .text of the shipped object: for each architecture as `make lib` builds it, and for each
format alone without messages. Fails where more than the golden figure and 1 % stands.
  --list [N]   the N (30) largest functions of each archive with one format
  --update     make what was measured the golden figures, here and in README.md
"""

import sys

import shipped

GOLDEN = "size.txt"
GOAL = 24 * 1024
HEAD = f"""# Bytes of .text in the shipped object; the goal for one format without messages is {GOAL}.
# After a change that is meant: scripts/check-size.py --update
#
# arch    formats            messages  bytes
"""
SHIPPED = [(arch, "all", "yes") for arch in shipped.ARCHITECTURES]
SMALL = [("x86_64", "intel-ept", "no"), ("x86_64", "amd-npt", "no"), ("aarch64", "arm-stage2", "no"),
         ("riscv64", "riscv-gstage", "no")]


def text_bytes(arch, archive):
    for line in shipped.run(shipped.tool(arch, "size"), "-A", archive).splitlines():
        words = line.split()
        if words and words[0] == ".text":
            return int(words[1])
    sys.exit(f"{archive}: no .text")


def show_largest(arch, archive, count):
    functions = shipped.Image(arch, archive).functions
    for name, size, _ in sorted(functions.values(), key=lambda function: -function[1])[:count]:
        print(f"    {size:6} {name}")


def main():
    arguments = sys.argv[1:]
    largest = 0
    if "--list" in arguments:
        given = arguments[arguments.index("--list") + 1:][:1]
        largest = int(given[0]) if given and given[0].isdigit() else 30
    golden = {tuple(row[:3]): int(row[3]) for row in shipped.read_golden(GOLDEN)}
    rows, failures = [], 0
    for key in SHIPPED + SMALL:
        arch, formats, messages = key
        archive = shipped.build(arch, None if formats == "all" else formats, messages == "yes")
        size = text_bytes(arch, archive)
        rows.append(f"{arch:9} {formats:18} {messages:9} {size}")
        before = golden.get(key)
        verdict = "no golden figure" if before is None else f"golden {before}"
        bound = 0 if before is None else before + before // 50
        if key in SMALL and before is not None and before <= GOAL:
            bound = min(bound, GOAL)
        if size > bound:
            failures += 1
            verdict += f", at most {bound}: TOO LARGE"
        elif key in SMALL and size > GOAL:
            verdict += f"; the goal is {GOAL}"
        print(f"{rows[-1]:45} ({verdict})")
        if largest and key in SMALL:
            show_largest(arch, archive, largest)
    if "--update" in arguments:
        with open(f"{shipped.ROOT}/c-tests/abi/{GOLDEN}", "w", encoding="ascii") as file:
            file.write(HEAD + "".join(row + "\n" for row in rows))
    elif failures:
        sys.exit(f"{failures} archives are too large; if that is meant: scripts/check-size.py --update")
    shipped.readme("--update" in arguments)


if __name__ == "__main__":
    main()
