#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""budgets.py [--all]: bytes of code and instructions of the hot calls in one table, beside golden figures and goals.

Shown are the rows that have a goal. Fails where check-size.py, check-instructions.py or check-stack.py would;
a goal that is not met fails nothing.
  --all   the rows without a goal too, and the stack of every call
"""

import importlib
import subprocess
import sys

sys.dont_write_bytecode = True
import golden
import shipped

CHECKS = ("check-size", "check-instructions")


def main():
    everything = "--all" in sys.argv[1:]
    shown, wrong = [], 0
    for name in CHECKS:
        check = importlib.import_module(name)
        rows, before, same = check.rows()
        wrong += golden.judge(f"{name}.py", rows, before, same, check.SLACK)
        shown += [row for row in rows if everything or row.goal is not None]
    stack = subprocess.run([sys.executable, f"{shipped.ROOT}/scripts/check-stack.py"], capture_output=True,
                           text=True, check=False)
    lines = stack.stdout.splitlines()
    if everything:
        print("\n".join(lines) + "\n")
    golden.show(shown)
    print(f"stack: {lines[-1]}" if stack.returncode == 0 else f"\n{stack.stderr}", end="\n")
    sys.exit(1 if wrong or stack.returncode else 0)


if __name__ == "__main__":
    main()
