"""Which way up an ECG is: made shapes, and real recordings as they are and turned over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgedge import rpeaks
from ecgedge.conditioning import Conditioner
from ecgedge.frontend import Consumer, Frontend, Notice, Prepared
from ecgedge.messages import Board, SampleBlock, Segment, Window
from ecgedge.polarity import REPEATED, Polarity, points_up
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


def judged(signal: np.ndarray) -> bool | None:
    times = 5.0 + np.arange(0.5, signal.size / RATE, 0.8)
    return points_up(window(signal), times)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_r_and_t_decide_together(scale: float) -> None:
    assert judged(scale * ecg()) is True
    assert judged(-scale * ecg()) is False


def test_a_negative_qrs_with_an_upright_t_wave_is_no_swap() -> None:
    """As in bundle branch block, or over the right ventricle."""
    assert judged(ecg(qrs=-1.0)) is None
    assert judged(ecg(t_wave=-0.3)) is None  # ischaemia or strain, not electrodes


def test_an_upright_p_wave_speaks_against_a_swap() -> None:
    assert judged(ecg(qrs=-1.0, t_wave=-0.3, p_wave=0.2)) is None
    assert judged(ecg(qrs=-1.0, t_wave=-0.3, p_wave=0.0)) is False  # as in atrial fibrillation


def test_too_few_beats_and_flat_signal_tell_nothing() -> None:
    assert judged(ecg(seconds=5.0)) is None
    assert judged(np.zeros(3000)) is None
    assert points_up(window(ecg()), np.empty(0)) is None


def test_it_is_told_at_the_first_window_and_changes_only_when_they_last() -> None:
    watch = Polarity()
    findings = [None, False, False, True, False, True, True, True, True, False, False, False]
    said = [watch.push(up) for up in findings]
    assert [i for i, text in enumerate(said) if text] == [1, 7, 11]
    assert said[1].startswith("the ECG looks upside down")
    assert said[7] == "the ECG is the right way up again"
    assert REPEATED == 3


def test_an_upright_stream_says_nothing() -> None:
    watch = Polarity()
    assert not any(watch.push(up) for up in [True, None, True, False, False, True] * 50)


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


def found(signal: np.ndarray, rate: float) -> bool | None:
    """The first 30 s of a raw recording."""
    piece, bridged = signal[: round(30 * rate)], np.zeros(min(signal.size, round(30 * rate)), bool)
    band, shape = Conditioner(rpeaks.BAND, rate), Conditioner(SPEC, rate)
    detector = rpeaks.RPeakDetector(0, 0.0, rate)
    beats = detector.push(band.push(piece, bridged)[0]) + detector.push(band.finish()[0]) + detector.finish()
    conditioned = np.concatenate([shape.push(piece, bridged)[0], shape.finish()[0]])
    n = conditioned.size
    whole = Window(0, n, 0.0, n / RATE, conditioned, RATE, 0.0, False)
    return points_up(whole, np.array([b.time_s for b in beats if b.time_s < n / RATE]))


def test_cinc_normal_records_as_they_are_and_turned_over(data_dir: Path) -> None:
    """Sixty normal records of the training list. Some are upside down as they came (the recorder is held with
    both hands, and nothing says which), so what fires there is no false alarm for certain."""
    from ecgedge.datasets.archive import Archive
    from ecgedge.datasets.cinc2017 import RATE_HZ, labels, published_split, records

    with Archive(data_dir, "cinc2017") as archive:
        known = labels(archive)
    names = [n for n in published_split(data_dir)[0] if known[n] == 0][::75][:60]
    signals = [r.signal for r in records(data_dir, names)]
    upright = [found(x, RATE_HZ) for x in signals]
    turned = [found(-x, RATE_HZ) for x in signals]
    assert upright.count(False) <= 0.25 * len(names)
    assert turned.count(False) >= 2.5 * upright.count(False)
    assert turned.count(False) >= 0.4 * len(names)
    assert not any(a is False and b is False for a, b in zip(upright, turned, strict=True))


# Modified lead II in all; 108 among them has complexes that point down, 109 and 111 left bundle branch block.
# Of all 48 records one is told upside down as it is, 207 (R and T point down there), and 24 turned over.
@pytest.mark.parametrize("name", ["100", "101", "103", "108", "109", "111", "115", "122", "219", "234"])
def test_mitdb_lead_ii_as_it_is_is_not_upside_down(data_dir: Path, tmp_path: Path, name: str) -> None:
    import zipfile

    wfdb = pytest.importorskip("wfdb")
    with zipfile.ZipFile(data_dir / "mitdb.zip") as packed:
        for suffix in ("hea", "dat"):
            (tmp_path / f"{name}.{suffix}").write_bytes(packed.read(f"mitdb/{name}.{suffix}"))
    signal = wfdb.rdrecord(str(tmp_path / name), channels=[0], sampto=360 * 30).p_signal[:, 0]
    assert found(signal, 360.0) is not False
