"""Strips: what is drawn is at the scale of ECG paper, where it belongs in time, and comes from classify."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import cli
from ecgedge.errors import RecordingError, UsageError
from ecgedge.messages import Beat, EctopicRun, Episode, Gap, Quality, Scores, Verdict
from ecgedge.plot import Page, plot
from ecgedge.strip import Strip, read_strip

pytest.importorskip("matplotlib")

RATE = 200.0


def verdict(time_s: float, said: str = "AF", seconds: float = 30.0, provisional: bool = False) -> Verdict:
    first, last = int(time_s * RATE), int((time_s + seconds) * RATE)
    scores = Scores("m", first, last, time_s, seconds, {"N": 0.1, "A": 0.9}, "A", provisional)
    reasons = ("too noisy",) if said == "inconclusive" else ()
    return Verdict(scores, said, reasons, Quality(0.5, ("mains hum",)), 0.9)


def strip(**changes: Any) -> Strip:
    signal = np.zeros(int(25 * RATE))
    signal[400] = 1.0
    content: dict[str, Any] = {
        "title": "rec", "lead": "II", "model": "m", "rate_hz": RATE, "in_mv": True,
        "from_s": 100.0, "to_s": 125.0, "signal": signal,
    }  # fmt: skip
    return Strip(**(content | changes))


def drawn(made: Strip) -> Page:
    page = Page(made)
    page.draw()
    return page


def lines(page: Page, marker: str = "None") -> list[np.ndarray]:
    return [line.get_xydata() for line in page._axes.lines if line.get_marker() == marker]


def words(page: Page) -> list[str]:
    return [text.get_text() for text in page._axes.texts]


def test_a_second_is_25_mm_and_a_millivolt_10_mm() -> None:
    page = drawn(strip())
    inches = page.figure.get_size_inches() * 25.4
    np.testing.assert_allclose(inches, [page.width, page.height])
    assert page._axes.get_position().bounds == (0, 0, 1, 1)
    assert page._axes.get_xlim() == (0, page.width)
    first, pulse, second, third = lines(page)
    assert np.ptp(first[:, 0]) == pytest.approx(250)
    assert np.ptp(third[:, 0]) == pytest.approx(125, abs=0.2)
    peak = first[np.argmax(first[:, 1])]
    assert peak[0] - first[0, 0] == pytest.approx(2.0 * 25)  # sample 400 at 200 Hz
    assert np.ptp(first[:, 1]) == pytest.approx(10)
    assert np.ptp(pulse[:, 1]) == pytest.approx(10)
    assert np.ptp(second[:, 1]) == 0


def test_beats_stand_over_their_peaks() -> None:
    beats = [Beat(int(t * RATE), t, 0.8, 1.0, True) for t in (102.0, 102.8, 111.5)]
    page = drawn(strip(beats=beats))
    marks = np.concatenate(lines(page, "v"))
    np.testing.assert_allclose(marks[:, 0] - lines(page)[0][0, 0], [50, 70, 37.5])
    assert marks[0, 1] > marks[2, 1]
    assert "75/min" in words(page)


def test_beats_that_are_not_ordinary_have_their_letter_and_colour() -> None:
    at = {102.0: "", 102.6: "APC", 103.4: "PVC", 111.5: "fusion"}
    beats = [Beat(int(t * RATE), t, 0.8, 1.0, True) for t in at]
    kinds = {int(t * RATE): kind for t, kind in at.items() if kind}
    page = drawn(strip(beats=beats, kinds=kinds | {7: "PVC"}))
    marks = [line for line in page._axes.lines if line.get_marker() == "v"]
    assert len({line.get_color() for line in marks}) == 4
    letters = {text.get_text(): text.get_position()[0] for text in page._axes.texts}
    left = lines(page)[0][0, 0]
    for letter, mm in (("A", 65.0), ("V", 85.0), ("F", 37.5)):
        assert 0 < letters[letter] - left - mm < 3
    assert any(word.endswith("A APC   ·   V PVC   ·   F fusion") for word in words(page))
    plain = drawn(strip(beats=beats[:1], kinds={7: "PVC"}))  # a beat beyond the strip
    assert any(word.endswith("R peak") for word in words(plain))


def test_a_row_of_ectopic_beats_is_barred_and_named_once() -> None:
    def row(kind: str, onset_s: float, offset_s: float) -> EctopicRun:
        first, last = int(onset_s * RATE), int(offset_s * RATE)
        return EctopicRun(kind, "closed", "PVC", "b", first, last, onset_s, offset_s, 4)  # type: ignore[arg-type]

    found = [row("run", 101.0, 102.2), row("bigeminy", 108.0, 113.0), row("couplet", 90.0, 90.4)]
    page = drawn(strip(rows={r.onset: r for r in found}))
    said = [word for word in words(page) if word.startswith("PVC")]
    assert said == ["PVC run of 4", "PVC bigeminy"]
    bars = [p.get_width() for p in page._axes.patches if p.get_height() == pytest.approx(0.9)]
    np.testing.assert_allclose(sorted(bars), sorted([1.6 * 25, 2.2 * 25, 3.2 * 25]))


def test_verdicts_quality_gaps_and_episodes_are_said() -> None:
    made = strip(
        verdicts=[verdict(90.0), verdict(100.0, "inconclusive"), verdict(105.0, "sinus", 10.0, True)],
        gaps=[Gap(int(112 * RATE), 400, 112.0, 2.0, "leads_off"), Gap(0, 10, 0.0, 1.0, "lost")],
        episodes={1: Episode("AF", "closed", "m", 18_000, 21_000, 90.0, 105.0, 0.87)},
    )
    said = words(drawn(made))
    for word in ("AF 0.90", "quality 50 %   ·   mains hum", "leads off", "AF episode, probability 0.87"):
        assert word in said
    assert said.count("AF episode, probability 0.87") == 1
    assert "quality 50 %   ·   mains hum   ·   too noisy" in said
    assert "lost" not in said
    over = strip(episodes={1: Episode("AF", "closed", "m", 0, 18_000, 0.0, 90.0, 0.87)})
    assert not [word for word in words(drawn(over)) if "episode" in word]


def test_many_reasons_keep_clear_of_the_heart_rate() -> None:
    """The renderer measures them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    reasons = tuple(f"{word} for {k} % of the window" for k, word in enumerate(["flat line", "clipped"] * 5))
    said = Verdict(verdict(100.0).scores, "AF", (), Quality(0.97, reasons), 0.9)
    beats = [Beat(int(t * RATE), t, 0.8, 1.0, True) for t in (112.0, 112.8)]
    page = drawn(strip(verdicts=[said], beats=beats))
    canvas = FigureCanvasAgg(page.figure)
    canvas.draw()
    boxes = {t.get_text(): t.get_window_extent(canvas.get_renderer()) for t in page._axes.texts}
    (notes,) = {text for text in boxes if text.startswith("quality 97 %")}
    assert notes.startswith("quality 97 %   ·   flat line")
    assert notes.endswith("...")
    assert boxes[notes].x1 < boxes["75/min"].x0
    assert boxes[notes].x1 > 0.6 * boxes["75/min"].x0


def test_an_unreadable_row_tells_no_heart_rate() -> None:
    beats = [Beat(int(t * RATE), t, 0.8, 1.0, True) for t in (102.0, 102.8)]
    noisy = Verdict(
        verdict(100.0).scores, "inconclusive", ("noise",), Quality(0.1, ("noise",), usable=False), 0.9
    )
    assert "75/min" in words(drawn(strip(beats=beats)))
    assert "75/min" not in words(drawn(strip(beats=beats, verdicts=[noisy])))


def test_signal_of_unknown_scale_or_none_at_all_is_drawn() -> None:
    unknown = drawn(strip(in_mv=False, signal=np.sin(np.arange(5000) / 20) * 1e5))
    assert np.ptp(lines(unknown)[0][:, 1]) == pytest.approx(20, abs=0.5)
    assert any("unknown scale" in word for word in words(unknown))
    drawn(strip(signal=np.full(5000, np.nan)))


def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    """``$`` begins a formula to Matplotlib, unless told otherwise."""
    page = drawn(strip(title="p$^$", lead="cost$^$"))
    page.save(tmp_path / "o.png")
    assert "p$^$" in words(page)
    assert any("lead cost$^$" in text for text in words(page))


@pytest.fixture(scope="module")
def af_record(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plot")
    with zipfile.ZipFile(data_dir / "mitdb.zip") as archive:
        for suffix in (".hea", ".dat"):
            archive.extract(f"mitdb/201{suffix}", folder)
    return folder / "mitdb" / "201"


def test_a_real_record_in_af(af_record: Path) -> None:
    made = read_strip(af_record, from_s=20.0, to_s=80.0)
    assert (made.lead, made.in_mv, len(made.signal)) == ("MLII", True, 60 * 360)
    assert 80 <= len(made.beats) <= 100
    found = made.verdict(40.0, 50.0)
    assert found is not None
    assert found.verdict == "AF"
    assert not found.scores.provisional
    assert any(e.onset_s < 80 and e.offset_s > 20 for e in made.episodes.values())


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_files_of_three_kinds(af_record: Path, tmp_path: Path, suffix: str, start: bytes) -> None:
    out = plot(af_record, tmp_path / f"o{suffix}", from_s=5, to_s=20, lead="V1")
    assert out.read_bytes().startswith(start)


def test_spans_and_names_that_make_no_sense(af_record: Path, tmp_path: Path) -> None:
    for from_s, to_s in ((-1, 5), (50, 50), (5000, None), (0, 900)):
        with pytest.raises(UsageError):
            read_strip(af_record, from_s=from_s, to_s=to_s)
    with pytest.raises(UsageError, match=r"\.png"):
        plot(af_record, tmp_path / "o.txt")
    with pytest.raises(RecordingError, match="cannot be written"):
        plot(af_record, tmp_path / "no" / "o.png", to_s=5)


def test_a_missing_extra_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as done:
        cli.main(["plot", str(tmp_path / "rec")])
    assert done.value.code == 7
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "[plot]" in err
