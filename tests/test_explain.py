"""``ecgedge explain``: the window the stream cuts, its attention where it belongs, mistakes in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import cli
from ecgedge.bundle import list_bundles
from ecgedge.errors import BundleError, RecordingError, UsageError
from ecgedge.messages import Beat
from ecgedge.recordings import open_recording

pytest.importorskip("matplotlib")

from ecgedge.explain import MODEL, Explanation, Picture, draw, explain

RATE = 250.0

if MODEL not in list_bundles():
    pytest.skip("needs the bundle danet", allow_module_level=True)


def write_csv(path: Path, seconds: float, early_at: int | None = None) -> Path:
    """A column of millivolts: P, QRS and T at 75 beats a minute, one beat early."""
    t = np.arange(round(seconds * RATE)) / RATE
    peaks = [0.8 * k + 0.4 - (0.25 if k == early_at else 0.0) for k in range(int(seconds / 0.8))]
    signal = np.zeros(t.size)
    for at in peaks:
        for height, shift, width in ((0.15, -0.16, 0.025), (1.0, 0.0, 0.012), (0.25, 0.26, 0.05)):
            signal += height * np.exp(-0.5 * ((t - at - shift) / width) ** 2)
    path.write_text("mV\n" + "\n".join(f"{v:.4f}" for v in signal) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("rec") / "rec.csv", 40.0, early_at=26)


@pytest.fixture(scope="module")
def told(record: Path) -> Explanation:
    return explain(record, 21.0, fs=RATE)


def test_the_window_is_the_stream_s_with_the_moment_nearest_to_its_middle(told: Explanation) -> None:
    window = told.prepared.window
    assert (window.time_s, window.seconds) == (15.0, 10.0)
    assert (told.strip.from_s, told.strip.to_s) == (15.0, 25.0)


def test_the_signal_is_the_recording_s_own(told: Explanation, record: Path) -> None:
    counts = np.concatenate([b.counts[:, 0] for b in open_recording(record, RATE).blocks()])
    part = told.strip.signal
    whole = counts[round(15 * RATE) : round(25 * RATE)]
    assert part.size == whole.size
    assert np.corrcoef(part, whole)[0, 1] == pytest.approx(1.0)
    assert all(15.0 <= beat.time_s < 25.0 for beat in told.strip.beats)
    assert len(told.strip.beats) in (12, 13)


def test_attention_and_verdict_are_those_of_the_interpreter(told: Explanation) -> None:
    """Run by hand: z-score of the window, the model's own scales, softmax after the temperature."""
    from ecgedge.bundle import open_bundle

    litert = pytest.importorskip("ai_edge_litert.interpreter")
    bundle = open_bundle(MODEL)
    run = litert.Interpreter(model_content=bundle.model, num_threads=1)
    run.allocate_tensors()
    signal = told.prepared.window.signal.astype(np.float64)
    z = np.clip((signal - signal.mean()) / signal.std(), -5, 5)
    (entry,) = run.get_input_details()
    scale, zero = entry["quantization"]
    run.set_tensor(
        entry["index"], np.clip(np.rint(z / scale) + zero, -128, 127).astype(np.int8).reshape(entry["shape"])
    )
    run.invoke()
    out = {}
    for detail in run.get_output_details():
        scale, zero = detail["quantization"]
        out[int(np.prod(detail["shape"]))] = (
            run.get_tensor(detail["index"]).astype(np.float64).reshape(-1) - zero
        ) * scale
    np.testing.assert_allclose(told.attention, out[1500], atol=1.01 / 256)
    odds = np.diff(out[2])[0] / bundle.manifest["temperature"]
    assert told.probability == pytest.approx(1 / (1 + np.exp(-odds)), abs=0.02)
    assert told.called == (told.probability >= bundle.manifest["thresholds"]["apc"])


def drawn(told: Explanation) -> Any:
    picture = Picture(told)
    picture.draw()
    return picture


def test_the_picture_is_to_scale_and_says_what_was_told(told: Explanation) -> None:
    picture = drawn(told)
    inches = picture.figure.get_size_inches() * 25.4
    np.testing.assert_allclose(inches, [picture.width, picture.height])
    said = [text.get_text() for text in picture._axes.texts]
    assert f"{told.word} {told.probability:.2f}" in said
    assert {"0:15", "0:20", "0:25", "attention", "what danet looked at"} <= {*said}
    (image,) = picture._axes.images
    left, right, *_ = image.get_extent()
    assert right - left == pytest.approx(250)
    shade = np.asarray(image.get_array())
    assert shade.shape == (1, 1500, 4)
    order = np.argsort(told.attention)
    assert (np.diff(shade[0, order, 3]) >= 0).all()  # the darker, the more attention
    heights = [float(t.get_position()[1]) for t in picture._axes.texts]
    assert 0 < min(heights) < max(heights) < picture.height


def test_the_interval_before_an_early_beat_stands_out(told: Explanation) -> None:
    picture = drawn(told)
    bold = [t.get_text() for t in picture._axes.texts if t.get_text().isdigit() and t.get_weight() == "bold"]
    assert len(bold) == 1
    assert int(bold[0]) == pytest.approx(550, abs=12)  # 800 ms less the 250 ms it is early


def test_a_lonely_beat_has_no_interval(told: Explanation) -> None:
    import dataclasses

    one = dataclasses.replace(told.strip, beats=[Beat(4000, 16.0, None, 1.0, True)])
    picture = drawn(dataclasses.replace(told, strip=one))
    numbers = {t.get_text() for t in picture._axes.texts if t.get_text().isdigit()}
    assert numbers == {"0", "1"}  # of the scale of attention, no milliseconds


@pytest.mark.parametrize(
    ("at", "options", "error", "words"),
    [
        (50.0, {}, UsageError, "a moment within 0 to 40.0 s"),
        (-1.0, {}, UsageError, "a moment within"),
        (21.0, {"model": "efficientecg-s"}, UsageError, "tells no attention"),
        (21.0, {"model": "nothing"}, BundleError, "no model 'nothing'"),
        (21.0, {"lead": "V9"}, UsageError, "V9"),
    ],
)
def test_mistakes_are_told(
    record: Path, at: float, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        explain(record, at, fs=RATE, **options)


def test_a_recording_shorter_than_the_window_is_refused(tmp_path: Path) -> None:
    short = write_csv(tmp_path / "short.csv", 8.0)
    with pytest.raises(UsageError, match="10 s of signal without a gap"):
        explain(short, 4.0, fs=RATE)


def test_a_file_that_cannot_be_written_or_drawn_is_refused(record: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.png, \.svg, \.pdf"):
        draw(record, 21.0, tmp_path / "x.txt", fs=RATE)
    with pytest.raises(RecordingError, match="cannot be written"):
        draw(record, 21.0, tmp_path / "nowhere" / "x.png", fs=RATE)


def test_the_command_writes_a_picture_and_says_what_it_shows(record: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    words = ["explain", str(record), "--at", "21", "--fs", "250", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "ecgedge", *words], capture_output=True, text=True, check=True
    )
    assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert done.stdout.startswith(f"{out}: 15 to 25 s, ")
    assert done.stderr == ""


def test_the_command_says_mistakes_in_one_line(
    record: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for words, code in (
        (["--at", "99"], 2),
        (["--at", "nan"], 2),
        (["--at", "1", "--model", "nothing"], 4),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(["explain", str(record), "--fs", "250", *words])
        assert end.value.code == code
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as end:
        cli.main(["explain", str(tmp_path / "none.hea"), "--at", "1"])
    assert end.value.code == 5


def test_without_matplotlib_the_extra_is_named(record: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; from ecgedge import cli; "
        f"cli.main(['explain', {str(record)!r}, '--at', '1', '--fs', '250'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 7
    assert done.stderr.count("\n") == 1
    assert "plot" in done.stderr
