"""Which way up an ECG is: made shapes, and real recordings as they are and turned over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgedge import rpeaks
from ecgedge.conditioning import Conditioner
from ecgedge.frontend import Consumer, Frontend, Notice, Prepared
from ecgedge.messages import Board, SampleBlock, Segment, Window
from ecgedge.polarity import LEAST_BEATS, SURE, Polarity, vote
from ecgedge.windows import WindowSpec

RATE = 100.0
SPEC = {"version": 1, "rate_hz": RATE, "highpass_hz": 0.5, "lowpass_hz": 40.0}


def ecg(qrs: float = 1.0, t_wave: float = 0.3, p_wave: float = 0.12, seconds: float = 30.0) -> np.ndarray:
    """R, T and P bumps of these heights at 75 a minute, with a little noise, at 100 Hz."""
    t = np.arange(round(seconds * RATE)) / RATE
    x = np.random.default_rng(4).normal(0, 0.01, t.size)
    for at in np.arange(0.5, seconds, 0.8):
        for height, delay, width in ((qrs, 0.0, 0.012), (t_wave, 0.28, 0.05), (p_wave, -0.16, 0.02)):
            x += height * np.exp(-(((t - at - delay) / width) ** 2) / 2)
    return x


def window(signal: np.ndarray) -> Window:
    n = signal.size
    return Window(0, n, 5.0, n / RATE, signal.astype(np.float32), RATE, 0.0, False)


def judged(signal: np.ndarray) -> float:
    times = 5.0 + np.arange(0.5, signal.size / RATE, 0.8)
    value = vote(window(signal), times)
    assert value is not None
    return value


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_the_waves_vote_together(scale: float) -> None:
    assert judged(scale * ecg()) > 3 * SURE
    assert judged(-scale * ecg()) == pytest.approx(-judged(scale * ecg()), rel=1e-6)


def test_a_negative_qrs_with_upright_waves_is_no_swap() -> None:
    """As with a heart's axis far to the left, or in bundle branch block."""
    assert judged(ecg(qrs=-1.0)) > -SURE
    assert judged(ecg(t_wave=-0.3)) > SURE  # ischaemia or strain, not electrodes
    assert judged(ecg(p_wave=-0.12)) > SURE  # from an atrium's lower part


def test_without_p_wave_qrs_and_t_wave_tell() -> None:
    """As in atrial fibrillation."""
    assert judged(ecg(p_wave=0.0)) > SURE
    assert judged(-ecg(p_wave=0.0)) < -SURE


def test_too_few_beats_and_flat_signal_tell_nothing() -> None:
    times = 5.5 + 0.8 * np.arange(LEAST_BEATS + 1)
    assert vote(window(ecg(seconds=5.0)), times) is not None
    assert vote(window(ecg(seconds=5.0)), times[: LEAST_BEATS - 1]) is None
    assert vote(window(np.zeros(3000)), times) is None
    assert vote(window(ecg()), np.empty(0)) is None


def test_it_is_told_at_the_first_clear_window_and_taken_back_by_two_of_three() -> None:
    watch = Polarity()
    votes = [None, -0.5, -3.0, -3.0, 5.0, None, -3.0, 4.0, 4.0, 4.0, -0.9, -0.9, -2.0, -2.0]
    said = [watch.push(v) for v in votes]
    assert [i for i, text in enumerate(said) if text] == [2, 7, 13]
    assert said[2].startswith("the ECG looks upside down")
    assert said[7] == "the ECG is the right way up again"
    assert said[13] == said[2]


def test_an_upright_stream_says_nothing() -> None:
    watch = Polarity()
    assert not any(watch.push(v) for v in [3.0, None, 2.0, -4.0, 0.2, 3.0] * 50)


def notices(signal: np.ndarray, chunk: int) -> list[str]:
    frontend = Frontend((Consumer("m", SPEC, WindowSpec(RATE, 30.0, 10.0, 9.0), []),))
    board = Board("b", 250.0, 1.0, 16)
    out = frontend.push(Segment(0, 0.0, 250.0, "declared", board))
    for at in range(0, signal.size, chunk):
        out += frontend.push(SampleBlock(at, signal[at : at + chunk, None], 0.0))
    out += frontend.finish()
    return [item.text for item in out if isinstance(item, Notice)]


def at_250(signal: np.ndarray) -> np.ndarray:
    n = round(signal.size * 2.5)
    return 1000 * np.interp(np.arange(n) / 2.5, np.arange(signal.size), signal)


@pytest.mark.parametrize("chunk", [25, 4096])
def test_the_frontend_says_it_once(chunk: int) -> None:
    assert notices(at_250(ecg(seconds=90.0)), chunk) == []
    (said,) = notices(at_250(-ecg(seconds=90.0)), chunk)
    assert "upside down" in said


@pytest.mark.parametrize("mains", [50.0, 60.0])
def test_the_frontend_says_hum_and_gives_it_as_a_reason(mains: float) -> None:
    clean = at_250(ecg(seconds=90.0))
    t = np.arange(clean.size) / 250
    frontend = Frontend((Consumer("m", SPEC, WindowSpec(RATE, 30.0, 10.0, 9.0), []),))
    frontend.push(Segment(0, 0.0, 250.0, "declared", Board("b", 250.0, 1.0, 16)))
    out = frontend.push(SampleBlock(0, (clean + 400 * np.sin(2 * np.pi * mains * t))[:, None], 0.0))
    (said,) = [item.text for item in out if isinstance(item, Notice)]
    assert said.startswith(f"mains hum at {mains:g} Hz (0.4 mV, ")
    qualities = [i.quality for i in out if isinstance(i, Prepared) and not i.window.provisional]
    assert all(any(f"mains hum at {mains:g} Hz" in r for r in q.reasons) for q in qualities)
    assert all(q.usable for q in qualities)
    hum = frontend.mains.hum
    assert hum is not None
    assert hum.amplitude == pytest.approx(0.4, rel=0.1)
    frontend.finish()
    assert frontend.mains.hum is None


def found(signal: np.ndarray, rate: float) -> float | None:
    """The first 30 s of a raw recording."""
    piece = signal[: round(30 * rate)]
    band, shape = Conditioner(rpeaks.BAND, rate), Conditioner(SPEC, rate)
    detector = rpeaks.RPeakDetector(0, 0.0, rate)
    beats = detector.push(band.push(piece)) + detector.push(band.finish()) + detector.finish()
    conditioned = np.concatenate([shape.push(piece), shape.finish()])
    n = conditioned.size
    whole = Window(0, n, 0.0, n / RATE, conditioned, RATE, 0.0, False)
    return vote(whole, np.array([b.time_s for b in beats if b.time_s < n / RATE]))


def down(votes: list[float | None]) -> int:
    return sum(v is not None and v <= -SURE for v in votes)


def test_ludb_leads_i_and_ii_as_they_are_and_turned_over(data_dir: Path) -> None:
    """Twelve-lead recordings made in a hospital: as sure as can be that they are the right way up."""
    import zipfile

    from ecgedge.recordings import open_recording

    if not (data_dir / "ludb.zip").is_file():
        pytest.skip("needs ludb.zip in the folder that ECGEDGE_DATA names")
    with zipfile.ZipFile(data_dir / "ludb.zip") as packed:
        signals = []
        for name in range(1, 201, 5):
            for lead in ("i", "ii"):
                recording = open_recording(f"ludb/data/{name}", lead=lead, archive=packed)
                signals.append(np.concatenate([block.counts[:, 0] for block in recording.blocks()]))
    assert down([found(x, 500.0) for x in signals]) <= 0.05 * len(signals)
    assert down([found(-x, 500.0) for x in signals]) >= 0.8 * len(signals)


def test_cinc_normal_records_as_they_are_and_turned_over(data_dir: Path) -> None:
    """Sixty normal records of the training list. Some are upside down as they came (the recorder is held with
    both hands, and nothing says which), so what fires there is no false alarm for certain."""
    from ecgedge.datasets.archive import Archive
    from ecgedge.datasets.cinc2017 import RATE_HZ, labels, published_split, records

    with Archive(data_dir, "cinc2017") as archive:
        known = labels(archive)
    names = [n for n in published_split(data_dir)[0] if known[n] == 0][::75][:60]
    signals = [r.signal.ravel() for r in records(data_dir, names)]
    upright, turned = [found(x, RATE_HZ) for x in signals], [found(-x, RATE_HZ) for x in signals]
    assert down(upright) <= 0.25 * len(names)
    assert down(turned) >= 0.65 * len(names)


# Modified lead II in all; 108 among them has complexes that point down, 111 left bundle branch block. Of all
# 48 records two are told upside down as they are, 109 and 207 (R and T point down there), and 42 turned over.
@pytest.mark.parametrize("name", ["100", "101", "103", "108", "111", "115", "118", "122", "219", "234"])
def test_mitdb_lead_ii_as_it_is_is_not_upside_down(data_dir: Path, tmp_path: Path, name: str) -> None:
    import zipfile

    wfdb = pytest.importorskip("wfdb")
    with zipfile.ZipFile(data_dir / "mitdb.zip") as packed:
        for suffix in ("hea", "dat"):
            (tmp_path / f"{name}.{suffix}").write_bytes(packed.read(f"mitdb/{name}.{suffix}"))
    signal = wfdb.rdrecord(str(tmp_path / name), channels=[0], sampto=360 * 30).p_signal[:, 0]
    assert down([found(signal, 360.0)]) == 0
