"""Compilers, the firmware library as a shared object, and the emulated Uno, for the tests of the firmware."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

BRIDGE = Path(__file__).resolve().parents[1] / "firmware_bridge"
SOURCES = sorted((BRIDGE / "src").glob("*.c"))
ARDUINO = Path("/usr/share/arduino/hardware/arduino/avr")
UNO_SKETCHES = ("AD8232_Uno", "ADS1292R", "MAX30003")
"""Those that run on an ATmega328P."""


def needs(*programs: str) -> None:
    """Skip where a program is missing."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian packages: see .ci/run)")


def run(*words: str | Path, **kwargs: object) -> str:
    """Run a command; fail with what it said."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **kwargs)  # type: ignore[call-overload]
    if done.returncode:
        pytest.fail(
            f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
        )
    return str(done.stdout)


def build(*words: str | Path) -> None:
    """Run the bridge's own build script."""
    run("sh", BRIDGE / "extras" / "emulator" / "build.sh", *words)


def needs_emulator() -> None:
    """Skip where the emulated Uno cannot be built."""
    needs("gcc", "avr-gcc")
    for path, package in (
        (Path("/usr/include/simavr/sim_avr.h"), "libsimavr-dev"),
        (Path("/usr/include/libelf.h"), "libelf-dev"),
        (ARDUINO / "cores" / "arduino" / "Arduino.h", "arduino-core-avr"),
    ):
        if not path.exists():
            pytest.skip(f"needs the Debian package {package}")


class Emulator:
    """The emulated Uno and the programs for it, built once in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        build("emulator", folder)
        for name in UNO_SKETCHES:
            self.sketch(name)
        build("program", folder, BRIDGE / "extras" / "atmega328p" / "ecg_board.c")

    def sketch(self, name: str, *flags: str, folder: Path | None = None) -> Path:
        """Compile an example with the real Arduino core."""
        folder = folder or self.folder
        build("sketch", folder, BRIDGE / "examples" / name / f"{name}.ino", *flags)
        return folder / f"{name}.elf"

    def write_signal(self, values: npt.NDArray[np.integer]) -> Path:
        """A file with a signal, as the emulator reads it."""
        path = self.folder / "signal.bin"
        values.astype("<i4").tofile(path)
        return path

    def record(self, elf: Path, seconds: float, *options: str | Path) -> bytes:
        """What a board sends in so many simulated seconds with no host, as fast as possible."""
        out = self.folder / "sent.bin"
        words = ("--output", out, "--speed", "0", "--seconds", str(seconds), *options, elf)
        run(self.folder / "uno", *words)
        return out.read_bytes()

    @contextmanager
    def board(self, elf: Path, link: Path, *options: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """A board whose port is ``link``, while the context lasts."""
        words: Sequence[str | Path] = (self.folder / "uno", "--link", link, *options, elf)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 20
            while not link.exists():
                assert process.poll() is None, "the emulator ended"
                assert time.monotonic() < deadline, "the emulator gave no port"
                time.sleep(0.01)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


def sanitized() -> bool:
    """Whether this process was started to run under sanitizers."""
    return os.environ.get("ECGEDGE_TEST_SANITIZERS") == "1"
