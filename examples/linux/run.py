#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""run.py QEMU CPU IMAGE DEBIAN OUT: boots Linux in QEMU, on the machine itself and below the hypervisor.

IMAGE is the hypervisor, DEBIAN what fetch.sh made; OUT takes what is made here, and what was printed. Every
checksum that the guest prints is compared, in both runs; the last line begins with GOOD or BAD.
"""
import gzip
import hashlib
import os
import re
import select
import struct
import subprocess
import sys
import time

MIB = 1 << 20
CPUS = 2  # VCPU_COUNT in linux.h
RAM_MIB = 512  # RAM_SIZE in linux.c
HOST_RAM_MIB = 1024  # to the end of the pool of frames.c
# Neither an ITS, which writes memory by itself, nor devices above 4 GiB.
MACHINE = "virt,gic-version=3,its=off,highmem=off"

# (host-physical, guest-physical), see struct blobs in linux.c. Guest RAM is at 0x40000000.
BLOBS = 0x42000000
KERNEL = (0x44000000, 0x40200000)
INITRAMFS = (0x48000000, 0x48000000)
DEVICE_TREE = (0x4c000000, 0x4a000000)

SECONDS = 300  # for what never ends; 20 times what a run needs
HERE = os.path.dirname(os.path.abspath(__file__))


class Bad(Exception):
    """What ends the story."""


def cpio(files):
    """The archive of a root file system, format newc. files: (name, mode, contents)."""
    archive = b""
    for inode, (name, mode, data) in enumerate([*files, ("TRAILER!!!", 0, b"")]):
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + data
        archive += bytes(-len(archive) % 4)
    return archive


def read(path):
    with open(path, "rb") as file:
        return file.read()


def make_initramfs(busybox):
    directory, program = 0o040755, 0o100755
    return gzip.compress(cpio(
        [(name, directory, b"") for name in ("bin", "dev", "proc", "sys", "tmp")] +
        [("bin/busybox", program, busybox),
         ("bin/memory", program, read(f"{HERE}/guest/memory")),
         ("init", program, read(f"{HERE}/guest/init"))]), mtime=0)


def right_sums(busybox):
    """What the guest is to print, computed here: see guest/init and guest/memory."""
    sums = {"busybox": hashlib.sha256(busybox).hexdigest()}
    for number in range(CPUS):
        first = (5 + number) * 1000000
        base = "".join(f"{line}\n" for line in range(first, first + 131072)).encode()
        memory = hashlib.sha256(b"".join(b"%d\n" % block + base for block in range(32))).hexdigest()
        sums[f"memory {number}, fill"] = sums[f"memory {number}, read"] = memory
    return sums


class Run:
    """One run of QEMU: its lines, each with the seconds since the start, and its exit code."""

    def __init__(self, name, command, log):
        print(f"\n{name}", flush=True)
        self.name = name
        self.lines = []
        with open(log, "wb") as file:
            self.code = self.watch(command, file)
        self.judge(log)

    def bad(self, reason):
        return Bad(f"{self.name}: {reason}")

    def watch(self, command, log):
        start = time.monotonic()
        rest = b""
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as qemu:
            while True:
                left = start + SECONDS - time.monotonic()
                if not select.select([qemu.stdout], [], [], max(left, 0))[0]:
                    qemu.kill()
                    last = self.lines[-1][1] if self.lines else "nothing"
                    raise self.bad(f"no end after {SECONDS} s; the last line: {last}")
                data = os.read(qemu.stdout.fileno(), 65536)
                log.write(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines + ([rest] if not data and rest else []):
                    self.take(line.decode("utf-8", "replace").rstrip("\r"), time.monotonic() - start)
                if not data:
                    return qemu.wait()

    def take(self, line, seconds):
        self.lines.append((seconds, line))
        # The kernel's own lines are in the log only.
        if not line.startswith("["):
            print(f"  {line}".rstrip(), flush=True)

    def judge(self, log):
        for _, line in self.lines:
            if "Kernel panic" in line or line.startswith("BAD: "):
                raise self.bad(f"{line.removeprefix('BAD: ')}; all of it: {log}")
        if self.code != 0:
            raise self.bad(f"QEMU ends with {self.code}; all of it: {log}")

    def after(self, pattern):
        """When the first line came that has the pattern."""
        for seconds, line in self.lines:
            if re.search(pattern, line):
                return seconds
        raise self.bad(f"no line with '{pattern}'")

    def boot_seconds(self):
        return self.after("^init: ") - self.after("Booting Linux")

    def sums_seconds(self):
        return self.after("^init: 1 CPU left") - self.after("^init: ")

    def compare(self, right):
        """Every sum once, and as it should be. Returns how many."""
        self.after(f"^init: {CPUS} CPUs")
        printed = [match.groups() for _, line in self.lines
                   if (match := re.fullmatch(r"init: sum of (.*): ([0-9a-f]{64})", line))]
        if sorted(name for name, _ in printed) != sorted(right):
            raise self.bad(f"not each checksum once, but: {', '.join(name for name, _ in printed)}")
        for name, value in printed:
            if value != right[name]:
                raise self.bad(f"the checksum of {name} is {value}, not {right[name]}")
        return len(printed)


def qemu(program, cpu, machine, ram_mib):
    return [program, "-M", machine, "-cpu", cpu, "-smp", str(CPUS), "-m", str(ram_mib), "-nodefaults",
            "-display", "none", "-serial", "stdio", "-no-reboot"]


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def below_hypervisor(program, cpu, image, out, blobs):
    """The command for the hypervisor; blobs: (path, (host-physical, guest-physical))."""
    words = [word for path, (hpa, gpa) in blobs for word in (hpa, gpa, os.path.getsize(path))]
    table = write(f"{out}/blobs", struct.pack(f"<{len(words)}Q", *words))
    command = qemu(program, cpu, f"{MACHINE},virtualization=on", HOST_RAM_MIB)
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", image]
    for path, address in [(table, BLOBS)] + [(path, hpa) for path, (hpa, _) in blobs]:
        command += ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]
    return command


def story(program, cpu, image, debian, out):
    kernel = f"{debian}/vmlinuz"
    if read(kernel)[0x38:0x3c] != b"ARM\x64":
        raise Bad(f"{kernel} is not an uncompressed arm64 kernel")
    busybox = read(f"{debian}/busybox")
    right = right_sums(busybox)
    initramfs = write(f"{out}/initramfs.gz", make_initramfs(busybox))
    tree = f"{out}/guest.dtb"
    place = f"initrdmem={INITRAMFS[1]:#x},{os.path.getsize(initramfs)}"
    options = "console=ttyAMA0 earlycon panic=-1 oops=panic"

    print(f"{cpu}, {CPUS} CPUs, {RAM_MIB} MiB of RAM for Linux")
    bare = Run("Linux on the machine itself", qemu(program, cpu, MACHINE, RAM_MIB) +
               ["-kernel", kernel, "-initrd", initramfs, "-append", options], f"{out}/bare.txt")
    bare.compare(right)

    # The guest's device tree is QEMU's for a machine of the guest's size, without EL2: PSCI is by HVC.
    subprocess.run(qemu(program, cpu, f"{MACHINE},dumpdtb={tree}", RAM_MIB) +
                   ["-kernel", kernel, "-append", f"{options} {place}"], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    guest = Run("Linux below the hypervisor",
                below_hypervisor(program, cpu, image, out,
                                 [(kernel, KERNEL), (initramfs, INITRAMFS), (tree, DEVICE_TREE)]),
                f"{out}/guest.txt")
    compared = guest.compare(right)
    guest.after("and the frame allocator's books")

    print("\n                                      machine itself   hypervisor")
    for what, seconds in (("first line of the kernel to init", Run.boot_seconds),
                          ("init to the last checksum", Run.sums_seconds)):
        print(f"  {what:<34}{seconds(bare):12.2f} s {seconds(guest):10.2f} s")
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
