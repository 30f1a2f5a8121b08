"""The firmware's integer filters against scipy's in double precision."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
from firmware_tools import BRIDGE, SOURCES, needs, run

signal = pytest.importorskip("scipy.signal")

RATES = (125, 128, 250, 256, 500, 512)
MAINS = (0, 50, 60)
Q = 5
LOWPASS_HZ = 40


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Return the library, compiled for this machine."""
    needs("gcc")
    library = tmp_path_factory.mktemp("c") / "library.so"
    shim = Path(__file__).with_name("firmware_shim.c")
    flags = ("-std=gnu99", "-O2", "-shared", "-fPIC", "-pthread")
    run("gcc", *flags, "-I", BRIDGE / "src", shim, *SOURCES, "-o", library)
    return ctypes.CDLL(str(library))


def filtered(c: ctypes.CDLL, rate: int, mains: int, samples: np.ndarray) -> np.ndarray | None:
    given = np.ascontiguousarray(samples, np.int16)
    out = np.zeros_like(given)
    known = ctypes.c_int32()
    pointers = (a.ctypes.data_as(ctypes.c_void_p) for a in (given, out))
    c.shim_filter(rate, mains, *pointers, len(given), ctypes.byref(known))
    return out if known.value else None


def reference(rate: int, mains: int, samples: np.ndarray) -> np.ndarray:
    """First-order high-pass from the first sample on, Butterworth low-pass, notch; all in doubles."""
    keep = 1 - 2.0 ** -round(np.log2(rate / 2 / np.pi / 0.6))
    out = signal.lfilter([1, -1], [1, -keep], samples - samples[0])
    out = signal.lfilter(*signal.butter(2, LOWPASS_HZ, fs=rate), out)
    return signal.lfilter(*signal.iirnotch(mains, Q, fs=rate), out) if mains else out


def test_the_table_is_what_scipy_designs() -> None:
    text = (BRIDGE / "src" / "ecgedge_filter.c").read_text()
    rows = re.findall(r"^    \{(\d+), (\d+), \{(.+?)\}, \{\{(.+?)\}, \{(.+?)\}\}\},", text, re.MULTILINE)
    assert tuple(int(row[0]) for row in rows) == RATES
    for rate, _, *sections in rows:
        designs = [signal.butter(2, LOWPASS_HZ, fs=int(rate))]
        designs += [signal.iirnotch(mains, Q, fs=int(rate)) for mains in (50, 60)]
        for section, (b, a) in zip(sections, designs, strict=True):
            assert [int(n) for n in section.split(",")] == [round(x * 16384) for x in (b[0], a[1], a[2])]


@pytest.mark.parametrize("mains", MAINS)
@pytest.mark.parametrize("rate", RATES)
def test_output_is_that_of_the_designed_filter_within_rounding(c: ctypes.CDLL, rate: int, mains: int) -> None:
    rng = np.random.default_rng(rate + mains)
    times = np.arange(30 * rate) / rate
    beats = 800 * np.exp(-0.5 * (((times % 0.8) - 0.4) / 0.015) ** 2)
    samples = np.rint(512 + beats + 200 * np.sin(2 * np.pi * 0.2 * times) + rng.normal(0, 20, len(times)))
    made = filtered(c, rate, mains, samples)
    assert made is not None
    error = made - reference(rate, mains, samples)
    # A notch close to half the rate rings on every rounding.
    near_nyquist = mains == 60 and rate < 130
    assert np.abs(error).max() <= (16 if near_nyquist else 5)


@pytest.mark.parametrize("mains", [50, 60])
@pytest.mark.parametrize("rate", RATES)
def test_mains_goes_and_the_heart_stays(c: ctypes.CDLL, rate: int, mains: int) -> None:
    times = np.arange(40 * rate) / rate
    for hertz, least, most in ((mains, 0.0, 0.03), (8.0, 0.85, 1.1), (0.05, 0.0, 0.1)):
        samples = np.rint(4000 * np.sin(2 * np.pi * hertz * times))
        made = filtered(c, rate, mains, samples)
        assert made is not None
        settled = made[20 * rate :]
        gain = settled.std() / samples[20 * rate :].std()
        assert least <= gain <= most, f"{hertz} Hz"


@pytest.mark.parametrize("rate", RATES)
def test_full_scale_of_any_shape_neither_overflows_nor_rings_on(c: ctypes.CDLL, rate: int) -> None:
    rng = np.random.default_rng(rate)
    for loud in (
        np.where(np.arange(5 * rate) // 3 % 2, 8191, -8192),
        np.where(np.arange(5 * rate) % 2, 8191, -8192),
        rng.choice([-8192, 8191], 5 * rate),
    ):
        samples = np.concatenate([loud, np.zeros(60 * rate)])
        made = filtered(c, rate, 50, samples)
        assert made is not None
        expected = reference(rate, 50, samples)
        quiet = np.abs(expected).max() <= 16383  # else it is limited, and differs
        assert np.abs(made).max() <= 16383
        if quiet:
            assert np.abs(made - expected).max() <= 200
        assert np.abs(made[-rate:]).max() <= 2


def test_constant_input_gives_nothing_from_the_first_sample_on(c: ctypes.CDLL) -> None:
    made = filtered(c, 250, 50, np.full(500, 777))
    assert made is not None
    assert not made.any()


@pytest.mark.parametrize(("rate", "mains"), [(249, 50), (250, 55), (0, 0), (250, 1), (1000, 50)])
def test_other_rates_and_mains_are_refused(c: ctypes.CDLL, rate: int, mains: int) -> None:
    assert filtered(c, rate, mains, np.zeros(3)) is None
