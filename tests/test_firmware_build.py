"""The firmware as an Arduino library: layout, versions, size; what compilers and cppcheck say of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from firmware_tools import BRIDGE, SOURCES, UNO_SKETCHES, needs, needs_emulator, run

from ecgedge import __version__
from ecgedge.wire import frames

HEADERS = sorted((BRIDGE / "src").glob("*.h"))
SKETCHES = sorted((BRIDGE / "examples").glob("*/*.ino"))
STUBS = Path(__file__).parent / "firmware_stubs"
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
CORTEX = ("-mthumb", "-ffreestanding")
COMPILERS = {
    "host": ("gcc", "-std=c99", "-Wpedantic", *STRICT),
    "AVR": ("avr-gcc", "-mmcu=atmega328p", "-std=c99", "-Wpedantic", *STRICT),
    "Cortex-M0": ("arm-none-eabi-gcc", "-mcpu=cortex-m0", *CORTEX, "-std=c99", "-Wpedantic", *STRICT),
    "Cortex-M4": ("arm-none-eabi-gcc", "-mcpu=cortex-m4", *CORTEX, "-std=c99", "-Wpedantic", *STRICT),
}
FOREIGN = {
    "Cortex-M0": ("arm-none-eabi-g++", "-mcpu=cortex-m0plus", *CORTEX, "-std=gnu++14"),
    "Cortex-M4": ("arm-none-eabi-g++", "-mcpu=cortex-m4", *CORTEX, "-std=gnu++14"),
}
MOST_FLASH_AND_RAM = (1536, 300)
"""What the library may take on an ATmega328P at 250 Hz, without the optional filter."""


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("level", ["-Os", "-O2"])
def test_no_compiler_has_a_warning(compiler: str, source: Path, level: str, tmp_path: Path) -> None:
    words = COMPILERS[compiler]
    needs(words[0])
    run(*words, level, "-c", source, "-o", tmp_path / "out.o")


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_a_header_stands_alone_in_c_and_in_cpp(header: Path, tmp_path: Path) -> None:
    needs("gcc", "g++")
    for language, standard in (("c", "c99"), ("c++", "c++11")):
        program = tmp_path / f"alone.{'c' if language == 'c' else 'cpp'}"
        program.write_text(
            f'#include "{header.name}"\n#include "{header.name}"\nint main(void) {{ return 0; }}\n'
        )
        run("gcc", "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
            "-I", BRIDGE / "src", program)  # fmt: skip


def test_the_library_uses_no_heap_no_arduino_and_no_floating_point_arithmetic(tmp_path: Path) -> None:
    needs("avr-gcc", "avr-nm")
    for source in SOURCES:
        text = source.read_text() + source.with_suffix(".h").read_text()
        included = set(re.findall(r"#include <(.+?)>", text))
        assert included <= {"stdbool.h", "stdint.h", "stddef.h"}
        made = tmp_path / "out.o"
        run("avr-gcc", "-mmcu=atmega328p", "-Os", "-std=c99", "-c", source, "-o", made)
        wanted = set(re.findall(r"U (\S+)", run("avr-nm", made)))
        # Multiplication of integers is all that may come from the compiler's own library.
        foreign = {name for name in wanted if not name.startswith("ecgedge_")}
        assert foreign <= {"__mulhisi3", "__umulhisi3", "__usmulhisi3", "__mulsi3", "__do_copy_data",
                           "__do_clear_bss", "__tablejump2__", "__prologue_saves__",
                           "__epilogue_restores__"}  # fmt: skip


def test_cppcheck_finds_nothing() -> None:
    needs("cppcheck")
    folders = (BRIDGE / "src", BRIDGE / "extras" / "atmega328p", BRIDGE / "extras" / "emulator")
    run("cppcheck", "--std=c99", "--enable=warning,style,performance,portability", "--error-exitcode=1",
        "--inline-suppr", "--suppress=missingIncludeSystem", "--suppress=unusedFunction", "-q",
        "-I", BRIDGE / "src", *folders)  # fmt: skip


@pytest.mark.parametrize("sketch", SKETCHES, ids=lambda path: path.stem)
def test_every_sketch_compiles_without_a_warning(sketch: Path, tmp_path: Path) -> None:
    """On the Uno with the real Arduino core; elsewhere against the signatures that the cores have."""
    if sketch.stem in UNO_SKETCHES:
        needs_emulator()
        run("sh", BRIDGE / "extras" / "emulator" / "build.sh", "sketch", tmp_path, sketch)
        assert (tmp_path / f"{sketch.stem}.elf").is_file()
        return
    program = tmp_path / "sketch.cpp"
    program.write_text(f'#include "Arduino.h"\n{sketch.read_text()}')
    for words in FOREIGN.values():
        needs(words[0])
        run(
            *words, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", STUBS, "-I", BRIDGE / "src", program
        )


@pytest.mark.parametrize("sketch", SKETCHES, ids=lambda path: path.stem)
def test_a_sketch_sleeps_and_says_how_to_wire_it(sketch: Path) -> None:
    text = sketch.read_text()
    assert sketch.stem == sketch.parent.name  # or the Arduino IDE does not open it
    assert re.search(r"void loop\(\) \{.*(sleep_mode\(\)|delay\(\d+\));", text, re.DOTALL)
    assert "Not a medical device" in text
    assert (BRIDGE / "extras" / "wiring" / f"{sketch.stem}.svg").is_file()


def test_the_wiring_diagrams_are_drawn_from_the_tables_in_the_sketches() -> None:
    script = BRIDGE / "extras" / "wiring" / "draw.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for sketch in SKETCHES:
        drawing = (BRIDGE / "extras" / "wiring" / f"{sketch.stem}.svg").read_text()
        pins = re.findall(r"_PIN = (\d+)|_PIN = (\d+),", sketch.read_text())
        assert drawing.count("<circle") >= 2 * (len(pins) + 2) + 2  # every pin, power, ground; electrodes
        assert "battery" in drawing


def test_versions_agree() -> None:
    properties = dict(
        line.split("=", 1) for line in (BRIDGE / "library.properties").read_text().splitlines() if line
    )
    header = re.search(r'#define ECGEDGE_VERSION "(.+?)"', (BRIDGE / "src" / "ecgedge.h").read_text())
    protocol = re.search(r"#define ECGEDGE_PROTOCOL (\d+)", (BRIDGE / "src" / "ecgedge_frame.h").read_text())
    title = re.search(r"protocol version (\d+)", (BRIDGE / "PROTOCOL.md").read_text())
    assert header is not None
    assert protocol is not None
    assert title is not None
    # pyproject.toml takes its version from ecgedge/__init__.py.
    assert properties["version"] == header[1] == __version__
    assert int(protocol[1]) == int(title[1]) == frames.VERSION


def test_the_keywords_are_the_library_s_names() -> None:
    listed = {line.split("\t")[0] for line in (BRIDGE / "keywords.txt").read_text().splitlines()}
    text = "".join(header.read_text() for header in HEADERS)
    functions = set(re.findall(r"^\S.*?\b\*?(ecgedge_\w+)\(", text, re.MULTILINE))
    assert functions <= listed
    assert {name for name in listed if not re.search(rf"\b{name}\b", text)} == set()


def test_every_prototype_has_a_contract_above_it() -> None:
    for header in HEADERS:
        lines = header.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.match(r"^(?!typedef)\S.*\becgedge_\w+\(", line) and not line.startswith(("#", " ")):
                assert lines[number - 1].rstrip().endswith("*/"), f"{header.name}: {line}"


def test_the_readme_table_is_what_is_measured_and_within_the_limits() -> None:
    needs("avr-gcc", "avr-nm", "avr-size")
    script = BRIDGE / "extras" / "size.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = run(sys.executable, script)
    found = re.search(r"optional filter: (\d+) bytes.*: (\d+) bytes, frame buffers", said)
    assert found is not None
    flash, ram = map(int, found.groups())
    assert 0 < flash <= MOST_FLASH_AND_RAM[0]
    assert 0 < ram <= MOST_FLASH_AND_RAM[1]


def test_the_build_script_builds_from_a_folder_with_spaces(tmp_path: Path) -> None:
    needs("avr-gcc")
    copy = tmp_path / "my library"
    shutil.copytree(BRIDGE, copy)
    out = tmp_path / "my programs"
    run(
        "sh",
        copy / "extras" / "emulator" / "build.sh",
        "program",
        out,
        copy / "extras" / "atmega328p" / "ecg_board.c",
    )
    assert (out / "ecg_board.elf").is_file()
