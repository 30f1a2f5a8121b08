"""Checkpoints and kept runs that are damaged, or something else: one line, whatever they hold."""

from __future__ import annotations

import dataclasses
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import torch
from small_cinc import tiny

from ecgedge.errors import DataError
from ecgedge.training import checkpoint, run
from ecgedge.training import recipe as recipes
from ecgedge.training.fitting import kept


@pytest.fixture(scope="module")
def trained(cinc_like: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a recipe, its checkpoint, and the run that it was made by."""
    folder = tmp_path_factory.mktemp("trained")
    run.train(str(tiny(folder)), cinc_like, folder, threads=1)
    return folder


@pytest.fixture
def again(trained: Path, cinc_like: Path, tmp_path: Path) -> Callable[[bytes], None]:
    """Goes on with a kept run of these bytes."""
    last = tmp_path / "tiny" / "last.ckpt"

    def go_on(content: bytes) -> None:
        last.parent.mkdir(exist_ok=True)
        last.write_bytes(content)
        run.train(str(trained / "tiny.toml"), cinc_like, tmp_path, threads=1)

    return go_on


def saved(value: Any, folder: Path) -> bytes:
    torch.save(value, folder / "saved")
    return (folder / "saved").read_bytes()


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def outcome(read: Callable[[], object]) -> str:
    """What something is refused with, if it is."""
    try:
        read()
    except DataError as error:
        told = str(error)
    else:
        return ""
    assert "\n" not in told
    return told


ODD = (None, 3, "x", [], [1], {}, {1: 2}, {"a": 3}, torch.zeros(2), {"a": torch.zeros(2)})


def test_a_checkpoint_with_something_else_in_it(trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained / "tiny.pt", weights_only=True)
    path = tmp_path / "x.pt"
    refused = 0
    for key in content:
        for odd in ODD:
            torch.save({**content, key: odd}, path)
            if key == "inner" and isinstance(odd, dict):
                checkpoint.load(path)
                continue
            assert "x.pt" in refusal(lambda: checkpoint.load(path))
            refused += 1
            if key != "state":
                refusal(lambda: checkpoint.name_and_task(path))
    assert refused > 30
    for key in content["recipe"]:
        for odd in ODD[:-2]:
            torch.save({**content, "recipe": {**content["recipe"], key: odd}}, path)
            outcome(lambda: checkpoint.load(path))


@pytest.mark.parametrize("name", ["tiny.pt", "tiny/last.ckpt"])
def test_bytes_that_changed_on_the_disk(trained: Path, tmp_path: Path, name: str) -> None:
    """Wherever they lie: what is read is refused in one line, or is what it was in kind."""
    plan = recipes.load(str(trained / "tiny.toml"))
    whole, path, luck = (trained / name).read_bytes(), tmp_path / Path(name).name, random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        # The pickle is what decides: it lies in the first bytes.
        for at in luck.sample(range(2500), luck.choice((1, 3, 30))):
            damaged[at] = luck.randrange(256)
        path.write_bytes(damaged)
        refused += bool(
            outcome(lambda: checkpoint.load(path))
            if path.suffix == ".pt"
            else outcome(lambda: kept(path, plan, recipes.from_table, {}))
        )
    assert refused > 30


@pytest.mark.parametrize(
    "other",
    [
        b"\x80\x02cnumpy.nothing\nThing\n.",  # a module and a class that are not there
        b"\x80\x02ctorch\nno_such_thing\n.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a frame of 2^63 bytes
        pickle.dumps([1, 2]),
        pickle.dumps(SimpleNamespace(a=1)),
    ],
)
def test_pickles_of_something_else(tmp_path: Path, again: Callable[[bytes], None], other: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(other)
    refusal(lambda: checkpoint.load(tmp_path / "x.pt"))
    assert "Delete" in refusal(lambda: again(other))


def test_a_kept_run_runs_no_code_when_it_is_read(tmp_path: Path, again: Callable[[bytes], None]) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "trapped",)

    assert "cannot be read" in refusal(lambda: again(saved({"recipe": Trap()}, tmp_path)))
    assert not (tmp_path / "trapped").exists()


def test_another_file_in_place_of_a_kept_run(
    trained: Path, tmp_path: Path, again: Callable[[bytes], None]
) -> None:
    assert "another kind of file" in refusal(lambda: again((trained / "tiny.pt").read_bytes()))
    whole = torch.load(trained / "tiny" / "last.ckpt", weights_only=True)
    for key in ("recipe", "epoch", "state_dict", "optimizer_states", "loops"):
        told = refusal(lambda key=key: again(saved({k: v for k, v in whole.items() if k != key}, tmp_path)))
        assert "another kind of file" in told
    for key, odd in (("epoch", "x"), ("state_dict", [1]), ("state_dict", {"a": 1}), ("earlier", [1])):
        assert "Delete" in refusal(lambda key=key, odd=odd: again(saved({**whole, key: odd}, tmp_path)))
    assert "another recipe" in refusal(lambda: again(saved({**whole, "recipe": [1]}, tmp_path)))


def test_a_kept_run_of_a_net_that_has_other_parts(
    trained: Path, tmp_path: Path, again: Callable[[bytes], None]
) -> None:
    """As an older version may have built it from the same recipe."""
    whole = torch.load(trained / "tiny" / "last.ckpt", weights_only=True)
    name = next(iter(whole["state_dict"]))
    del whole["state_dict"][name]
    assert "does not fit the net" in refusal(lambda: again(saved(whole, tmp_path)))


def test_a_checkpoint_comes_back_from_where_it_was_kept(trained: Path) -> None:
    plan = recipes.load(str(trained / "tiny.toml"))
    assert checkpoint.load(trained / "tiny.pt").recipe == plan
    path, epoch = kept(trained / "tiny" / "last.ckpt", plan, recipes.from_table, {})
    assert (path, epoch) == (str(trained / "tiny" / "last.ckpt"), plan.optimiser.epochs)
    other = dataclasses.replace(plan, seed=2)
    assert "another recipe" in refusal(
        lambda: kept(trained / "tiny" / "last.ckpt", other, recipes.from_table, {})
    )
