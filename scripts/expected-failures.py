#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""expected-failures.py: the tests of c-tests/expected-failures.txt, which fail because of known defects.

  list                      print them
  judge TEST COMMAND...     run one (group.test[.format]): succeeds if it fails by the assertion that the list quotes
  sources                   every test there is is listed, and every one listed is there and in CHANGELOG.md
  controls PROGRAM          judge what is no expected failure (c-tests/known/control.c)
  ran DIRECTORY             every one ran, by the JUnit reports of CTest in a directory
"""

import glob
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "c-tests/expected-failures.txt"
FORMATS = {"ept", "npt", "arm", "riscv"}


def rows():
    """(group.test, formats, what the assertion says, defect) of each row."""
    found = []
    for line in LIST.read_text(encoding="ascii").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 4 or not all(fields) or not re.fullmatch(r"[a-z]+\.[a-z0-9_]+", fields[0]):
            sys.exit(f"{LIST}: not a row: {line}")
        formats = [] if fields[1] == "-" else fields[1].split()
        if not FORMATS.issuperset(formats):
            sys.exit(f"{LIST}: unknown format: {line}")
        found.append((fields[0], formats, fields[2], fields[3]))
    if len({row[0] for row in found}) != len(found):
        sys.exit(f"{LIST}: a test stands there twice")
    return found


def tests():
    """What each test must say, by its name for CTest without `known.`."""
    return {".".join([name, *suffix]): says
            for name, formats, says, _ in rows() for suffix in ([[one] for one in formats] or [[]])}


def show():
    found = rows()
    print(f"{len(tests())} expected failures of {len(found)} tests (c-tests/expected-failures.txt):")
    for name, formats, _, defect in found:
        print(f"  known.{name}{' [' + ' '.join(formats) + ']' if formats else ''}: {defect}")


def verdict(code, output, says):
    """Why a run is not the expected failure; nothing if it is."""
    lines = output.splitlines()
    if code == 0:
        return "passes: if the defect is gone, make it an ordinary test and take it off the list"
    if code != 1:
        return f"ended with {code} instead of a failed assertion"
    for sign in ("Test failed with exception", "Could not run test", "Test teardown failed"):
        if sign in output:
            return f"did not fail by an assertion: {sign.strip()}"
    if f"ERROR: {says}" not in lines:
        return f"failed, but not because of: {says}"
    if lines.count("[==========] 1 test(s) run.") != 1:
        return "did not run to its end"
    return None


def run(command):
    """Exit code and output. CTest ends what takes too long."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    return done.returncode, done.stdout


def judge(test, *command):
    says = tests().get(test)
    if says is None:
        sys.exit(f"{test} is not in {LIST}")
    try:
        code, output = run(command)
    except OSError as error:
        sys.exit(f"known.{test} did not run: {error}")
    print(output, end="")
    if wrong := verdict(code, output, says):
        sys.exit(f"known.{test} {wrong}")
    print(f"known.{test} fails as expected")


def sources():
    defined = set()
    for path in sorted((ROOT / "c-tests/known").glob("test_*.c")):
        text = path.read_text(encoding="ascii")
        defined |= {f"{path.stem.removeprefix('test_')}.{name}"
                    for name in re.findall(r"^static void (\w+)\(void \*\*state\)", text, re.M)}
    listed = {name for name, *_ in rows()}
    for name in sorted(defined - listed):
        print(f"{name} is not in {LIST}")
    for name in sorted(listed - defined):
        print(f"{name} is listed and not in c-tests/known")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    untold = {name for name in listed if f"`known.{name}`" not in changelog}
    for name in sorted(untold):
        print(f"known.{name} is not in CHANGELOG.md")
    sys.exit(defined != listed or bool(untold))


def controls(program):
    says = "this is expected"
    text = (ROOT / "c-tests/known/control.c").read_text(encoding="ascii")
    names = re.findall(r"^static void (\w+)\(void \*\*state\)", text, re.M)
    failures = len(names) < 9
    for name in [*names, "is_not_there"]:
        wrong = verdict(*run([program, name]), says)
        print(f"{name}: {wrong or 'accepted'}")
        failures += (wrong is None) != (name == "fails_as_expected")
    sys.exit(failures)


def ran(directory):
    seen = set()
    for report in glob.glob(f"{directory}/*.xml"):
        text = pathlib.Path(report).read_text(encoding="utf-8", errors="replace")
        seen |= set(re.findall(r'<testcase name="known\.([\w.]+)"[^>]* status="(?:run|fail)"', text))
    if missing := sorted(tests().keys() - seen):
        sys.exit(f"expected failures that did not run: {' '.join(missing)}")


COMMANDS = {"list": show, "judge": judge, "sources": sources, "controls": controls, "ran": ran}
if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
    sys.exit(__doc__)
COMMANDS[sys.argv[1]](*sys.argv[2:])
