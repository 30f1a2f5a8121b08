"""The simulated patient: the programme, its determinism, and that each part is what it says it is."""

from __future__ import annotations

from itertools import takewhile

import numpy as np
import pytest
from scipy import signal

from ecgedge.ports.patient import (
    PIECE_S,
    PROGRAMME,
    PROGRAMME_S,
    RATE_HZ,
    UV_PER_COUNT,
    PatientBeat,
    SimulatedPatient,
    part_at,
)


def whole(seed: int = 0, duration_s: float | None = None) -> np.ndarray:
    return np.concatenate([piece.counts for piece in SimulatedPatient(seed, duration_s).pieces()])


def beats_of(part: str, seed: int = 0) -> list[PatientBeat]:
    """Beats well inside a part of the first programme, with the interval that leads to each."""
    start_s = 0.0
    found: list[PatientBeat] = []
    for end_s, name in PROGRAMME:
        if name == part and not found:
            for beat in SimulatedPatient(seed).beats():
                if beat.time_s > end_s - 1:
                    break
                if beat.time_s > start_s + 3:
                    found.append(beat)
        start_s = end_s
    return found


def test_programme_is_cut_where_pieces_are() -> None:
    assert all(end % PIECE_S == 0 for end, _ in PROGRAMME)
    assert PROGRAMME_S == 300
    assert [part_at(t) for t in (0, 60, 169.9, 170, 230, 255, 265, 299.9, 300)] == [
        "sinus", "af", "af", "apc", "noise", "loose", "sinus", "sinus", "sinus",
    ]  # fmt: skip


def test_same_seed_same_patient() -> None:
    np.testing.assert_array_equal(whole(3, 120), whole(3, 120))
    assert not np.array_equal(whole(3, 20), whole(4, 20))


@pytest.mark.parametrize("duration_s", [0.004, 3.0, 62.5, 300.0, 431.7])
def test_lasts_as_long_as_asked(duration_s: float) -> None:
    pieces = list(SimulatedPatient(1, duration_s).pieces())
    assert pieces[0].first == 0
    ends = [piece.first + len(piece.counts) for piece in pieces]
    assert [piece.first for piece in pieces[1:]] == ends[:-1]
    assert ends[-1] == round(duration_s * RATE_HZ)
    longer = whole(1, 500)
    np.testing.assert_array_equal(np.concatenate([piece.counts for piece in pieces]), longer[: ends[-1]])


def test_fits_sixteen_bits() -> None:
    for seed in range(5):
        counts = whole(seed)
        assert counts.min() >= -(2**15)
        assert counts.max() <= 2**15 - 1


def test_sinus_rhythm_is_regular_and_breathes() -> None:
    rr = np.array([beat.rr_s for beat in beats_of("sinus")])
    assert 60 / rr.mean() == pytest.approx(72, abs=2)
    assert 0.01 < rr.std() / rr.mean() < 0.08
    assert np.abs(np.diff(rr)).max() < 0.15


def test_af_is_irregular_and_faster() -> None:
    rr = np.array([beat.rr_s for beat in beats_of("af")])
    assert 90 < 60 / rr.mean() < 120
    assert 0.15 < rr.std() / rr.mean() < 0.35
    around = np.corrcoef(rr[1:], rr[:-1])[0, 1]
    assert abs(around) < 0.25  # independent of the interval before


def test_apcs_come_early_and_their_pause_does_not_compensate() -> None:
    beats = beats_of("apc")
    early = [k for k, beat in enumerate(beats[:-1]) if beat.kind == "apc" and k]
    assert len(early) >= 6
    for k in early:
        before, at, after = (beats[j].rr_s for j in (k - 1, k, k + 1))
        assert at < 0.8 * before or beats[k - 1].kind == "apc"
        assert 60 / 72 < after < 1.35 * 60 / 72
        assert at + after < 2 * 60 / 72


def test_qrs_complexes_stand_where_the_beats_are() -> None:
    counts = whole(2, 160)
    sos = signal.butter(3, [5, 20], "bandpass", fs=RATE_HZ, output="sos")
    envelope = np.abs(signal.sosfiltfilt(sos, counts))
    peaks, _ = signal.find_peaks(envelope, height=0.35 * np.quantile(envelope, 0.99), distance=50)
    truth = [round(b.time_s * RATE_HZ) for b, _ in zip(SimulatedPatient(2).beats(), range(400), strict=False)]
    truth = [t for t in truth if t < len(counts) - 50]
    assert len(peaks) == pytest.approx(len(truth), abs=2)
    assert all(np.min(np.abs(peaks - t)) <= 10 for t in truth)


def test_the_t_wave_of_a_single_early_beat_comes_hardly_earlier() -> None:
    """Bazett's rule holds for a rate that lasts; one short interval of 0.5 s would take off 70 ms."""
    counts = np.concatenate([piece.counts for piece in SimulatedPatient(0, 600.0).pieces()])
    beats = list(takewhile(lambda b: b.time_s < 590, SimulatedPatient(0, 600.0).beats()))

    def t_peak_s(chosen: list[PatientBeat]) -> float:
        rows = [counts[round((b.time_s + 0.15) * RATE_HZ) :][:50] for b in chosen]
        assert len(rows) > 15
        return 0.15 + float(np.argmax(np.mean(rows, axis=0))) / RATE_HZ

    sinus = t_peak_s([b for b in beats if b.kind == "sinus" and part_at(b.time_s) == "sinus"])
    early = t_peak_s([b for b in beats if b.kind == "apc" and part_at(b.time_s) == "apc"])
    assert sinus == pytest.approx(0.31 * np.sqrt(60 / 72), abs=0.012)
    assert -0.03 < early - sinus < -0.004
    # In AF at 105 beats a minute the mean is another one after a minute.
    af = t_peak_s([b for b in beats if b.kind == "af" and 120 < b.time_s % 300 < 170 and b.rr_s > 0.5])
    assert af < sinus - 0.015


def test_p_waves_go_and_fibrillatory_waves_come() -> None:
    counts = whole(0, 170) * UV_PER_COUNT / 1000
    beats = [b for b, _ in zip(SimulatedPatient(0).beats(), range(260), strict=False)]

    def before(kind: str, start: int, stop: int) -> np.ndarray:
        """Signal before the R peaks of long intervals, one row a beat, without its line."""
        peaks = [round(b.time_s * RATE_HZ) for b in beats if b.kind == kind and b.rr_s > 0.65]
        rows = [counts[r + start : r + stop] for r in peaks if 200 < r < len(counts) - 100]
        return np.asarray(signal.detrend(np.array(rows)))

    p_sinus = before("sinus", -62, -20).mean(axis=0)
    p_af = before("af", -62, -20).mean(axis=0)
    assert np.ptp(p_sinus) > 0.1
    assert np.ptp(p_af) < 0.5 * np.ptp(p_sinus)
    assert before("af", -50, -18).std() > 2.5 * before("sinus", -88, -63).std()


def test_noise_and_loose_electrode() -> None:
    pieces = list(SimulatedPatient(0).pieces())
    for piece in pieces:
        part = part_at(piece.first / RATE_HZ)
        assert piece.leads_off == (part == "loose")
        if part == "loose":
            assert np.mean(piece.counts == 2**15 - 1) > 0.4
        elif part == "noise":
            assert np.std(np.diff(piece.counts)) * UV_PER_COUNT > 400
        else:
            assert np.abs(piece.counts).max() < 8000


def test_hours_take_bounded_memory_and_little_time() -> None:
    pieces = SimulatedPatient(0, 3600 * 24).pieces()
    assert sum(len(next(pieces).counts) for _ in range(120)) == 120 * PIECE_S * RATE_HZ
