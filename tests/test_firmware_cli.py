"""``ecgedge firmware``: what it copies compiles as it is; what it runs is what the tools expect."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from firmware_tools import ARDUINO, BRIDGE, needs, needs_emulator, run

from ecgedge import firmware
from ecgedge.cli import main
from ecgedge.errors import EcgedgeError, UsageError

NAMES = [sketch.name for sketch in firmware.SKETCHES]


def cli(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return int(end.value.code or 0)


def tools(folder: Path, *names: str, exit_code: int = 0) -> Path:
    """Programs that note how they were called, and what files lay there."""
    folder.mkdir(exist_ok=True)
    for name in names:
        program = folder / name
        program.write_text(
            f'#!/bin/sh\necho "$0 $*" >> {folder}/calls\nls >> {folder}/calls\nexit {exit_code}\n'
        )
        program.chmod(0o755)
    return folder


def test_every_example_is_listed_and_every_listed_one_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("firmware", "list") == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == NAMES
    examples = {path.stem for path in BRIDGE.glob("examples/*/*.ino")}
    assert examples | {"ecg_board"} == set(NAMES)
    for sketch in firmware.SKETCHES:
        assert (BRIDGE / sketch.path).is_file()
        assert sketch.about.split(",")[0] in (BRIDGE / sketch.path).read_text()


def test_a_checkout_uses_the_bridge_and_a_wheel_its_own_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert firmware.folder() == BRIDGE
    package = tmp_path / "ecgedge"
    shutil.copytree(BRIDGE, package / "_firmware")
    monkeypatch.setattr(firmware, "_HERE", package)
    assert firmware.folder() == package / "_firmware"
    assert firmware.export("AD8232_Uno", tmp_path).is_dir()
    shutil.rmtree(package / "_firmware")
    with pytest.raises(EcgedgeError, match="no firmware"):
        firmware.folder()


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_folder_is_all_that_a_compiler_needs(name: str, tmp_path: Path) -> None:
    made = firmware.export(name, tmp_path)
    assert made == tmp_path / name
    sketch = next(made.glob(f"{name}.[ic]*"))
    assert len(list(made.glob("*.svg"))) == 1
    needs("avr-gcc")
    for source in sorted(made.glob("*.c")):
        target = ("-mmcu=atmega328p", "-DF_CPU=16000000UL", "-std=gnu99")
        run(
            "avr-gcc",
            *target,
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Os",
            "-c",
            source.name,
            "-o",
            os.devnull,
            cwd=made,
        )
    if firmware.find(name).board == "arduino:avr:uno":
        needs_emulator()
        flags = ["-Os", "-mmcu=atmega328p", "-DF_CPU=16000000UL", "-DARDUINO=10819", "-DARDUINO_ARCH_AVR",
                 "-DDECIMAL_DIG=__DECIMAL_DIG__"]  # fmt: skip
        for include in ("cores/arduino", "variants/standard", "libraries/SPI/src"):
            flags.append(f"-I{ARDUINO / include}")
        run("avr-g++", *flags, "-Wall", "-Wextra", "-Werror", "-include", "Arduino.h", "-x", "c++",
            "-fsyntax-only", sketch.name, cwd=made)  # fmt: skip


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("firmware", "export", "ad8232_uno", str(tmp_path)) == 0
    mine = tmp_path / "AD8232_Uno" / "AD8232_Uno.ino"
    mine.write_text("my own work")
    assert cli("firmware", "export", "AD8232_Uno", str(tmp_path)) == UsageError.exit_code
    assert mine.read_text() == "my own work"
    (tmp_path / "ADS1292R").mkdir()
    assert cli("firmware", "export", "ADS1292R", str(tmp_path)) == 0
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("export", "AD8233", "."), 2, "AD8232_Uno"),
        (("export", "AD8232_Uno", "/proc/nowhere"), 1, "cannot be written"),
        (("flash", "ecg_board", "--port", "x", "--board", "a:b:c"), 2, "no board"),
        (("flash", "AD8232_Uno"), 2, "--port"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("firmware", *words) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


@pytest.mark.parametrize(("name", "tool"), [("AD8232_ESP32", "arduino-cli"), ("ecg_board", "avrdude")])
def test_a_missing_tool_is_explained(
    name: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli("firmware", "flash", name, "--port", "/dev/ttyX") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert tool in error
    assert "ecgedge firmware export" in error


def test_without_arduino_cli_the_bare_program_is_offered_where_its_tools_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tools(tmp_path / "bin", "avr-gcc", "avr-objcopy", "avrdude")))
    assert cli("firmware", "flash", "AD8232_Uno", "--port", "/dev/ttyX") == 1
    assert "ecgedge firmware flash ecg_board" in capsys.readouterr().err


def test_arduino_cli_is_called_with_a_folder_that_bears_the_sketch_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tools(tmp_path / "bin", "arduino-cli")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert cli("firmware", "flash", "AD8232_Uno", "--port", "/dev/ttyX", "--board", "arduino:avr:nano") == 0
    calls = (folder / "calls").read_text().splitlines()
    compiled, uploaded = (line for line in calls if "arduino-cli" in line)
    assert re.search(r"compile --fqbn arduino:avr:nano \S+/AD8232_Uno$", compiled)
    assert re.search(r"upload --fqbn arduino:avr:nano --port /dev/ttyX \S+/AD8232_Uno$", uploaded)
    assert {"AD8232_Uno.ino", "ecgedge.h", "ecgedge_ring.c"} <= set(calls)
    assert "ecgedge stream --port /dev/ttyX" in capsys.readouterr().out


def test_a_tool_that_fails_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tools(tmp_path / "bin", "arduino-cli", exit_code=3)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert cli("firmware", "flash", "MAX30003", "--port", "/dev/ttyX") == 1
    assert (folder / "calls").read_text().count("arduino-cli") == 1  # nothing was uploaded
    assert "exit code 3" in capsys.readouterr().err


def test_avrdude_gets_the_program_that_avr_gcc_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("avr-gcc", "avr-objcopy")
    folder = tmp_path / "bin"
    folder.mkdir()
    fake = folder / "avrdude"
    fake.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/words\ncp board.hex board.elf {tmp_path}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert cli("firmware", "flash", "ecg_board", "--port", "/dev/ttyX") == 0
    words = (tmp_path / "words").read_text().split()
    assert words[words.index("-P") + 1] == "/dev/ttyX"
    assert words[words.index("-p") + 1] == "m328p"
    assert words[words.index("-U") + 1] == "flash:w:board.hex:i"
    # The hex file, read back, is the machine code of the program.
    run("avr-objcopy", "-I", "ihex", "-O", "binary", tmp_path / "board.hex", tmp_path / "hex.bin")
    run(
        "avr-objcopy",
        "-O",
        "binary",
        "-j",
        ".text",
        "-j",
        ".data",
        tmp_path / "board.elf",
        tmp_path / "elf.bin",
    )
    assert (tmp_path / "hex.bin").read_bytes() == (tmp_path / "elf.bin").read_bytes()


def test_the_flashed_program_streams(tmp_path: Path) -> None:
    """The exported bare program, built by the words its own comment gives, runs."""
    needs_emulator()
    made = firmware.export("ecg_board", tmp_path)
    words = re.search(r"^ \* +(avr-gcc .+)$", (made / "ecg_board.c").read_text(), re.MULTILINE)
    assert words is not None
    subprocess.run(words[1], shell=True, cwd=made, check=True)
    run("sh", BRIDGE / "extras" / "emulator" / "build.sh", "emulator", tmp_path)
    run(
        tmp_path / "uno",
        "--output",
        tmp_path / "sent",
        "--speed",
        "0",
        "--seconds",
        "2",
        made / "ecg_board.elf",
    )
    assert len((tmp_path / "sent").read_bytes()) > 1000


def test_start_up_stays_light() -> None:
    code = "import ecgedge.firmware, sys; print('numpy' in sys.modules)"
    assert run(sys.executable, "-c", code).strip() == "False"
