# SPDX-License-Identifier: MIT OR Apache-2.0
"""Boots Debian's arm64 kernel in QEMU, on the machine itself or below a hypervisor, and watches what it prints."""
import gzip
import os
import re
import select
import struct
import subprocess
import time

CPUS = 2  # VCPU_COUNT in linux.h
RAM_MIB = 512  # RAM_SIZE in linux.h
HOST_RAM_MIB = 1024  # to the end of the pool of frames.c
# Neither an ITS, which writes memory by itself, nor devices above 4 GiB.
MACHINE = "virt,gic-version=3,its=off,highmem=off"

# (host-physical, guest-physical), see struct blobs in space.c. Guest RAM is at 0x40000000.
BLOBS = 0x42000000
KERNEL = (0x44000000, 0x40200000)
INITRAMFS = (0x48000000, 0x48000000)
DEVICE_TREE = (0x4c000000, 0x4a000000)

# For a guest that never ends: ten times the CPU time that a run takes; by the clock, for one that sleeps.
CPU_SECONDS = 500
SECONDS = 1800
LAST_SECONDS = 10  # for what is said after one of these
FATAL = re.compile("Kernel panic|Unable to handle kernel|Internal error|^BAD: ")
OPTIONS = "console=ttyAMA0 earlycon panic=-1 oops=panic"


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


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def initramfs(programs):
    """A root file system, compressed. programs: (name, contents)."""
    directory, program = 0o040755, 0o100755
    return gzip.compress(cpio(
        [(name, directory, b"") for name in ("bin", "dev", "proc", "sys", "tmp")] +
        [(name, program, data) for name, data in programs]), mtime=0)


def cpu_seconds(pid):
    """User and system, as proc(5) has them."""
    fields = read(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
        self.start = time.monotonic()
        self.end = self.start + SECONDS
        rest = b""
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as qemu:
            while time.monotonic() < self.end and cpu_seconds(qemu.pid) < CPU_SECONDS:
                if not select.select([qemu.stdout], [], [], 1)[0]:
                    continue
                data = os.read(qemu.stdout.fileno(), 65536)
                log.write(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines + ([rest] if not data and rest else []):
                    self.take(line.decode("utf-8", "replace").rstrip("\r"))
                if not data:
                    return qemu.wait()
            qemu.kill()
        return None

    def take(self, line):
        now = time.monotonic()
        self.lines.append((now - self.start, line))
        if FATAL.search(line):
            self.end = min(self.end, now + LAST_SECONDS)
        # The kernel's own lines, and figures for a program, are in the log only.
        if not line.startswith("["):
            print(f"  {line}".rstrip(), flush=True)

    def judge(self, log):
        for _, line in self.lines:
            if FATAL.search(line):
                raise self.bad(f"{line.removeprefix('BAD: ')}; all of it: {log}")
        if self.code is None:
            last = self.lines[-1][1] if self.lines else "nothing"
            raise self.bad(f"no end after {CPU_SECONDS} s of CPU time or {SECONDS} s; the last line: {last}; all of it: {log}")
        if self.code != 0:
            raise self.bad(f"QEMU ends with {self.code}; all of it: {log}")

    def after(self, pattern):
        """When the first line came that has the pattern."""
        for seconds, line in self.lines:
            if re.search(pattern, line):
                return seconds
        raise self.bad(f"no line with '{pattern}'")

    def sums(self):
        """What the guest printed: (name, checksum)."""
        self.after(f"^init: {CPUS} CPUs")
        return [match.groups() for _, line in self.lines
                if (match := re.fullmatch(r"init: sum of (.*): ([0-9a-f]{64})", line))]


def qemu(program, cpu, machine, ram_mib, cpus=CPUS):
    return [program, "-M", machine, "-cpu", cpu, "-smp", str(cpus), "-m", str(ram_mib), "-nodefaults",
            "-display", "none", "-serial", "stdio", "-no-reboot"]


class Guest:
    """What is booted: kernel and initramfs."""

    def __init__(self, program, cpu, debian, out, programs):
        self.program = program
        self.cpu = cpu
        self.out = out
        self.kernel = f"{debian}/vmlinuz"
        if read(self.kernel)[0x38:0x3c] != b"ARM\x64":
            raise Bad(f"{self.kernel} is not an uncompressed arm64 kernel")
        self.initramfs = write(f"{out}/initramfs.gz", initramfs(programs))

    def on_machine(self):
        """The command that boots it on the machine itself."""
        return qemu(self.program, self.cpu, MACHINE, RAM_MIB) + [
            "-kernel", self.kernel, "-initrd", self.initramfs, "-append", OPTIONS]

    def device_tree(self):
        """QEMU's for a machine of the guest's size, without EL2: PSCI is by HVC."""
        tree = f"{self.out}/guest.dtb"
        place = f"initrdmem={INITRAMFS[1]:#x},{os.path.getsize(self.initramfs)}"
        subprocess.run(qemu(self.program, self.cpu, f"{MACHINE},dumpdtb={tree}", RAM_MIB) +
                       ["-kernel", self.kernel, "-append", f"{OPTIONS} {place}"], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return tree

    def below(self, image, cpus=CPUS):
        """The command that boots the hypervisor with it in memory."""
        blobs = [(self.kernel, KERNEL), (self.initramfs, INITRAMFS), (self.device_tree(), DEVICE_TREE)]
        words = [word for path, (hpa, gpa) in blobs for word in (hpa, gpa, os.path.getsize(path))]
        table = write(f"{self.out}/blobs", struct.pack(f"<{len(words)}Q", *words))
        command = qemu(self.program, self.cpu, f"{MACHINE},virtualization=on", HOST_RAM_MIB, cpus)
        command += ["-semihosting-config", "enable=on,target=native", "-kernel", image]
        for path, address in [(table, BLOBS)] + [(path, hpa) for path, (hpa, _) in blobs]:
            command += ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]
        return command
