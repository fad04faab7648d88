#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""run.py QEMU CPU IMAGE DEBIAN OUT: boots Linux in QEMU, on the machine itself and below the hypervisor.

IMAGE is the hypervisor, DEBIAN what fetch.sh made; OUT takes what is made here, and what was printed. Every
checksum that the guest prints is compared, in both runs; the last line begins with GOOD or BAD.
"""
import hashlib
import os
import sys

sys.dont_write_bytecode = True
from boot import CPUS, RAM_MIB, Bad, Guest, Run, read  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def right_sums(busybox):
    """What the guest is to print, computed here: see guest/init and guest/memory."""
    sums = {"busybox": hashlib.sha256(busybox).hexdigest()}
    for number in range(CPUS):
        first = (5 + number) * 1000000
        base = "".join(f"{line}\n" for line in range(first, first + 131072)).encode()
        memory = hashlib.sha256(b"".join(b"%d\n" % block + base for block in range(32))).hexdigest()
        sums[f"memory {number}, fill"] = sums[f"memory {number}, read"] = memory
    return sums


def compare(run, right):
    """Every sum once, and as it should be. Returns how many."""
    printed = run.sums()
    if sorted(name for name, _ in printed) != sorted(right):
        raise run.bad(f"not each checksum once, but: {', '.join(name for name, _ in printed)}")
    for name, value in printed:
        if value != right[name]:
            raise run.bad(f"the checksum of {name} is {value}, not {right[name]}")
    return len(printed)


def boot_seconds(run):
    return run.after("^init: ") - run.after("Booting Linux")


def sums_seconds(run):
    return run.after("^init: 1 CPU left") - run.after("^init: ")


def story(program, cpu, image, debian, out):
    busybox = read(f"{debian}/busybox")
    right = right_sums(busybox)
    guest = Guest(program, cpu, debian, out, [("bin/busybox", busybox),
                                              ("bin/memory", read(f"{HERE}/guest/memory")),
                                              ("init", read(f"{HERE}/guest/init"))])
    print(f"{cpu}, {CPUS} CPUs, {RAM_MIB} MiB of RAM for Linux")
    bare = Run("Linux on the machine itself", guest.on_machine(), f"{out}/bare.txt")
    compare(bare, right)
    below = Run("Linux below the hypervisor", guest.below(image), f"{out}/guest.txt")
    compared = compare(below, right)
    below.after("and the frame allocator's books")

    print("\n                                      machine itself   hypervisor")
    for what, seconds in (("first line of the kernel to init", boot_seconds),
                          ("init to the last checksum", sums_seconds)):
        print(f"  {what:<34}{seconds(bare):12.2f} s {seconds(below):10.2f} s")
    print(f"\nGOOD: {compared} checksums are right below the hypervisor, as on the machine itself")


def main():
    program, cpu, image, debian, out = sys.argv[1:]
    try:
        story(program, cpu, image, debian, out)
    except Bad as reason:
        print(f"\nBAD: {reason}")
        sys.exit(1)


if __name__ == "__main__":
    main()
