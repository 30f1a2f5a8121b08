"""Beat and person inputs: what they hold, and that stream and training make them alike."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import cli, session, sinks, words
from ecgedge.beat_features import MOST_LOG, age_row, p_waves, rr_series, sex_row
from ecgedge.classify import classify_files
from ecgedge.errors import BundleError, UsageError
from ecgedge.features import check_input, check_kind, make_inputs, tensor_shape
from ecgedge.frontend import Consumer, Frontend, Prepared
from ecgedge.messages import UNKNOWN, Board, Context, Person, SampleBlock, Segment
from ecgedge.ports.patient import RATE_HZ, UV_PER_COUNT, SimulatedPatient
from ecgedge.windows import WindowSpec

SPEC = {"version": 1, "rate_hz": 100.0, "highpass_hz": 0.5, "lowpass_hz": 40.0}
ENTRIES: list[dict[str, Any]] = [
    {"name": "signal", "kind": "signal"},
    {"name": "rr", "kind": "rr-series", "points": 32},
    {"name": "p", "kind": "p-waves", "beats": 16, "samples": 20, "onset": 5},
    {"name": "age", "kind": "age", "bucket_years": 10, "buckets": 10},
    {"name": "sex", "kind": "sex"},
]


def inputs() -> list[dict[str, Any]]:
    return [{**e, "clip": 6.0, "shape": [1, *tensor_shape(e, 3000), 1]} for e in ENTRIES]


def beats(times: Any, heights: Any = None, person: Person = UNKNOWN) -> Context:
    times = np.asarray(times, dtype=float)
    return Context(
        100.0, times, np.ones(times.size) if heights is None else np.asarray(heights, float), person
    )


# ---- the RR series


@pytest.mark.parametrize("n", [2, 3, 17, 33, 34, 90])
def test_the_series_holds_intervals_in_order_and_no_mixture(n: int) -> None:
    rng = np.random.default_rng(n)
    intervals, heights = rng.uniform(0.4, 1.5, n - 1), rng.uniform(0.5, 2.0, n) * rng.choice([-1, 1], n)
    made = rr_series(beats(np.concatenate(([3.0], 3.0 + np.cumsum(intervals))), heights), 32)
    assert made.shape == (2, 32)
    assert made.dtype == np.float32
    ratios = np.abs(heights) / np.median(np.abs(heights))
    for row, values in zip(made, (np.log(intervals), np.log(ratios)), strict=True):
        distance = np.abs(row[:, None] - values[None])
        places = distance.argmin(axis=1)
        assert distance.min(axis=1).max() < 1e-6
        assert (np.diff(places) >= 0).all()
        assert places[0] == 0
        assert places[-1] == values.size - 1
        if values.size <= 32:
            assert set(places) == set(range(values.size))


def test_the_series_knows_no_unit_no_polarity_and_no_place_in_time() -> None:
    rng = np.random.default_rng(0)
    times, heights = np.cumsum(rng.uniform(0.5, 1.0, 30)), rng.uniform(0.5, 2.0, 30)
    made = rr_series(beats(times, heights), 32)
    np.testing.assert_allclose(rr_series(beats(times + 7.0, -1e-5 * heights), 32), made, atol=1e-6)


def test_the_series_is_clipped_on_either_side() -> None:
    made = rr_series(beats([0.0, 0.05, 10.0], [1.0, 1e-9, 1e9]), 4)
    np.testing.assert_allclose(made[0], [-MOST_LOG, -MOST_LOG, -MOST_LOG, MOST_LOG], atol=1e-6)
    np.testing.assert_allclose(made[1, [0, -1]], [0.0, MOST_LOG], atol=1e-6)


@pytest.mark.parametrize("heights", [[], [2.0], [0.0, 0.0, 0.0]])
def test_what_tells_nothing_is_zero(heights: list[float]) -> None:
    made = rr_series(beats(np.arange(len(heights)), heights), 32)
    assert not made.any()


# ---- P waves


def test_pieces_end_where_the_qrs_begins() -> None:
    signal = np.arange(1000, dtype=np.float32)
    made = p_waves(signal, beats([1.0, 2.004, 3.5]), 4, 20, 5)
    assert made.shape == (4, 20)
    for row, end in zip(made, (95, 195, 345), strict=False):
        np.testing.assert_array_equal(row, np.arange(end - 20, end))
    assert not made[3].any()


def test_a_piece_that_begins_before_the_window_is_left_out() -> None:
    signal = np.ones(300, dtype=np.float32)
    assert not p_waves(signal, beats([0.0, 0.24]), 2, 20, 5).any()
    assert p_waves(signal, beats([0.25]), 2, 20, 5)[0].all()


def test_of_many_beats_evenly_spread_ones_are_taken() -> None:
    signal = np.arange(3000, dtype=np.float32)
    times = np.arange(1.0, 29.0, 0.5)
    made = p_waves(signal, beats(times), 16, 20, 5)
    ends = made[:, -1] + 1 + 5
    assert ends[0] == 100
    assert ends[-1] == round(times[-1] * 100)
    steps = np.diff(ends)
    assert steps.min() >= 150
    assert steps.max() <= 200


def test_no_beats_and_no_signal() -> None:
    assert not p_waves(np.zeros(0, dtype=np.float32), beats([]), 16, 20, 5).any()
    assert not p_waves(np.zeros(0, dtype=np.float32), beats([1.0]), 16, 20, 5).any()


def test_the_pieces_hold_the_p_waves_that_experts_marked(data_dir: Path) -> None:
    """P peaks of MIT-BIH lie in the piece before the QRS that was found; 207 alone conducts slower."""
    pytest.importorskip("lightning", reason="needs the extra 'train'")
    from ecgedge.datasets import mitdb
    from ecgedge.training.data import context_of

    held, marked = 0, 0
    for record in mitdb.with_p_waves(data_dir):
        if record.name == "207":
            continue
        peaks = np.array([mark.sample for mark in record.annotations["pwave"]])
        found = context_of(record.lead(), record.rate_hz, 100.0, UNKNOWN)
        after = np.searchsorted(found.times_s, peaks / record.rate_hz)
        peaks, after = peaks[after < found.times_s.size], after[after < found.times_s.size]
        to_beat = found.times_s[after] - peaks / record.rate_hz
        near = to_beat < 0.4  # others are not conducted, or their beat was missed
        marked += int(near.sum())
        held += int(((to_beat[near] >= 0.05) & (to_beat[near] <= 0.25)).sum())
    assert marked > 20_000
    assert held / marked > 0.99


# ---- age and sex


def test_each_age_has_one_bucket_and_the_last_is_open() -> None:
    said = {age: int(age_row(Person(age=age), 10, 10).argmax()) for age in (0, 9.9, 10, 44, 89, 90, 104, 130)}
    assert said == {0: 1, 9.9: 1, 10: 2, 44: 5, 89: 9, 90: 10, 104: 10, 130: 10}
    assert age_row(UNKNOWN, 10, 10).argmax() == 0
    for age in (None, 3, 77, 200):
        row = age_row(Person(age=age), 10, 10)
        assert row.shape == (1, 11)
        assert sorted(row[0]) == [0.0] * 10 + [1.0]


def test_the_sexes_have_a_place_each() -> None:
    rows = [sex_row(Person(sex=sex)) for sex in (None, "f", "m")]
    np.testing.assert_array_equal(np.concatenate(rows), np.eye(3))


# ---- descriptions


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["kind"])
def test_the_shape_said_is_the_shape_made(entry: dict[str, Any]) -> None:
    whole = {**entry, "clip": 6.0, "shape": [1, *tensor_shape(entry, 3000), 1]}
    check_kind(entry, set())
    rest = {"dtype": "int8", "scale": 0.1, "zero_point": 0, "padding": "zeros-right"}
    check_input({**whole, **rest}, 3000)
    made = make_inputs([whole], np.zeros(3000, dtype=np.float32), beats([1.0, 2.0]))
    assert list(made) == [entry["name"]]
    assert made[entry["name"]].shape == tuple(whole["shape"])
    assert made[entry["name"]].dtype == np.float32


@pytest.mark.parametrize(
    ("at", "change", "named"),
    [
        (1, {"points": 0}, "points 0"),
        (1, {"points": 2.5}, "points 2.5"),
        (1, {"points": True}, "points True"),
        (1, {"beats": 3}, "beats"),
        (2, {"samples": -1}, "samples -1"),
        (2, {"onset": "5"}, "onset '5'"),
        (3, {"buckets": 1000}, "buckets 1000"),
        (3, {"kind": "height"}, "height"),
        (4, {"buckets": 2}, "buckets"),
    ],
)
def test_a_description_that_is_off_is_refused_by_name(at: int, change: dict[str, Any], named: str) -> None:
    with pytest.raises(BundleError, match=named):
        check_kind({**ENTRIES[at], **change}, set())


# ---- the stream


def prepared(counts: np.ndarray, cuts: list[int], person: Person) -> list[Prepared]:
    frontend = Frontend((Consumer("m", SPEC, WindowSpec(100.0, 30.0, 10.0, 9.0), inputs()),), 0, person)
    out = frontend.push(Segment(0, 0.0, RATE_HZ, "declared", Board("test", RATE_HZ, UV_PER_COUNT, 16)))
    for first, last in zip([0, *cuts], [*cuts, counts.size], strict=True):
        out += frontend.push(SampleBlock(first, counts[first:last, None].astype(float), last / RATE_HZ))
    return [item for item in out + frontend.finish() if isinstance(item, Prepared)]


@pytest.fixture(scope="module")
def recorded() -> np.ndarray:
    return np.concatenate([piece.counts for piece in SimulatedPatient(5, 75.0).pieces()])


def test_the_tensors_do_not_depend_on_how_the_samples_came(recorded: np.ndarray) -> None:
    person = Person(61, "f")
    whole = prepared(recorded, [], person)
    assert any(item.tensors["rr"].any() and item.tensors["p"].any() for item in whole)
    rng = np.random.default_rng(1)
    for n in (4, 400):
        cuts = sorted(rng.choice(np.arange(1, recorded.size), n, replace=False).tolist())
        parts = prepared(recorded, cuts, person)
        assert len(parts) == len(whole)
        for one, other in zip(whole, parts, strict=True):
            for name, tensor in one.tensors.items():
                np.testing.assert_array_equal(tensor, other.tensors[name])


def test_the_person_is_in_every_window_and_nowhere_else(recorded: np.ndarray) -> None:
    known, unknown = prepared(recorded, [], Person(61, "f")), prepared(recorded, [], UNKNOWN)
    for one, other in zip(known, unknown, strict=True):
        assert one.tensors["age"].argmax() == 7
        assert one.tensors["sex"].argmax() == 1
        assert other.tensors["age"].argmax() == other.tensors["sex"].argmax() == 0
        for name in ("signal", "rr", "p"):
            np.testing.assert_array_equal(one.tensors[name], other.tensors[name])


def test_the_series_tells_the_heart_rate_of_the_demo(recorded: np.ndarray) -> None:
    """The simulated patient begins in sinus rhythm; the RR row's median is its interval."""
    first = next(item for item in prepared(recorded, [], UNKNOWN) if not item.window.provisional)
    interval = math.exp(float(np.median(first.tensors["rr"][0, 0])))
    autocorrelated = first.window.signal.astype(float)
    ahead = np.correlate(autocorrelated, autocorrelated, "full")[autocorrelated.size - 1 :]
    period = (40 + int(ahead[40:160].argmax())) / 100
    assert interval == pytest.approx(period, rel=0.05)


# ---- training


def test_training_makes_the_inputs_of_the_device_on_real_records(data_dir: Path) -> None:
    pytest.importorskip("lightning", reason="needs the extra 'train'")
    from ecgedge.datasets import cinc2017
    from ecgedge.training import recipe as recipes
    from ecgedge.training.data import WindowDataset, load_cinc2017

    plan = recipes.load("efficientecg-s-fused")
    assert plan.inputs == ENTRIES
    names = cinc2017.published_split(data_dir)[0][:60]
    rows = WindowDataset(load_cinc2017(data_dir, names, plan), plan)
    device: list[Prepared] = []
    for record in cinc2017.records(data_dir, names):
        frontend = Frontend((Consumer("m", SPEC, WindowSpec(100.0, 30.0, 10.0, 9.0), inputs()),))
        board = Board(record.name, record.rate_hz, 1.0, 16)
        out = frontend.push(Segment(0, 0.0, record.rate_hz, "declared", board))
        out += frontend.push(SampleBlock(0, np.rint(record.signal * 1000), 0.0)) + frontend.finish()
        device += [i for i in out if isinstance(i, Prepared) and not i.window.provisional]
    assert len(rows) == len(device) > 60
    for k, item in enumerate(device):
        for (name, theirs), mine in zip(item.tensors.items(), rows[k][0], strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs[..., 0], atol=1e-5, err_msg=name)


def test_the_beats_of_a_crop_lie_on_its_peaks() -> None:
    pytest.importorskip("lightning", reason="needs the extra 'train'")
    from ecgedge.training import recipe as recipes
    from ecgedge.training.augment import Augmenter
    from ecgedge.training.data import ConditionedSet, CropDataset
    from ecgedge.training.noise import Noise

    plan = recipes.load("efficientecg-s-fused")
    quiet = dataclasses.replace(
        plan.augmentation, polarity=0.0, noise=0.0, wander=0.0, cut_out=0.0, short_crop=0.5
    )
    plan = dataclasses.replace(plan, augmentation=quiet)
    rng = np.random.default_rng(2)
    places = np.cumsum(rng.integers(60, 140, 60))
    signal = np.interp(
        np.arange(6000), np.stack([places - 3, places, places + 3]).T.reshape(-1), [0, 1, 0] * 60
    )
    whole = Context(100.0, places / 100, np.ones(60), Person(50, "m"))
    records = ConditionedSet(["x"], [signal.astype(np.float32)], [0], [whole])
    crops = CropDataset(records, plan, Augmenter(quiet, plan.spec, Noise()))
    stretched = set()
    for epoch in range(40):
        (drawn, rr, _, age, sex), _ = crops[epoch, 0]
        assert (int(age.argmax()), int(sex.argmax())) == (6, 2)
        x = drawn.numpy().reshape(-1)
        n = int(np.flatnonzero(x != 0)[-1]) + 1
        inside = crops._context(0, (plan.seed, epoch, 0))
        assert inside is not None
        at = inside.times_s * 100
        assert at.min() >= 0
        assert at.max() <= n + 1
        peaks = np.flatnonzero((x[1:-1] > 0.5 * x.max()) & (x[1:-1] >= x[:-2]) & (x[1:-1] > x[2:])) + 1
        whole_peaks = peaks[(peaks > 5) & (peaks < n - 5)]
        assert whole_peaks.size > 3
        assert np.abs(at[None] - whole_peaks[:, None]).min(axis=1).max() <= 1.0
        stretched.add(round(float(rr[0, 0].mean()), 3))
    assert len(stretched) > 30


# ---- the command line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--age", "-1"], "age -1"),
        (["--age", "200"], "age 200"),
        (["--age", "nan"], "age nan"),
        (["--age", "old"], "old"),
        (["--sex", "x"], "sex x"),
        (["--sex", ""], "sex"),
    ],
)
@pytest.mark.parametrize("command", [["stream", "--port", "demo"], ["classify", "x.hea"]])
def test_an_impossible_person_is_refused(
    capsys: pytest.CaptureFixture[str], command: list[str], words: list[str], named: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, *words])
    assert ended.value.code == UsageError.exit_code
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1


def test_a_model_that_makes_no_use_of_it_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["stream", "--port", "demo", "--speed", "max", "--duration", "15"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--age", "70", "--sex", "f"])
    assert ended.value.code == 0
    told = capsys.readouterr()
    assert told.err == "ecgedge: efficientecg-s makes no use of age and sex\n"
    with pytest.raises(SystemExit):
        cli.main(words)
    silent = capsys.readouterr()
    assert silent.err == ""
    assert told.out == silent.out


def test_what_is_not_told_is_not_missed() -> None:
    assert words.ignored(["efficientecg-s"], UNKNOWN) == ""
    assert words.ignored(["efficientecg-s"], Person(sex="m")) == "efficientecg-s makes no use of sex"


def test_both_commands_hand_the_person_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As far as the pipeline, whose frontend is tested above."""
    asked = []

    def pipeline(*_: Any, **options: Any) -> None:
        asked.append(options["person"])
        raise UsageError("enough")

    class Sink(sinks.Sink):
        def write(self, message: object) -> None: ...

    monkeypatch.setattr(session, "Pipeline", pipeline)
    monkeypatch.setattr("ecgedge.classify.Pipeline", pipeline)
    person, sink = Person(50, "m"), Sink()
    with pytest.raises(UsageError, match="enough"):
        session.run_stream(session.StreamOptions("demo", person=person), sink)
    (tmp_path / "a.csv").write_text("ecg\n" + "0.1\n" * 100)
    assert classify_files([str(tmp_path / "a.csv")], fs=100.0, person=person, sink=sink) == 1
    assert asked == [person, person]
