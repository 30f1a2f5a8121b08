"""``python -m benchmarks``: what a change of stream or bundles may move most, then README's tables.

Each runs in a process of its own; the other benchmarks have commands of their own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

BENCHMARKS = ("accuracy", "mitdb_replay", "beats", "stream_cost", "ectopy")


def main() -> None:
    """Run them; the first that fails ends it with its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--root", help="folder of the data sets (default: ECGEDGE_DATA)")
    given = parser.parse_args()
    place = ["--root", given.root] if given.root else []
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *place]).returncode
        if code:
            sys.exit(code)
    subprocess.run([sys.executable, "-m", "benchmarks.tables"], check=True)


if __name__ == "__main__":
    main()
