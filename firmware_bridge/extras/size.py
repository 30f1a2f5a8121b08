"""Flash, stack and RAM of the library on an ATmega328P, as a table for README.md.

    python extras/size.py            print the table
    python extras/size.py --write    put it into README.md
    python extras/size.py --check    fail where README.md says otherwise (with the compiler it names)

Needs gcc-avr and avr-libc. Every file is compiled on its own, as the Arduino IDE does but without link-time
optimisation, which makes most programs smaller still.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parent / "src"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- size: begin -->", "<!-- size: end -->"
FLAGS = ("-mmcu=atmega328p", "-Os", "-std=gnu99", "-ffunction-sections", "-fstack-usage", "-c")
OPTIONAL = "filter"
# What AD8232_Uno.ino defines: the RAM that the library needs at 250 Hz.
PROGRAM = """#include "ecgedge.h"
void send(const uint8_t *bytes, uint16_t size);
uint32_t set_rate(uint32_t rate);
ECGEDGE_RING(ring, 3, 20, 1, 2);
static ecgedge_stream stream =
    ECGEDGE_STREAM(&ring, send, set_rate, 250000, 4.4f, 10, 1, "AD8232 on ATmega328P");
ecgedge_stream *use(void) { return &stream; }
"""


def said(*words: str | Path) -> str:
    """What a command prints."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def symbols(source: Path, folder: Path) -> dict[str, tuple[str, int, int]]:
    """Of every symbol: its kind as nm has it, its bytes, and the bytes of stack, return address included."""
    made = folder / f"{source.stem}.o"
    said("avr-gcc", *FLAGS, f"-I{LIBRARY}", source, "-o", made)
    stacks = {}
    for line in made.with_suffix(".su").read_text().splitlines():
        where, size, _ = line.split("\t")
        stacks[where.split(":")[-1]] = int(size)
    found = {}
    for line in said("avr-nm", "-S", "-t", "d", made).splitlines():
        words = line.split()
        if len(words) == 4:
            found[words[3]] = (words[2], int(words[1]), stacks.get(words[3], 0))
    return found


def compiler() -> str:
    """Name and version."""
    return "avr-gcc " + said("avr-gcc", "-dumpversion").strip()


def measure() -> tuple[dict[str, dict[str, tuple[str, int, int]]], int]:
    """Symbols of every file, and the bytes of RAM at 250 Hz."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {path.stem: symbols(path, folder) for path in sorted(LIBRARY.glob("*.c"))}
        program = folder / "program.c"
        program.write_text(PROGRAM)
        symbols(program, folder)
        sizes = said("avr-size", "-A", folder / "program.o")
        ram = sum(int(size) for size in re.findall(r"^\.(?:data|bss|rodata)\S*\s+(\d+)", sizes, re.MULTILINE))
    return files, ram


def table() -> str:
    """The table in Markdown."""
    files, ram = measure()
    lines = ["| file | function | flash | stack |", "| --- | --- | --- | --- |"]
    totals = {False: 0, True: 0}
    for stem, found in files.items():
        optional = stem.endswith(OPTIONAL)
        for name, (kind, flash, stack) in found.items():
            # Tables of constants lie in RAM on this processor, and in flash to be copied from.
            totals[optional] += flash
            use = f"{stack}" if kind in "tT" else "constants"
            lines.append(f"| {stem} | {name} | {flash} | {use} |")
    lines += [
        "",
        f"Flash without the optional filter: {totals[False]} bytes; the filter: {totals[True]} more. RAM at"
        f" 250 Hz, one lead, 3 frames of 20 samples: {ram} bytes, frame buffers and the board's name in it.",
        "",
        f"`python extras/size.py` with {compiler()}.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Print, write or check."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    new = f"\n{table()}\n"
    if "--write" in sys.argv:
        README.write_text(f"{before}{BEGIN}{new}{END}{after}", encoding="utf-8")
    elif "--check" in sys.argv:
        if compiler() in old and old != new:
            print("README.md's table is not what is measured: python extras/size.py --write", file=sys.stderr)
            return 1
    else:
        print(new.strip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
