"""Heart rate from beats, and its variability: by hand, against neurokit2, and on annotated beats."""

from __future__ import annotations

import statistics
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from ecgedge.hrv import LEAST_INTERVALS, Edge, HeartRate, Variability, normal_intervals
from ecgedge.messages import Beat, Episode, Hrv, Quality, Scores, Verdict


def beats(intervals: list[float | None], start_s: float = 0.0) -> HeartRate:
    rate, t = HeartRate(), start_s
    for rr in intervals:
        t += rr or 0.0
        rate.push(Beat(round(t * 250), t, rr, 1.0, False))
    return rate


def test_steady_rate() -> None:
    assert beats([None, *[0.8] * 20]).bpm(16.0) == pytest.approx(75.0)


def test_one_missed_and_one_extra_beat_do_not_move_it() -> None:
    assert beats([None, 0.8, 0.8, 1.6, 0.8, 0.8, 0.3, 0.5, 0.8, 0.8]).bpm(8.0) == pytest.approx(75.0)


def test_only_the_last_ten_seconds_count() -> None:
    assert beats([None, *[1.0] * 30, *[0.5] * 20]).bpm(40.0) == pytest.approx(120.0)


@pytest.mark.parametrize("intervals", [[], [None], [None, 0.8]])
def test_too_few_beats_give_none(intervals: list[float | None]) -> None:
    assert beats(intervals).bpm(1.0) is None


def test_stale_after_five_seconds_and_not_before() -> None:
    rate = beats([None, *[1.0] * 10])
    assert rate.bpm(15.0) == pytest.approx(60.0)
    assert rate.bpm(15.1) is None


def test_a_gap_starts_anew() -> None:
    rate = beats([None, *[1.0] * 5])
    rate.push(Beat(1500, 6.0, None, 1.0, False))
    rate.push(Beat(1600, 6.5, 0.5, 1.0, False))
    assert rate.bpm(6.5) is None
    rate.push(Beat(1700, 7.0, 0.5, 1.0, False))
    assert rate.bpm(7.0) == pytest.approx(120.0)


def test_beats_yet_to_come_do_not_count() -> None:
    rate = beats([None, *[1.0] * 10, *[0.5] * 10])
    assert rate.bpm(10.0) == pytest.approx(60.0)


def test_memory_is_bounded() -> None:
    rate = beats([None, *[0.3] * 100_000])
    assert rate.bpm(30_000.0) == pytest.approx(200.0)
    assert len(rate._times) <= 512


# -- variability --------------------------------------------------------------------------------------


def series(intervals: Sequence[float | None], heights: Sequence[float] | None = None) -> list[Beat]:
    """Beats with these intervals between them, from 0.5 s on; after a gap of 4 s where one is None."""
    out, at = [], 0.5
    for i, rr in enumerate([None, *intervals]):
        at += 0.0 if i == 0 else 4.0 if rr is None else rr
        out.append(Beat(round(at * 1000), at, rr, heights[i] if heights else 1.0, True))
    return out


def whole(beats: Sequence[Beat], *others: Verdict | Episode) -> Hrv:
    """The stream's own figures."""
    variability = Variability(100.0)
    for message in (*beats, *others):
        variability.push(message)
    return variability.finish(Edge(beats[-1].sample + 1, beats[-1].time_s + 0.001))[-1]


def sinus(n: int, seed: int = 3) -> np.ndarray:
    """Breathing and a slow drift around 0.8 s, whole milliseconds."""
    rng = np.random.default_rng(seed)
    k = np.arange(n)
    return np.round(0.8 + 0.04 * np.sin(k / 2.1) + 0.03 * np.sin(k / 60) + 0.02 * rng.normal(size=n), 3)


@pytest.mark.parametrize("seed", range(5))
def test_a_clean_series_gives_what_neurokit2_gives(seed: int) -> None:
    neurokit2 = pytest.importorskip("neurokit2")
    rr = sinus(600, seed)
    beats = series(list(rr))
    got = whole(beats)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peaks = [b.sample for b in beats]
        expected = neurokit2.hrv_time({"RRI": 1000 * rr, "RRI_Time": np.array(peaks[1:]) / 1000}).iloc[0]
    assert got.nn_intervals == got.rr_intervals == 600
    assert got.mean_nn_ms == pytest.approx(expected["HRV_MeanNN"])
    assert got.sdnn_ms == pytest.approx(expected["HRV_SDNN"])
    # neurokit2 takes RMSSD over n - 1 where n differences are; and pNN50 over intervals, not their pairs.
    assert got.rmssd_ms == pytest.approx(expected["HRV_RMSSD"], rel=1e-3)
    assert 100 * got.pnn50 * 599 / 600 == pytest.approx(expected["HRV_pNN50"], rel=1e-9)


def test_by_hand() -> None:
    """Intervals of 0.80 and 0.86 s in turn: mean 830, each 30 off it, each step 60."""
    got = whole(series([0.80, 0.86] * 20))
    assert got.nn_intervals == 40
    assert got.mean_nn_ms == pytest.approx(830.0)
    assert got.sdnn_ms == pytest.approx(30.0 * (40 / 39) ** 0.5)
    assert got.rmssd_ms == pytest.approx(60.0)
    assert got.pnn50 == 1.0
    assert got.heart_rate_bpm == pytest.approx(60 / 0.83)
    assert got.coverage == pytest.approx(40 * 0.83 / got.seconds)
    assert whole(series([0.80, 0.85] * 20)).pnn50 == 0.0  # fifty milliseconds are not above fifty


def test_too_few_intervals_tell_nothing() -> None:
    got = whole(series([0.8] * (LEAST_INTERVALS - 1)))
    assert (got.mean_nn_ms, got.sdnn_ms, got.rmssd_ms, got.pnn50) == (None,) * 4
    assert got.heart_rate_bpm == pytest.approx(75.0)
    assert whole(series([0.8] * LEAST_INTERVALS)).sdnn_ms == pytest.approx(0.0, abs=1e-6)


def test_a_premature_beat_and_its_pause_are_left_out() -> None:
    """Every tenth beat comes early, with or without a compensatory pause."""
    rr = ([0.8] * 8 + [0.5, 1.1]) * 10
    got = whole(series(rr))
    assert got.nn_intervals == 80
    assert got.sdnn_ms == pytest.approx(0.0, abs=1e-6)
    assert got.rmssd_ms == pytest.approx(0.0, abs=1e-6)
    assert whole(series(([0.8] * 8 + [0.55, 0.8]) * 10)).nn_intervals == 80


def test_a_missed_beat_is_left_out() -> None:
    assert whole(series(([0.8] * 9 + [1.6]) * 10)).nn_intervals == 90


def test_bigeminy_has_no_normal_intervals() -> None:
    got = whole(series([0.5, 1.0] * 50))
    assert got.nn_intervals <= 4  # at the ends, where little is known of what is usual
    assert got.sdnn_ms is None


def test_a_beat_of_odd_height_is_left_out_with_both_its_intervals() -> None:
    """An interpolated or late ventricular beat shows by its height only."""
    heights = [1.0] * 101
    heights[20], heights[50], heights[80] = -1.8, 2.2, 0.3
    got = whole(series([0.8] * 100, heights))
    assert got.nn_intervals == 94
    assert whole(series([0.8] * 100, [-500 * h for h in heights])).nn_intervals == 94


def test_breathing_and_a_changing_rate_are_no_ectopy() -> None:
    """Deep respiratory arrhythmia, 0.7 to 0.98 s in twelve beats; a slow rise from 60 to 120 a minute."""
    k = np.arange(300)
    assert whole(series(list(0.84 + 0.14 * np.sin(k / 2)))).nn_intervals >= 285
    assert whole(series(list(np.linspace(1.0, 0.5, 300)))).nn_intervals == 300


def test_gaps_give_no_interval_and_no_difference() -> None:
    got = whole(series([*[0.8] * 40, None, *[0.9] * 40]))
    assert got.nn_intervals == got.rr_intervals == 80
    assert got.rmssd_ms == pytest.approx(0.0, abs=1e-6)  # 0.8 and 0.9 are no neighbours


def episode(onset: float, offset: float, state: str = "closed", model: str = "m") -> Episode:
    return Episode("AF", state, model, round(1000 * onset), round(1000 * offset), onset, offset, 0.9)  # type: ignore[arg-type]


def test_af_is_left_out_of_the_variability_and_counts_for_the_rate() -> None:
    beats = series([0.8] * 200)
    got = whole(beats, episode(40.0, 80.0, "open"), episode(40.0, 100.0), episode(90.0, 120.0, model="other"))
    outside = [b for b in beats[1:] if b.time_s <= 40.0 or b.time_s - 0.8 >= 120.0]
    assert got.nn_intervals == len(outside)
    assert got.rr_intervals == 200


def window(begin: float, readable: bool) -> Verdict:
    scores = Scores(
        "m", round(1000 * begin), round(1000 * begin) + 30000, begin, 30.0, {"N": 1.0}, "N", False
    )
    return Verdict(scores, "sinus" if readable else "inconclusive", (), Quality(0.5), 1.0, readable=readable)


def test_unreadable_signal_counts_for_nothing_unless_a_readable_window_covers_it() -> None:
    beats = series([0.8] * 200)
    got = whole(beats, window(0.0, True), window(40.0, False), window(50.0, True))
    left = [b for b in beats[1:] if b.time_s <= 40.0 or b.time_s - 0.8 >= 50.0]
    assert got.rr_intervals == got.nn_intervals == len(left)
    assert got.inconclusive == pytest.approx(10.0 / got.seconds)  # 40 to 50 s; a readable window has the rest


def test_every_span_says_how_much_of_it_is_inconclusive() -> None:
    """Worked by hand: windows of 30 s every 10 s, unreadable are those from 120, 130, 280 and 290 s."""
    variability = Variability(60.0)
    beats = series([0.8] * 750)
    bad = (120.0, 130.0, 280.0, 290.0)
    windows = [window(10.0 * k, 10.0 * k not in bad) for k in range(58)]
    for message in (*beats, *windows):
        variability.push(message)
    variability.edge(Edge(300_000, 300.0))
    first, second, total = [*variability.advance(1000.0), *variability.finish(Edge(600_000, 600.0))]
    # A readable window (from 110) covers all up to 140, the next (from 140) what follows. The same at 280.
    assert [h.inconclusive for h in (first, second, total)] == [0.0, 0.0, 0.0]
    for k in (140, 150, 160):
        windows[k // 10] = window(float(k), False)
    again = Variability(60.0)
    for message in (*beats, *windows):
        again.push(message)
    again.edge(Edge(300_000, 300.0))
    first, second, total = [*again.advance(1000.0), *again.finish(Edge(600_000, 600.0))]
    # Unreadable from 120 to 160: nothing readable between 140 (end of that from 110) and 170.
    assert first.inconclusive == pytest.approx(30.0 / 300.0)
    assert second.inconclusive == 0.0
    assert total.inconclusive == pytest.approx(30.0 / 600.0)


def test_seconds_without_a_beat_are_no_heart_rate() -> None:
    got = whole(series([*[0.8] * 40, 5.0, 5.0, *[0.8] * 40]))
    assert got.rr_intervals == 80
    assert (got.heart_rate_bpm, got.lowest_bpm) == (pytest.approx(75.0), pytest.approx(75.0))


def test_every_five_minutes_and_the_sum_of_them() -> None:
    """Each tells its own beats; the whole is the pooled one."""
    variability = Variability(60.0)
    rr = [*[0.8] * 400, *[1.0] * 300]
    told: list[Hrv] = []
    edges = [300.0, 600.0]
    for beat in series(rr):
        while edges and beat.time_s >= edges[0]:
            variability.edge(Edge(round(1000 * edges[0]), edges.pop(0)))
        variability.push(beat)
        told += variability.advance(beat.time_s)
    assert [h.time_s for h in told] == [0.0]  # the second is not certain yet
    first = told[0]
    assert (first.span, first.first, first.last, first.seconds) == ("5 min", 0, 300000, 300.0)
    told += variability.finish(Edge(621000, 621.0))
    assert [(h.span, h.time_s, h.seconds) for h in told] == [
        ("5 min", 0.0, 300.0),
        ("5 min", 300.0, 300.0),
        ("5 min", 600.0, 21.0),
        ("stream", 0.0, 621.0),
    ]
    total = told[-1]
    assert total.rr_intervals == 700 == sum(h.rr_intervals for h in told[:-1])
    assert total.nn_intervals == 700 == sum(h.nn_intervals for h in told[:-1])
    assert total.sdnn_ms == pytest.approx(1000 * statistics.stdev(rr))
    assert total.heart_rate_bpm == pytest.approx(60 * 700 / sum(rr))
    assert (total.lowest_bpm, total.highest_bpm) == (pytest.approx(60.0), pytest.approx(75.0))
    assert (first.lowest_bpm, first.highest_bpm) == (pytest.approx(75.0), pytest.approx(75.0))
    assert told[2].sdnn_ms is None


def test_a_border_between_two_spans_loses_no_interval() -> None:
    """Premature beats at the border are judged by the beats of both sides."""
    rr = ([0.8] * 8 + [0.5, 1.1]) * 80
    in_one = whole(series(rr))
    variability = Variability(20.0)
    border = 10.0
    for beat in series(rr):
        while beat.time_s >= border:
            variability.edge(Edge(round(1000 * border), border))
            border += 10.0
        variability.push(beat)
        variability.advance(beat.time_s)
    in_many = variability.finish(Edge(in_one.last, in_one.time_s + in_one.seconds))[-1]
    assert in_many == in_one


def test_a_week_needs_no_more_memory_than_an_hour() -> None:
    variability = Variability(100.0)
    border, most = 300.0, 0
    for i in range(100_000):
        at = 3.0 * i
        while at >= border:
            variability.edge(Edge(round(at), border))
            border += 300.0
        variability.push(Beat(i, at, 3.0, 1.0, True))
        if i % 10 == 0:
            variability.push(window(at, True))
            variability.push(episode(at, at + 5.0))
        variability.advance(at)
        most = max(most, len(variability._beats), len(variability._windows), len(variability._af))
    assert most < 300


@pytest.mark.parametrize(
    ("name", "leak"),
    [("100", 0.01), ("105", 0.02), ("116", 0.02), ("119", 0.02), ("228", 0.02), ("233", 0.10)],
)
def test_normal_intervals_are_those_between_beats_annotated_normal(
    data_dir: Path, tmp_path: Path, name: str, leak: float
) -> None:
    """MIT-BIH records with single premature beats, annotated times, heights from the signal. Runs of ectopic
    beats (a third of 233's) are regular in themselves and leak; so do whole atrial rhythms (232)."""
    wfdb = pytest.importorskip("wfdb")
    for suffix in ("hea", "dat", "atr"):
        with zipfile.ZipFile(data_dir / "mitdb.zip") as packed:
            (tmp_path / f"{name}.{suffix}").write_bytes(packed.read(f"mitdb/{name}.{suffix}"))
    record = wfdb.rdrecord(str(tmp_path / name), channels=[0])
    marks = wfdb.rdann(str(tmp_path / name), "atr")
    band = scipy.signal.butter(2, (5, 20), "bandpass", fs=360, output="sos")
    signal = scipy.signal.sosfiltfilt(band, record.p_signal[:, 0])
    kinds = [(s, k) for s, k in zip(marks.sample, marks.symbol, strict=True) if k in "NLRejAaJSVFQ/f"]
    beats = []
    for i, (at, _) in enumerate(kinds):
        near = signal[max(0, at - 25) : at + 26]
        rr = (at - kinds[i - 1][0]) / 360 if i else None
        beats.append(Beat(int(at), at / 360, rr, float(near[np.abs(near).argmax()]), True))
    said = normal_intervals([b.rr_s for b in beats], [b.height for b in beats])
    normal = [k in "NLR" for _, k in kinds]
    truly = [i > 0 and normal[i] and normal[i - 1] for i in range(len(kinds))]
    wrong = sum(a and not b for a, b in zip(said, truly, strict=True))
    kept = sum(a and b for a, b in zip(said, truly, strict=True))
    assert wrong <= leak * sum(said)
    assert kept >= 0.95 * sum(truly)
