"""Raspberry Pi userlands without a Raspberry Pi: Debian roots for user-mode emulation, with the built wheel.

    python tests/emulated_pi.py FOLDER

makes both roots in FOLDER (some 400 MB; kept and taken again while the wheel is the same), with a ``python3``
each that runs its Python. Packages come from where this machine's own apt and pip are told to look. It shows
that things work and compute the same; emulated time says nothing about a board's.
"""

from __future__ import annotations

import email
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
CPUINFO = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
MODEL = "Raspberry Pi 4 Model B Rev 1.4"


class Unavailable(Exception):
    """An emulated Pi cannot be made here, and why."""


@dataclass(frozen=True)
class Userland:
    """One kind of userland."""

    debian: str
    """Debian's name of the architecture."""
    machine: str
    """Python's."""
    qemu: str
    cpu: str
    triplet: str
    filled: tuple[tuple[str, str], ...] = ()
    """Requirements that a package of Debian fills."""
    apart: tuple[str, ...] = ()
    """Requirements installed without their own, which are then filled."""


USERLANDS = {
    "aarch64": Userland("arm64", "aarch64", "qemu-aarch64-static", "cortex-a72", "aarch64-linux-gnu"),
    # The emulator has no 64-bit core in its 32-bit mode; of those with NEON this is the closest. There are no
    # numpy wheels for it, as on a Raspberry Pi without its own package index: Debian's is used.
    "armv7l": Userland(
        "armhf", "armv7l", "qemu-arm-static", "cortex-a15", "arm-linux-gnueabihf",
        (("numpy", "python3-numpy"),), ("tflite-runtime",),
    ),
}  # fmt: skip


def run(*words: str | Path, timeout: float = 600) -> str:
    """Run a command; its standard output.

    Raises
    ------
    Unavailable
        If it fails, with its last words.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{words[0]}: {error}") from None
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Unavailable(f"{Path(words[0]).name} {words[1]}: exit {done.returncode}, {' '.join(last)}")
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


class EmulatedPi:
    """One userland, ready to run commands.

    Parameters
    ----------
    userland : which
    folder : where it is, or is to be made
    wheel : of ecgedge

    Raises
    ------
    Unavailable
        If the emulator or packages cannot be had.
    """

    def __init__(self, userland: Userland, folder: Path, wheel: Path) -> None:
        self._userland = userland
        self._root, self._site = folder / "root", folder / "site"
        if shutil.which(userland.qemu) is None:
            raise Unavailable(f"no {userland.qemu} (package qemu-user-static)")
        for tool in ("apt-get", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise Unavailable(f"no {tool}: this is no Debian")
        if not (self._root / "ready").exists():
            self._unpack(folder)
        self._python = next((self._root / "usr/bin").glob("python3.[0-9]*"))
        mark = self._site / hashlib.sha256(wheel.read_bytes()).hexdigest()
        if not mark.exists():
            self._install(wheel)
            mark.touch()
        launcher = folder / "python3"
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, self.words()))} "$@"\n')
        launcher.chmod(0o755)

    def words(self, *words: str | Path) -> list[str | Path]:
        """The command that runs this userland's Python with these words."""
        path = f"{self._site}:/usr/lib/python3/dist-packages"
        options = ["-cpu", self._userland.cpu, "-L", self._root, "-E", f"PYTHONPATH={path}"]
        return [self._userland.qemu, *options, self._python, *words]

    def _unpack(self, folder: Path) -> None:
        """Debian's Python and C++ library, by an apt of its own that touches nothing of the system's."""
        shutil.rmtree(folder, ignore_errors=True)
        state, cache = folder / "apt/state", folder / "apt/cache"
        (state / "lists/partial").mkdir(parents=True)
        (cache / "archives/partial").mkdir(parents=True)
        (state / "status").touch()
        name = self._userland.debian
        settings = {
            "APT::Architecture": name,
            "APT::Architectures": name,
            "Dir::State": state,
            "Dir::State::status": state / "status",
            "Dir::Cache": cache,
            "Debug::NoLocking": "1",
        }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        wanted = (
            "python3-minimal",
            "libpython3-stdlib",
            "libstdc++6",
            *(package for _, package in self._userland.filled),
        )
        with suppress(Unavailable):  # one index that is off need not matter: the next step tells
            run("apt-get", *options, "-qq", "update")
        run(
            "apt-get", *options, "-qq", "-y", "--no-install-recommends", "--download-only", "install", *wanted
        )
        for archive in sorted((cache / "archives").glob("*.deb")):
            run("dpkg-deb", "-x", archive, self._root)
        shutil.rmtree(folder / "apt")
        self._furnish()
        (self._root / "ready").touch()

    def _furnish(self) -> None:
        """What installation scripts and a kernel would have put there."""
        libraries = self._root / "usr/lib" / self._userland.triplet
        for name in ("blas/libblas.so.3", "lapack/liblapack.so.3"):
            if (libraries / name).exists():
                (libraries / Path(name).name).symlink_to(name)
        # The LiteRT interpreter reads these, and crashes on those of another architecture.
        files = {"proc/cpuinfo": CPUINFO, "proc/device-tree/model": MODEL + "\0"}
        files |= {f"sys/devices/system/cpu/{name}": "0-3\n" for name in ("possible", "present", "online")}
        for name, text in files.items():
            (self._root / name).parent.mkdir(parents=True, exist_ok=True)
            (self._root / name).write_text(text)

    def _install(self, wheel: Path) -> None:
        """The wheel and what it requires there."""
        shutil.rmtree(self._site, ignore_errors=True)
        version = self._python.name.removeprefix("python")
        filled = {name for name, _ in self._userland.filled}
        wanted = [r for r in requirements(wheel, self._userland.machine, version) if r.name not in filled]
        apart = [str(r) for r in wanted if r.name in self._userland.apart]
        rest = [_as_here(r) for r in wanted if r.name not in self._userland.apart]
        options = install_options(self._userland.machine, version)
        self._pip(*options, *rest)
        self._pip(*options, "--no-deps", wheel, *apart)

    def _pip(self, *words: str | Path) -> None:
        run(sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", self._site, *words)


def _as_here(requirement: Requirement) -> str:
    """The interpreter in the version of this machine: kernels of another one may round differently."""
    if requirement.name != "ai-edge-litert":
        return str(requirement)
    return f"ai-edge-litert=={metadata.version('ai-edge-litert')}"


def install_options(machine: str, version: str) -> list[str]:
    """Options by which pip takes wheels for a Linux machine of another kind with glibc 2.36 or older."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1)] + [f"manylinux2014_{machine}"]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    return [*platforms, "--only-binary=:all:", "--python-version", version, "--implementation", "cp"]


def requirements(wheel: Path, machine: str, version: str) -> list[Requirement]:
    """What a wheel requires on a machine, its markers judged for that machine and not for this one."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = email.message_from_string(archive.read(name).decode())
    there = {"platform_machine": machine, "python_version": version, "sys_platform": "linux", "extra": ""}
    out = []
    for line in told.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(there):
            requirement.marker = None
            out.append(requirement)
    return out


def prepare(folder: Path) -> dict[str, EmulatedPi]:
    """Both userlands."""
    wheel = build_wheel(folder / "wheel")
    return {name: EmulatedPi(userland, folder / name, wheel) for name, userland in USERLANDS.items()}


if __name__ == "__main__":
    try:
        prepare(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["ECGEDGE_PI"]).resolve())
    except Unavailable as error:
        sys.exit(f"no emulated Raspberry Pi: {error}")
