"""How many machine instructions does a second of stream take?

Valgrind's callgrind counts them, so the figure is the same on a busy machine and an idle one, to a few in a
thousand: a change of the hot path shows that no stop-watch would. Two lengths of stream are counted, and the
difference taken, so that start-up does not enter; once with the default models and once without any.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile

from benchmarks import report
from ecgedge.errors import EcgedgeError
from ecgedge.words import DEFAULT_MODELS

QUESTION = "How many machine instructions does a second of stream take?"
SHORT_S, LONG_S = 60.0, 120.0
_CODE = """
from benchmarks.where import chunks, play
from ecgedge.classifier import open_models
play(chunks({seconds}), open_models({models}))
"""


def counted(seconds: float, models: tuple[str, ...]) -> int:
    """Instructions of a whole process that streams so many seconds.

    Raises
    ------
    EcgedgeError
        Without valgrind, or if the process fails.
    """
    tool = shutil.which("valgrind")
    if tool is None:
        raise EcgedgeError("no valgrind", "the program valgrind", "apt install valgrind")
    code = _CODE.format(seconds=seconds, models=models)
    with tempfile.TemporaryDirectory() as folder:
        words = [tool, "--tool=callgrind", f"--callgrind-out-file={folder}/out", sys.executable, "-c", code]
        fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **fixed})
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise EcgedgeError(f"valgrind: exit code {done.returncode}: {done.stderr[-300:]}", "a count")
    return int(found.group(1))


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("instructions", QUESTION)
    given = parser.parse_args()
    figures: report.Json = {"short_s": SHORT_S, "long_s": LONG_S}
    for name, models in (("without models", ()), ("with models", DEFAULT_MODELS)):
        short, long = counted(SHORT_S, models), counted(LONG_S, models)
        figures[name] = {
            "instructions_per_second_of_stream": round((long - short) / (LONG_S - SHORT_S)),
            "of_the_short_process": short,
        }
        print(name, figures[name], flush=True)
    path = report.write(parser, given, QUESTION, report.model_facts(DEFAULT_MODELS), figures)
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
