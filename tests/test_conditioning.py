"""The conditioning chain against scipy's filters, and its independence of chunking."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy import signal as sps

from ecgedge.conditioning import Conditioner, _ratio
from ecgedge.errors import BundleError, UsageError

SPEC = {"version": 1, "rate_hz": 100.0, "highpass_hz": 0.5, "lowpass_hz": 40.0}


def condition(values: np.ndarray, rate: float, chunk: int | None = None, spec=SPEC) -> np.ndarray:
    chain = Conditioner(spec, rate)
    step = chunk or values.size
    parts = [chain.push(values[i : i + step]) for i in range(0, values.size, step)]
    return np.concatenate([*parts, chain.finish()])


@pytest.mark.parametrize("rate", [100.0, 125.0, 193.7, 250.0, 300.0, 360.0, 500.0, 1000.0])
def test_output_sits_where_the_input_sat(rate: float) -> None:
    """A tone inside the band keeps amplitude and phase; output k stands for k * rate_in / rate_out."""
    n = int(rate * 20)
    tone = np.sin(2 * np.pi * 7.0 * np.arange(n) / rate + 0.3)
    out = condition(tone, rate)
    assert out.size == int((n - 1) * 100 / rate + 1e-9) + 1
    k = np.arange(out.size)
    inner = slice(300, -300)
    expected = np.sin(2 * np.pi * 7.0 * k / 100 + 0.3)
    np.testing.assert_allclose(out[inner], expected[inner], atol=0.015)


def test_band_against_scipy_frequency_response() -> None:
    """Pass band flat within 0.3 dB, 0.1 Hz wander and 60 Hz hum down by 30 dB and more."""
    rate = 250.0
    impulse = np.zeros(5000)
    impulse[2500] = 1.0
    response = condition(impulse, rate)
    freqs, h = sps.freqz(response.astype(float), worN=8192, fs=100.0)
    gain = 20 * np.log10(np.abs(h) * rate / 100.0 + 1e-12)
    assert np.abs(gain[(freqs > 1.5) & (freqs < 30)]).max() < 0.3
    assert gain[freqs < 0.1].max() < -30
    t = np.arange(5000) / rate
    assert np.abs(condition(np.sin(2 * np.pi * 60 * t), rate)[300:-300]).max() < 0.032


@pytest.mark.parametrize("rate", [200.0, 250.0, 360.0])
def test_gentle_edges_for_half_the_delay(rate: float) -> None:
    """Half of the amplitude at the cut-offs, all of it between, 50 and 60 Hz down by 20 dB and more."""
    spec = {"version": 2, "rate_hz": 200.0, "highpass_hz": 10.0, "lowpass_hz": 35.0}
    impulse = np.zeros(4000)
    impulse[2000] = 1.0
    freqs, h = sps.freqz(condition(impulse, rate, spec=spec).astype(float), worN=8192, fs=200.0)
    gain = np.abs(h) * rate / 200.0
    for at, least, most in ((0.0, 0.0, 1e-4), (10.0, 0.4, 0.6), (20.0, 0.9, 1.1), (35.0, 0.4, 0.6)):
        assert least <= gain[np.searchsorted(freqs, at)] <= most
    assert gain[(freqs > 50) & (freqs < 100)].max() < 0.1
    steep = Conditioner({**spec, "version": 1}, rate)
    assert Conditioner(spec, rate).delay_s < 0.65 * steep.delay_s


@pytest.mark.parametrize("rate", [250.0, 360.0, 193.7])
@pytest.mark.parametrize("chunk", [1, 7, 250, 4096])
def test_bit_equal_for_any_chunking(rate: float, chunk: int) -> None:
    values = np.random.default_rng(1).normal(size=3000).cumsum() + 1e6
    np.testing.assert_array_equal(condition(values, rate, chunk), condition(values, rate))


@pytest.mark.parametrize("rate", [100.0, 128.0, 194.3, 250.0, 360.0, 1000.0])
@pytest.mark.parametrize("chunk", [1, 7, 33, 250])
def test_a_short_band_is_bit_equal_for_any_chunking(rate: float, chunk: int) -> None:
    """The R-peak detector's band runs without blocks: few samples at once, or many, give the same bits."""
    spec = {"version": 2, "rate_hz": 200.0, "highpass_hz": 10.0, "lowpass_hz": 35.0}
    values = np.random.default_rng(2).normal(size=2500).cumsum() + 1e6
    np.testing.assert_array_equal(condition(values, rate, chunk, spec), condition(values, rate, spec=spec))


def test_constant_offset_vanishes() -> None:
    assert np.abs(condition(np.full(2000, 8e6), 250.0)).max() == 0.0


@pytest.mark.parametrize("rate", [250.0, 193.7, 360.0])
def test_a_position_is_that_of_the_next_output_sample(rate: float) -> None:
    chain, ratio = Conditioner(SPEC, rate), Fraction(rate / 100.0).limit_denominator(2000)
    for k in (0, 1, 2, 2500, 2600, 99_999):
        position = chain.position(k)
        assert (position - 1) * ratio < k <= position * ratio


@pytest.mark.parametrize("spec", [SPEC, {**SPEC, "version": 2, "rate_hz": 200.0, "highpass_hz": 10.0}])
def test_what_is_not_waited_for_comes_later_and_is_the_same(spec: dict[str, object]) -> None:
    values = np.random.default_rng(0).normal(0, 1, 2500)
    chain, parts = Conditioner(spec, 250.0), []
    for i in range(0, 2500, 25):
        chain.wait(i // 500 * 400)
        parts.append(chain.push(values[i : i + 25]))
        came = sum(part.size for part in parts)
        assert came == 0 or i + 25 >= chain.needed(i // 500 * 400)
    parts.append(chain.finish())
    np.testing.assert_array_equal(np.concatenate(parts), condition(values, 250.0, spec=spec))


def test_empty_and_single_sample() -> None:
    chain = Conditioner(SPEC, 250.0)
    assert chain.finish().size == 0
    assert condition(np.array([5.0]), 250.0).tolist() == [0.0]


def test_refuses_what_it_does_not_understand() -> None:
    with pytest.raises(BundleError, match="notch_hz"):
        Conditioner({**SPEC, "notch_hz": 50}, 250.0)
    with pytest.raises(BundleError, match="version 3"):
        Conditioner({**SPEC, "version": 3}, 250.0)
    with pytest.raises(BundleError, match="band"):
        Conditioner({**SPEC, "lowpass_hz": 60.0}, 250.0)
    with pytest.raises(UsageError, match="sampling rate"):
        Conditioner(SPEC, 3.0)


def test_ratio_of_two_rates_is_that_of_the_standard_library() -> None:
    rng = np.random.default_rng(11)
    rates = [*np.arange(20.0, 600.0, 0.7), *rng.uniform(20, 20_000, 2000), 20.0, 100.0, 130.0, 193.7, 860.0]
    for value in (float(rate) / out for rate in rates for out in (40.0, 100.0, 200.0, 250.0)):
        expected = Fraction(value).limit_denominator(2000)
        assert _ratio(value) == (expected.numerator, expected.denominator)
