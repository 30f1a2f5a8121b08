"""What README says is what is: its commands, flags, exit codes and file names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python3 -m venv .+$", README, re.MULTILINE)


def test_readme_gives_two_commands_of_one_line_each() -> None:
    first, second = COMMANDS
    assert "ecgedge stream --port demo" in first
    assert "[train,export,dev]" in second
    assert second.endswith("pytest")
    environments = [re.match(r"python3 -m venv (\S+)", line) for line in COMMANDS]
    assert len({match.group(1) for match in environments if match}) == 2


def test_ci_runs_the_second_command_word_for_word() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert COMMANDS[1] in script.splitlines()


def test_ci_names_no_registry_and_stops_at_the_first_fault() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in script
    assert "://" not in script
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_every_flag_that_readme_names_exists() -> None:
    known: set[str] = set()
    for words in (
        ["stream"],
        ["classify"],
        ["score"],
        ["convert"],
        ["plot"],
        ["train"],
        ["evaluate"],
        ["compare"],
        ["data", "fetch"],
        ["data", "pack"],
        ["explain"],
        ["bench"],
        ["probe"],
        ["config", "show"],
        ["firmware", "flash"],
        ["models", "export"],
        [],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ecgedge", *words, "--help"], capture_output=True, text=True, check=True
        )
        known |= set(re.findall(r"--[a-z-]+", done.stdout))
    lines = [line for line in README.splitlines() if "ecgedge " in line or line.startswith("| `--")]
    named = {flag for line in lines for flag in re.findall(r"--[a-z-]+", line)}
    assert named - known == set()


def test_every_file_that_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
