#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""mutants.py: small defects planted in the engine, each judged by the host tests (docs/testing.md).

cargo-mutants lists them, this script takes a random sample and judges each in a copy of the tree: by the tests of
c-tests/api, then by `cargo test --features std`, then by api.random, lost, memory and exhaust. The first test that
fails, crashes or takes its CPU time catches the mutant. Without a mutant all of them must pass first. What was judged
is in build/mutants/SOURCES/results.csv, SOURCES being a sum of src; a second run goes on where the first ended.
From the environment:

  N=NUMBER       mutants in the sample (150)
  SEED=NUMBER    of the sample (1)
  FILES="GLOB"   what is mutated (src/npt/*.rs src/addr.rs)
  JOBS=NUMBER    mutants at once (1), each in a copy of its own
  AGAIN=missed   judge those that were missed again, after a test was written
"""

import csv
import hashlib
import json
import os
import pathlib
import queue
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACE = ROOT / "build/mutants"
FILES = "src/npt/*.rs src/addr.rs"
FIELDS = ("name", "outcome", "by", "seconds")
# CPU seconds that one process may take: several times what it needs. By the clock, for what waits for ever.
CPU_SECONDS = 240
HANGS = 3600
# Leaders of the groups of processes that run now.
RUNNING = set()
STOPPED = threading.Event()
# The stages of ctest; the one between them is cargo's.
API = re.compile(r"api\.(?!random\b)")
# What the tests are made of.
JUDGES = re.compile(r"(src|tests|c-tests|include|link|scripts)/|Cargo\.")
REST = re.compile(r"(api\.random|lost|memory|exhaust)\.")


def run(command, tree, log, **environment):
    """Whether a command succeeds in a tree; what it prints goes to a log. It is ended with all that it started."""
    def limits():
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, cwd=tree, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   env={**os.environ, **environment}, preexec_fn=limits, start_new_session=True)
        RUNNING.add(process.pid)
        try:
            return process.wait(HANGS) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            end_group(process.pid)
            RUNNING.discard(process.pid)


def end_group(leader):
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


def interrupted(*_):
    """Ends at once: what was ended half way is no outcome. The next run puts the copies right."""
    STOPPED.set()
    for leader in list(RUNNING):
        end_group(leader)
    os._exit(130)


def checked(*command, tree=ROOT):
    """What a command prints; its failure is ours."""
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def committed_files():
    """What is in the tree and not built."""
    names = checked("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return sorted(name for name in names if name and (ROOT / name).is_file())


def sum_of(names):
    total = hashlib.sha256()
    for name in names:
        total.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return total.hexdigest()[:12]


def all_mutants(globs):
    """By name, in an order that does not depend on the machine."""
    tool = next((path for path in (ROOT / "build/tools/bin/cargo-mutants", shutil.which("cargo-mutants"))
                 if path and os.path.exists(path)), None)
    if not tool:
        sys.exit("no cargo-mutants; run: scripts/setup.sh mutants")
    chosen = [argument for glob in globs for argument in ("-f", glob)]
    listed = json.loads(checked(tool, "mutants", "--no-config", "--list", "--json", "--diff", *chosen))
    known = {mutant["name"]: mutant for mutant in listed}
    return [known[name] for name in sorted(known)]


class Tree:
    """A copy of what is committed, where one mutant at a time is planted."""

    def __init__(self, number, files):
        self.path = PLACE / f"tree-{number}"
        self.c_tests = self.path / "build/c-tests"
        self.logs = self.path / "build/mutant-logs"
        wanted = set(files)
        for found in self.path.rglob("*") if self.path.exists() else ():
            name = str(found.relative_to(self.path))
            if name.split("/")[0] not in ("build", "target") and found.is_file() and name not in wanted:
                found.unlink()
        for name in files:
            copy = self.path / name
            if not copy.exists() or copy.read_bytes() != (ROOT / name).read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, copy)
        self.logs.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "build/toolchain.env", self.path / "build")

    def builds(self):
        """Whether the archive for the host builds. False: the compiler refuses it."""
        log = self.logs / "archive.txt"
        if run(["scripts/build-lib.sh", "host"], self.path, log):
            return True
        if "error: could not compile" not in log.read_text(encoding="utf-8"):
            sys.exit(f"the archive does not build, and not for the compiler's reasons: {log}")
        return False

    def c_suite(self, pattern):
        """The names of those tests of ctest that fail, the first of them only."""
        configure = self.logs / "configure.txt"
        if not run(["cmake", "-S", "c-tests", "-B", self.c_tests, "-G", "Ninja"], self.path, configure):
            sys.exit(f"c-tests is not configured: {configure}")
        listed = json.loads(checked("ctest", "--show-only=json-v1", tree=self.c_tests))["tests"]
        tests = [test for test in listed if pattern.match(test["name"])]
        # Before its program is built, a test has no command.
        programs = sorted({self.target(test["name"]) for test in tests})
        build = self.logs / "build.txt"
        if not run(["ninja", "-C", self.c_tests, *programs], self.path, build):
            sys.exit(f"the tests do not build: {build}")
        names = "|".join(re.escape(test["name"]) for test in tests)
        log = self.logs / "ctest.txt"
        if run(["ctest", "-R", f"^({names})$", "--no-tests=error", "--stop-on-failure", "--output-on-failure",
                "-j", "2"], self.c_tests, log):
            return []
        text = log.read_text(encoding="utf-8")
        return re.findall(r"^\s*\d+/\d+ Test\s+#\d+: (\S+) .*\*\*\*", text, re.M)[:1] or ["ctest"]

    def target(self, test):
        """Ninja's name of the program of a test: api.map_alloc and api.random.ept.1 come from test_map_alloc
        and test_random, lost.flush.ept from lost_flush."""
        group, name = test.split(".")[:2]
        if group == "exhaust":
            return "exhaust_two" if name == "two" else "exhaust"
        return f"test_{name}" if group == "api" else f"{group}_{name}"

    def rust_suite(self):
        """The names of those tests of Rust that fail."""
        log = self.logs / "cargo.txt"
        if run(["bash", "-c", ". scripts/common.sh; load_toolchain; host_cargo test --features std"], self.path,
               log):
            return []
        text = log.read_text(encoding="utf-8")
        return re.findall(r"^test (\S+) \.\.\. FAILED$", text, re.M)[:1] or ["cargo test"]

    def judge(self):
        """The outcome of what is planted now, and the test that catches it."""
        if not self.builds():
            return "unviable", ""
        caught = self.c_suite(API) or self.rust_suite() or self.c_suite(REST)
        return ("caught", caught[0]) if caught else ("missed", "")

    def with_mutant(self, mutant):
        file = self.path / mutant["file"]
        before = file.read_bytes()
        patch = self.logs / "mutant.diff"
        patch.write_text(mutant["diff"], encoding="utf-8")
        try:
            checked("patch", "--quiet", "--no-backup-if-mismatch", str(file), str(patch), tree=self.path)
            return self.judge()
        finally:
            file.write_bytes(before)


class Results:
    """What was judged, in a file that every outcome is written to at once."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.rows = {}
        if path.exists():
            with open(path, encoding="utf-8", newline="") as file:
                self.rows = {row["name"]: row for row in csv.DictReader(file)}

    def add(self, name, outcome, by, seconds):
        with self.lock:
            if STOPPED.is_set():
                return
            self.rows[name] = dict(zip(FIELDS, (name, outcome, by, f"{seconds:.0f}")))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_suffix(".new")
            with open(fresh, "w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(self.rows.values())
            fresh.replace(self.path)


def check_without(tree, everything):
    """The tests pass where nothing is planted; asked once for each state of the repository."""
    done = PLACE / f"passes-{everything}"
    if done.exists():
        return
    print("without a mutant ...", flush=True)
    outcome, by = tree.judge()
    if outcome != "missed":
        sys.exit(f"without a mutant: {outcome} {by}; see {tree.logs}")
    done.touch()


def judge_all(mutants, results, trees):
    """Judges mutants, as many at once as there are trees."""
    left = queue.SimpleQueue()
    for number, mutant in enumerate(mutants, 1):
        left.put((number, mutant))
    broken = []

    def work(tree):
        while not broken:
            try:
                number, mutant = left.get_nowait()
            except queue.Empty:
                return
            start = time.monotonic()
            try:
                outcome, by = tree.with_mutant(mutant)
            except SystemExit as error:
                broken.append(f"{mutant['name']}: {error}")
                return
            results.add(mutant["name"], outcome, by, time.monotonic() - start)
            print(f"{number}/{len(mutants)} {mutant['name']}: {outcome} {by}", flush=True)

    threads = [threading.Thread(target=work, args=(tree,)) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if broken:
        sys.exit("\n".join(broken))


def stage(by):
    if by.startswith(("api.", "lost.", "memory.", "exhaust.")):
        return by.split(".")[0]
    return "Rust suite"


def summary(head, sample, results):
    """The sample's outcome, as docs/testing.md has it."""
    rows = [results.rows[mutant["name"]] for mutant in sample]
    viable = [row for row in rows if row["outcome"] != "unviable"]
    caught = [row for row in viable if row["outcome"] == "caught"]
    by = {}
    for row in caught:
        by[stage(row["by"])] = by.get(stage(row["by"]), 0) + 1
    share = 100 * len(caught) / max(len(viable), 1)
    lines = [head, "",
             f"{len(rows)} mutants: {len(rows) - len(viable)} do not compile; of the other {len(viable)}, "
             f"{len(caught)} are caught ({share:.1f} %): "
             + ", ".join(f"{count} by {name}" for name, count in sorted(by.items(), key=lambda item: -item[1]))
             + ".", ""]
    missed = [row for row in viable if row["outcome"] == "missed"]
    if missed:
        lines += ["| missed | equivalent, for the reason that |", "|---|---|"]
        lines += [f"| `{row['name']}` | |".replace("||", "\\|\\|") for row in missed]
    return "\n".join(lines) + "\n"


def number(name, otherwise):
    given = os.environ.get(name) or otherwise
    if not str(given).isdigit() or int(given) == 0 and name != "SEED":
        sys.exit(f"{name}={given}: not a number above 0")
    return int(given)


def main():
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    globs = (os.environ.get("FILES") or FILES).split()
    seed = number("SEED", "1")
    again = os.environ.get("AGAIN") or ""
    if again not in ("", "missed"):
        sys.exit(f"AGAIN={again} is not known; there is: missed")
    files = committed_files()
    sources = sum_of([name for name in files if name.startswith("src/") or name.startswith("Cargo.")])
    mutants = all_mutants(globs)
    sample = random.Random(seed).sample(mutants, min(number("N", "150"), len(mutants)))
    results = Results(PLACE / sources / "results.csv")
    todo = [mutant for mutant in sample
            if mutant["name"] not in results.rows or again == results.rows[mutant["name"]]["outcome"]]
    print(f"{len(mutants)} mutants of {' '.join(globs)}; {len(sample)} by seed {seed}, {len(todo)} of them to judge")
    if todo:
        trees = [Tree(place, files) for place in range(min(number("JOBS", "1"), len(todo)))]
        check_without(trees[0], sum_of([name for name in files if JUDGES.match(name)]))
        judge_all(todo, results, trees)
    head = (f"{len(mutants)} mutants of `{' '.join(globs)}` at {checked('git', 'describe', '--always').strip()}, "
            f"sources {sources}; N={len(sample)} SEED={seed}.")
    text = summary(head, sample, results)
    (PLACE / sources / f"summary-{seed}.md").write_text(text, encoding="utf-8")
    print(f"\n{text}\nin {(PLACE / sources).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
