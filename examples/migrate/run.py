#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""run.py QEMU CPU IMAGE DEBIAN OUT: boots Linux below the hypervisor, which moves it while it writes memory.

IMAGE is the hypervisor, DEBIAN what ../linux/fetch.sh made; OUT has the guest's program `writer` and takes what is made
here, and what was printed. Every checksum that the guest prints is compared; the last line begins with GOOD or BAD.
"""
import hashlib
import os
import re
import statistics
import struct
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../linux")
from boot import CPUS, RAM_MIB, Bad, Guest, Run, read  # noqa: E402

MOVES = 20  # as guest/init asks for
RAM_GPA = 0x40000000
UINT64 = (1 << 64) - 1


def memory_after(number, steps):
    """The checksum of the file of writer NUMBER: see guest/writer.c."""
    pages, words = 8192, 512
    digit = ord(str(number))
    last = list(range(pages))
    random = digit
    for step in range(pages, steps):
        random = (random * 6364136223846793005 + 1442695040888963407) & UINT64
        last[random >> 51] = step
    of_index = [index * 0xbf58476d1ce4e5b9 & UINT64 for index in range(words)]
    digest = hashlib.sha256()
    for step in last:
        of_step = (digit << 32 | step) * 0x9e3779b97f4a7c15 & UINT64
        digest.update(struct.pack(f"<{words}Q", *[of_step + word & UINT64 for word in of_index]))
    return digest.hexdigest()


def lines(run, pattern):
    return [match for _, line in run.lines if (match := re.fullmatch(pattern, line))]


def writers(run):
    """How many steps each writer made, none of them wrong."""
    said = lines(run, r"init: writer (\d): (\d+) pages written, (\d+) wrong, longest step (\d+) us")
    if sorted(line[1] for line in said) != [str(number) for number in range(CPUS)]:
        raise run.bad("not a line of each writer")
    for line in said:
        if line[3] != "0":
            raise run.bad(f"writer {line[1]} found {line[3]} pages that were not as it had written them")
        if int(line[2]) < 8192:
            raise run.bad(f"writer {line[1]} did not get to the end of its memory")
    return {int(line[1]): int(line[2]) for line in said}


def compare(run, right):
    """Each of the checksums is there, at least once, and as it should be. Returns how many were compared."""
    printed = run.sums()
    if {name for name, _ in printed} != set(right):
        raise run.bad(f"not each checksum, but: {', '.join(name for name, _ in printed)}")
    for name, value in printed:
        if value != right[name]:
            raise run.bad(f"the checksum of {name} is {value}, not {right[name]}")
    return len(printed)


def moves(run):
    """The line of each move: pages in each round, in the frozen state; microseconds of that and of the last vCPU."""
    said = lines(run, r"  move +\d+: ([\d ]+) pages; frozen (\d+) in (\d+) us, last vCPU after (\d+) us, (\d+) ms in all")
    if len(said) != MOVES:
        raise run.bad(f"{len(said)} moves, not {MOVES}")
    return [([int(pages) for pages in line[1].split()], *map(int, line.groups()[1:])) for line in said]


def merge(run):
    """How many pages of 2 MiB there were before the merge and after it; more, or it did nothing."""
    said = lines(run, r"  merged (\d+) tables in (\d+) us: pages of 4 KiB (\d+) before and (\d+) after, of 2 MiB (\d+) and (\d+)")
    if len(said) != 1:
        raise run.bad("no line of the merge")
    merged, took, small, less, large, more = map(int, said[0].groups())
    if more != large + merged or merged == 0:
        raise run.bad(f"{merged} tables merged, and {large} pages of 2 MiB became {more}")
    print(f"  then merged in {took / 1000:.1f} ms: pages of 4 KiB {small} before, {less} after; of 2 MiB {large} and {more}")


def write_heat(run, path):
    """The last move for axas-inspect: the pages written in each 2 MiB, by round."""
    block = 2 << 20
    with open(path, "w", encoding="ascii") as file:
        file.write("round,gpa,size,pages\n")
        for line in lines(run, r"\[round (\d+)\]([\d ]+)"):
            for number, pages in enumerate(line[2].split()):
                if pages != "0":
                    file.write(f"{line[1]},{RAM_GPA + number * block:#x},{block:#x},{pages}\n")
    return path


def story(program, cpu, image, debian, out):
    busybox = read(f"{debian}/busybox")
    guest = Guest(program, cpu, debian, out, [("bin/busybox", busybox), ("bin/writer", read(f"{out}/writer")),
                                              ("init", read(f"{HERE}/guest/init"))])
    print(f"{cpu}, {CPUS} vCPUs and a CPU of the hypervisor's, {RAM_MIB} MiB of RAM for Linux")
    run = Run("Linux, moved while it runs", guest.below(image, CPUS + 1), f"{out}/guest.txt")
    steps = writers(run)
    right = {f"memory {number}": memory_after(number, count) for number, count in steps.items()}
    right["busybox"] = hashlib.sha256(busybox).hexdigest()
    compared = compare(run, right)
    run.after("and the frame allocator's books")

    rounds, last, frozen, left, whole = zip(*moves(run))
    print(f"\n  {MOVES} moves: {sum(map(sum, rounds))} pages copied while the guest ran, {sum(last)} while it was frozen")
    for what, unit, values in (("guest frozen", "us", frozen), ("last vCPU in the new space", "us", left),
                               ("whole move", "ms", whole)):
        print(f"  {what:<28}{min(values):7} to {max(values)} {unit}, median {statistics.median(values):.0f} {unit}")
    merge(run)
    print(f"  the last one by round and address: {write_heat(run, f'{out}/heat.csv')}")
    print(f"\nGOOD: {compared} checksums are right, and each word of {sum(steps.values())} pages that were written")


def main():
    program, cpu, image, debian, out = sys.argv[1:]
    try:
        story(program, cpu, image, debian, out)
    except Bad as reason:
        print(f"\nBAD: {reason}")
        sys.exit(1)


if __name__ == "__main__":
    main()
