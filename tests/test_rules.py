"""What may stand in a recipe, of any task: whatever cannot be is refused in one line, before any work."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import torch
from small_cinc import TINY_NET, tiny

from ecgedge import cli
from ecgedge.errors import DataError, UsageError
from ecgedge.models import build
from ecgedge.training import checkpoint, run, variants
from ecgedge.training import recipe as rhythm
from ecgedge.training.apc import recipe as apc
from ecgedge.training.beats import recipe as beats
from ecgedge.training.beats.module import BeatClassifier
from ecgedge.training.module import Loss

TASKS = {"efficientecg-s": rhythm, "dualnet-m": rhythm, "danet": apc, "ecg-sl": beats}
"""A recipe of each kind, and who reads it."""


def table(name: str) -> dict[str, Any]:
    """The tables of a shipped recipe, those that may be left out too."""
    return dataclasses.asdict(TASKS[name].load(name))


def put(tables: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at a place."""
    out = copy.deepcopy(tables)
    inner = out
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return out


def refusal(name: str, tables: dict[str, Any]) -> str | None:
    """What a recipe, or its net, is refused with."""
    try:
        made = TASKS[name].from_table(tables, "r.toml")
        build(made.architecture, made.net)
    except DataError as error:
        return str(error)
    return None


WINDOW = [
    (("window", "hop_s"), 0.001),
    (("window", "hop_s"), 0.0),
    (("window", "hop_s"), math.inf),
    (("window", "length_s"), math.inf),
    (("window", "length_s"), 1e308),
    (("window", "minimum_s"), 0.004),
    (("window", "clip"), 0.0),
    (("window", "clip"), -1),
]
ALL = [
    *((("optimiser", "weight_decay"), value) for value in (-1, math.nan, 10**309)),
    *((("optimiser", "label_smoothing"), value) for value in (-0.5, 1.5, 1)),
    *((("optimiser", "ema_decay"), value) for value in (-0.1, 1, 1.5)),
    *((("optimiser", "batch"), value) for value in (0, -1, 10**30)),
    *((("seed",), value) for value in (-1, 2**32, 99_999_999_999)),
    *((("name",), value) for value in ("", "../x/tiny", "/abs/path", "a.b", "Tiny", "tiny\n", "-tiny")),
    *((("preprocessing", "rate_hz"), value) for value in (1e9, 10**400, "100", True, None, math.nan)),
    (("preprocessing", "version"), [1]),
    (("net", "classes"), 7),
]
LABELS = [
    *((("optimiser", "peak_rate"), value) for value in (-0.1, 0, math.nan, math.inf)),
    *((("optimiser", "epochs"), value) for value in (0, 10**30)),
    *((("optimiser", "class_weights"), value) for value in ([1.0] * 3, [1.0] * 6, [], [1.0, 1, 0, 1])),
    (("optimiser", "class_weights"), [1.0, 1.0, -1.0, 1.0]),
]
STRENGTHS = [(("augmentation", "noise"), value) for value in (math.inf, math.nan, -0.1, 1e30)]


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        *(("efficientecg-s", *case) for case in (*ALL, *LABELS, *WINDOW, *STRENGTHS)),
        ("efficientecg-s", ("data", "inner_share"), 0.003),
        ("efficientecg-s", ("start",), "../other"),
        ("efficientecg-s", ("distillation", "teachers"), ["../other"]),
        ("efficientecg-s", ("window", "minimum_s"), 29.999),
        ("efficientecg-s", ("inputs", 0, "kind"), ["signal"]),
        *(("danet", *case) for case in (*ALL, *WINDOW, *STRENGTHS)),
        *(("danet", ("steps", 0, "peak_rate"), value) for value in (-0.1, 0, math.nan)),
        ("danet", ("attention", "edge_s"), math.inf),
        *(("ecg-sl", *case) for case in (*ALL, *LABELS, *STRENGTHS)),
        ("ecg-sl", ("pretraining", "peak_rate"), -0.1),
        ("ecg-sl", ("data", "inner"), []),
        ("ecg-sl", ("data", "label_share"), 5e-324),
    ],
)
def test_a_value_that_no_run_can_use_is_refused_by_its_place(
    name: str, path: tuple[Any, ...], value: Any
) -> None:
    told = refusal(name, put(table(name), path, value))
    assert told is not None
    assert "\n" not in told
    said = path[-1] if isinstance(path[-1], str) else path[-2]
    assert said in told or (said in ("rate_hz", "version") and "preprocessing" in told), told


ODD = (
    None,
    "x",
    "",
    -1,
    0,
    0.3,
    7,
    1e9,
    math.nan,
    math.inf,
    True,
    [],
    {},
    [1],
    1e308,
    5e-324,
    10**309,
    {1: 2},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested tables."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@pytest.mark.parametrize("name", list(TASKS))
def test_whatever_stands_in_a_recipe_is_refused_in_one_line_or_taken(name: str) -> None:
    """Odd values everywhere: no exception but ours, and what is taken is finite."""
    sound, told = table(name), []
    for path in places(sound):
        for odd in ODD:
            tables = put(sound, path, odd)
            try:
                made = TASKS[name].from_table(tables, "r.toml")
            except DataError as error:
                told.append(str(error))
            else:
                assert path[0] in ("net", "inputs") or not isinstance(odd, float) or abs(odd) < 1e308, path
                assert made.spec
    assert len(told) > 300
    assert not [line for line in told if "\n" in line]


@pytest.mark.parametrize(
    ("name", "size"), [("efficientecg-s-plain", TINY_NET), ("danet", {}), ("ecg-sl", {})]
)
def test_whatever_stands_in_a_net_is_refused_in_one_line_or_built(name: str, size: dict[str, Any]) -> None:
    reader = TASKS.get(name, rhythm)
    plan = reader.load(name)
    sound, told = {**plan.net, **size}, []
    for path in places(sound):
        for odd in ODD:
            try:
                build(plan.architecture, put(sound, path, odd))
            except DataError as error:
                told.append(str(error))
    assert told
    assert not [line for line in told if "\n" in line]


def test_weights_may_be_whole_numbers(cinc_like: Path, tmp_path: Path) -> None:
    """As they are read from TOML: they weigh as the same numbers with a point do."""
    whole = run.train(str(tiny(tmp_path, class_weights=[1, 2, 1, 1])), cinc_like, tmp_path / "a", threads=1)
    point = run.train(
        str(tiny(tmp_path, class_weights=[1.0, 2.0, 1.0, 1.0])), cinc_like, tmp_path / "b", threads=1
    )
    first, second = (list(checkpoint.load(path).net.state_dict().values()) for path in (whole, point))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    options = dataclasses.replace(rhythm.load("efficientecg-s").optimiser, class_weights=[1, 2, 3, 4])
    smooth = dataclasses.replace(options, label_smoothing=0.0)
    loss = Loss(smooth)(torch.zeros(3, 4), torch.tensor([0, 1, 3]))
    assert loss.item() == pytest.approx(math.log(4), rel=1e-6)
    plan = beats.from_table(put(table("ecg-sl"), ("optimiser", "class_weights"), [1, 2, 3, 4]), "r.toml")
    module = BeatClassifier(build(plan.architecture, plan.net), plan)
    assert torch.isfinite(module._entropy(torch.zeros(3, 4), torch.tensor([0, 1, 3])))


@pytest.mark.parametrize("seed", [-1, 2**32, 99_999_999_999])
def test_a_seed_that_nobody_takes_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match="0 to 4294967295"):
        variants.with_seed(rhythm.load("efficientecg-s"), seed)


@pytest.mark.parametrize("words", ["9" * 5000 + "/5", "2/" + "9" * 5000, "1/5\n", "\u0662/\u0665"])
def test_a_fold_that_is_none_is_refused_shortly(words: str) -> None:
    with pytest.raises(UsageError, match="fold") as caught:
        variants.fold_of(words)
    assert len(str(caught.value)) < 100


def test_an_inner_part_of_nothing_is_refused_before_the_work(cinc_like: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"inner_share = 0\.01 keeps 0 of 50 records"):
        run.train(str(tiny(tmp_path, inner_share=0.01)), cinc_like, tmp_path)
    assert not (tmp_path / "tiny").exists()


def test_inner_records_that_are_all_too_short_are_told(cinc_like: Path, tmp_path: Path) -> None:
    plan = rhythm.load(str(tiny(tmp_path)))
    fit, inner = run.training_sets(cinc_like, plan)
    inner.signals = [signal[:800] for signal in inner.signals]
    with pytest.raises(DataError, match="no windows of inner records"):
        run.fit(plan, cinc_like, tmp_path, run.Machine(threads=1), sets=(fit, inner))


def test_the_command_refuses_a_name_that_would_lead_elsewhere(
    cinc_like: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny(tmp_path, name="../elsewhere/tiny")
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", str(recipe), "--root", str(cinc_like), "--out", str(tmp_path / "out")])
    assert ended.value.code == DataError.exit_code
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert "name = '../elsewhere/tiny'; expected small letters, digits and hyphens" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]
