"""Firmware for makers' boards: what there is, copied as a folder that is ready to be opened or flashed.

A wheel carries the files as ``ecgedge/_firmware``; a checkout has them in ``firmware_bridge``.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgedge.errors import EcgedgeError, UsageError

_HERE = Path(__file__).resolve().parent
_ARDUINO = "arduino-cli"
_BARE = ("avr-gcc", "avr-objcopy", "avrdude")


@dataclass(frozen=True)
class Sketch:
    """A program for a board."""

    name: str
    path: str
    """Its source, relative to the firmware's folder."""
    board: str | None
    """The board's name for arduino-cli; None for a program without Arduino, for an ATmega328P."""
    about: str


SKETCHES = (
    Sketch("AD8232_Uno", "examples/AD8232_Uno/AD8232_Uno.ino", "arduino:avr:uno", "AD8232, Arduino Uno"),
    Sketch(
        "AD8232_ESP32", "examples/AD8232_ESP32/AD8232_ESP32.ino", "esp32:esp32:esp32", "AD8232, ESP32, 12 bit"
    ),
    Sketch(
        "AD8232_Nano33BLE",
        "examples/AD8232_Nano33BLE/AD8232_Nano33BLE.ino",
        "arduino:mbed_nano:nano33ble",
        "AD8232, Nano 33 BLE, 12 bit",
    ),
    Sketch(
        "AD8232_RP2040",
        "examples/AD8232_RP2040/AD8232_RP2040.ino",
        "rp2040:rp2040:rpipico",
        "AD8232, Raspberry Pi Pico, 12 bit",
    ),
    Sketch(
        "ADS1292R", "examples/ADS1292R/ADS1292R.ino", "arduino:avr:uno", "ADS1292R, Arduino Uno, 24 bit, SPI"
    ),
    Sketch(
        "MAX30003", "examples/MAX30003/MAX30003.ino", "arduino:avr:uno", "MAX30003, Arduino Uno, 18 bit, SPI"
    ),
    Sketch("ecg_board", "extras/atmega328p/ecg_board.c", None, "AD8232, ATmega328P without Arduino, in C"),
)


def folder() -> Path:
    """Where the firmware's files are.

    Raises
    ------
    EcgedgeError : neither in the package nor beside it
    """
    for place in (_HERE / "_firmware", _HERE.parent / "firmware_bridge"):
        if (place / "library.properties").is_file():
            return place
    raise EcgedgeError("this installation has no firmware", "ecgedge/_firmware", "Install ecgedge again.")


def find(name: str) -> Sketch:
    """The sketch of this name.

    Raises
    ------
    UsageError : there is none
    """
    for sketch in SKETCHES:
        if sketch.name.lower() == name.lower():
            return sketch
    raise UsageError(f"no sketch {name!r}", f"one of {', '.join(sketch.name for sketch in SKETCHES)}")


def export(name: str, target: Path) -> Path:
    """Copy a sketch with the library and its wiring diagram to ``target/NAME``; returns that folder.

    The library's files lie beside the sketch, so that nothing needs to be installed.

    Raises
    ------
    UsageError : no such sketch, or the folder exists and is not empty
    EcgedgeError : it cannot be written
    """
    sketch, source = find(name), folder()
    made = target / sketch.name
    files = [source / sketch.path, *sorted((source / "src").iterdir())]
    wiring = sketch.name if sketch.board else "AD8232_Uno"  # the same pins
    files.append(source / "extras" / "wiring" / f"{wiring}.svg")
    try:
        if made.exists() and (not made.is_dir() or any(made.iterdir())):
            raise UsageError(f"{made} is there already", "a new folder", "Remove it, or name another one.")
        made.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copyfile(path, made / path.name)
    except OSError as error:
        raise EcgedgeError(f"{made} cannot be written ({error.strerror})") from None
    return made


def flash(name: str, port: str, board: str | None = None) -> None:
    """Compile a sketch and write it to the board at ``port``, with the tools of its kind.

    Parameters
    ----------
    board : another board's name for arduino-cli, such as ``arduino:avr:nano``

    Raises
    ------
    UsageError : no such sketch, or a board for a program without Arduino
    EcgedgeError : a tool is missing, or fails
    """
    sketch = find(name)
    if sketch.board is None and board is not None:
        raise UsageError(f"--board {board}", "no board", f"{sketch.name} is for an ATmega328P.")
    _check_tools(sketch)
    with tempfile.TemporaryDirectory(prefix="ecgedge-") as temporary:
        made = export(sketch.name, Path(temporary))
        for command in _commands(sketch, made, port, board):
            try:
                done = subprocess.run(command, cwd=made, check=False)
            except OSError as error:
                raise EcgedgeError(f"{command[0]} cannot be run ({error.strerror})") from None
            if done.returncode:
                raise EcgedgeError(
                    f"{command[0]} failed (exit code {done.returncode})",
                    advice="What it said stands above. Is the port right, and no other program on it?",
                )


def _check_tools(sketch: Sketch) -> None:
    tools: Sequence[str] = (_ARDUINO,) if sketch.board else _BARE
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not missing:
        return
    by_hand = f"ecgedge firmware export {sketch.name} ."
    if sketch.board:
        opened = f"{sketch.name}/{sketch.name}.ino"
        advice = f"Or by hand: {by_hand}, open {opened} in the Arduino IDE and press Upload."
        if sketch.name == "AD8232_Uno" and all(map(shutil.which, _BARE)):
            advice = f"Without it: ecgedge firmware flash ecg_board. {advice}"
    else:
        advice = f"On Debian: sudo apt install gcc-avr avr-libc binutils-avr avrdude. The sources: {by_hand}"
    raise EcgedgeError(f"{', '.join(missing)} not installed", "it on the PATH", advice)


def _commands(sketch: Sketch, made: Path, port: str, board: str | None) -> list[list[str]]:
    if sketch.board is not None:
        name = board or sketch.board
        return [
            [_ARDUINO, "compile", "--fqbn", name, str(made)],
            [_ARDUINO, "upload", "--fqbn", name, "--port", port, str(made)],
        ]
    sources = sorted(path.name for path in made.glob("*.c"))
    flags = ["-mmcu=atmega328p", "-DF_CPU=16000000UL", "-std=gnu99", "-Os", "-flto"]
    return [
        ["avr-gcc", *flags, *sources, "-o", "board.elf"],
        ["avr-objcopy", "-O", "ihex", "board.elf", "board.hex"],
        [
            "avrdude",
            "-c",
            "arduino",
            "-p",
            "m328p",
            "-P",
            port,
            "-b",
            "115200",
            "-D",
            "-U",
            "flash:w:board.hex:i",
        ],
    ]
