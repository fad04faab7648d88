#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""check-cpu-time.py [--limits|PATTERN]: the CPU time of the tests, with that of the processes they start.

Runs the tests that `make test` built, one after another: those of ctest, and each Rust test in a process
of its own. All figures go to build/cpu-time.txt, the longest first. Prints the tests that take more than a
twentieth of their limit (scripts/cpu-limit.cmake); Rust tests have none and may take 30 s. PATTERN picks tests
by name.
  --limits   run nothing; fail where a test of ctest has no limit of its own
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
REPORT = ROOT / "build/cpu-time.txt"
SUITES = ("c-tests", "examples", "repo-tests")
RUST = {
    "rust": ["test", "--features", "std"],
    "axas-inspect": ["test", "--release", "--locked", "--manifest-path", "tools/axas-inspect/Cargo.toml"],
}


def cpu_seconds(command, directory, environment=()):
    """(seconds of user and system, whether it ended with 0)"""
    with subprocess.Popen(command, cwd=directory, env={**os.environ, **dict(environment)},
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime, status == 0


def printed(command, directory):
    return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, text=True, check=True).stdout


def listed(suite):
    tests = json.loads(printed(["ctest", "--show-only=json-v1"], ROOT / "build" / suite))["tests"]
    for test in tests:
        test["properties"] = {p["name"]: p["value"] for p in test["properties"]}
    return tests


def ctests(suite, pattern):
    """(name, seconds of CPU, limit, whether it passed) of each, and of what they need."""
    tests = listed(suite)
    chosen = [test for test in tests if re.search(pattern, test["name"])]
    needed = {name for test in chosen for name in test["properties"].get("FIXTURES_REQUIRED", [])}
    for test in tests:
        properties = test["properties"]
        if test not in chosen and needed.isdisjoint(properties.get("FIXTURES_SETUP", [])):
            continue
        environment = [pair.split("=", 1) for pair in properties.get("ENVIRONMENT", [])]
        used, ended_well = cpu_seconds(test["command"], properties["WORKING_DIRECTORY"], environment)
        yield test["name"], used, properties["TIMEOUT"], ended_well != properties.get("WILL_FAIL", False)


def rust_tests(name, arguments, pattern):
    toolchain = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / "build/toolchain.env").read_text(), re.M))
    cargo = shlex.split(*shlex.split(toolchain["HOST_CARGO"]))
    os.environ["CARGO_TARGET_DIR"] = str(ROOT / ("target" if name == "rust" else "target/tools"))
    for line in printed([*cargo, *arguments, "--no-run", "--message-format=json"], ROOT).splitlines():
        message = json.loads(line)
        if not (message.get("executable") and message["profile"]["test"]):
            continue
        directory = pathlib.Path(message["manifest_path"]).parent
        for test in re.findall(r"^(.*): test$", printed([message["executable"], "--list"], directory), re.M):
            if re.search(pattern, f"{name}: {test}"):
                used, passed = cpu_seconds([message["executable"], "--exact", test], directory)
                yield f"{name}: {test}", used, 600, passed


def check_limits():
    tests = [test for suite in SUITES for test in listed(suite)]
    without = [test["name"] for test in tests if "TIMEOUT" not in test["properties"]]
    if without:
        sys.exit(f"no cpu_limit() for: {' '.join(without)}")
    print(f"{len(tests)} tests have a limit")


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    if pattern == "--limits":
        check_limits()
        return
    rows = []
    for suite in SUITES:
        rows += show(ctests(suite, pattern))
    for name, arguments in RUST.items():
        rows += show(rust_tests(name, arguments, pattern))
    rows.sort(key=lambda row: -row[1])
    REPORT.write_text("".join(f"{used:8.2f} {name}\n" for name, used, _, _ in rows))
    long = [row for row in rows if row[1] * 20 > row[2]]
    for name, used, limit, _ in long:
        print(f"{name} takes {used:.1f} s of CPU time and has a limit of {limit:.0f} s")
    print(f"{len(rows)} tests, {sum(row[1] for row in rows):.0f} s of CPU time, {len(long)} too long: {REPORT}")


def show(tests):
    for name, used, limit, passed in tests:
        print(f"{used:8.2f} s  {name}{'' if passed else ': FAILED'}", flush=True)
        yield name, used, limit, passed


if __name__ == "__main__":
    main()
