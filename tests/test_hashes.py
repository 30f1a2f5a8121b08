"""Hashes without OpenSSL, in processes of their own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from ecgedge.bundle import FOLDER

BUNDLE = next(FOLDER.glob("*.tflite"))


def run(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_file_has_the_same_hash_without_openssl() -> None:
    said = run(
        "import sys\n"
        "from ecgedge.hashes import without_openssl\n"
        "done = without_openssl()\n"
        "import hashlib, hmac, numpy.random\n"
        f"content = open({str(BUNDLE)!r}, 'rb').read()\n"
        "print(done, '_hashlib' in sys.modules, hashlib.sha256(content).hexdigest())\n"
    )
    if said[0] == "False":
        pytest.skip("this Python has no hashes of its own")
    assert said == ["True", "False", hashlib.sha256(BUNDLE.read_bytes()).hexdigest()]


def test_hashes_that_are_loaded_stay_as_they_are() -> None:
    said = run(
        "import hashlib\n"
        "before = hashlib.sha256\n"
        "from ecgedge.hashes import without_openssl\n"
        "print(without_openssl(), hashlib.sha256 is before)\n"
    )
    assert said == ["False", "True"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs the memory map of Linux")
def test_a_stream_does_not_load_openssl() -> None:
    said = run(
        "import contextlib, io, sys\n"
        "from ecgedge.hashes import OWN\n"
        "from importlib.util import find_spec\n"
        "from ecgedge.cli import main\n"
        "sys.argv = 'ecgedge stream --port demo --speed max --duration 2 --format jsonl'.split()\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "own = all(any(map(find_spec, names)) for names in OWN)\n"
        "print(own, 'libcrypto' in open('/proc/self/maps').read())\n"
    )
    if said[0] == "False":
        pytest.skip("this Python has no hashes of its own")
    assert said == ["True", "False"]
