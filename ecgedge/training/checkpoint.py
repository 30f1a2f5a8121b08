"""The float checkpoint: weights beside the recipe that made them and what it scored."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from ecgedge.errors import DataError
from ecgedge.models import build
from ecgedge.training import recipe as recipes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

FORMAT = 1
_TABLES = ("recipe", "inner", "state")


R = TypeVar("R", bound=recipes.BaseRecipe)


@dataclass
class Trained(Generic[R]):
    """A trained net in evaluation mode, its recipe, and figures on the inner validation records."""

    net: nn.Module
    recipe: R
    inner: dict[str, Any]


Checkpoint = Trained[recipes.Recipe]
"""Of a rhythm net."""


def save(path: Path, state: dict[str, Tensor], recipe: recipes.BaseRecipe, inner: dict[str, Any]) -> None:
    """Write a checkpoint in one step, so that a kill cannot leave half of one.

    Of processes that train together only the first writes.
    """
    from lightning.pytorch.utilities import rank_zero_only  # slow to import, and few who load ever save

    if rank_zero_only.rank:  # type: ignore[attr-defined]
        return
    content = {"format": FORMAT, "recipe": dataclasses.asdict(recipe), "inner": inner, "state": state}
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint of a rhythm net; see ``load_as``."""
    return load_as(path, recipes.from_table)


def load_as(path: Path, read: Callable[[dict[str, Any], str], R]) -> Trained[R]:
    """Read a checkpoint.

    Parameters
    ----------
    read : makes a recipe of the task of its tables and the file's name

    Raises
    ------
    DataError
        If it is missing, no checkpoint of ours, or of another architecture than its recipe says.
    """
    content = _read(path)
    recipe = read(content["recipe"], path.name)
    net = build(recipe.architecture, recipe.net)
    try:
        net.load_state_dict(content["state"])
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path.name} does not fit its recipe ({reason})", recipe.architecture) from None
    return Trained(net.eval(), recipe, content["inner"])


def name_and_task(path: Path) -> tuple[str, str]:
    """What a checkpoint's recipe is called and for; its net is not built.

    Raises
    ------
    DataError
        If it is missing or no checkpoint of ours.
    """
    table = _read(path)["recipe"]
    name, task = (table.get(key) for key in ("name", "task"))
    if not (isinstance(name, str) and isinstance(task, str)):
        raise DataError(f"{path.name} holds no recipe with a name and a task", "an ecgedge checkpoint")
    return name, task


def _read(path: Path) -> dict[str, Any]:
    """A checkpoint's four entries.

    Raises
    ------
    DataError
        If it is missing or no checkpoint of ours.
    """
    content = read_file(path, "an ecgedge checkpoint")
    if content is None:
        raise DataError(f"no checkpoint {path.name}", str(path), "Train it first: ecgedge train")
    if not (
        isinstance(content, dict)
        and set(content) == {"format", *_TABLES}
        and isinstance(content["format"], int)
        and content["format"] == FORMAT
        and all(isinstance(content[key], dict) for key in _TABLES)
        and is_state(content["state"])
    ):
        raise DataError(f"{path.name} is another kind of file", f"an ecgedge checkpoint of format {FORMAT}")
    return content


def read_file(path: Path, expected: str, advice: str = "") -> Any:
    """What torch wrote: tensors and plain values, for no other code is run. None where there is no file.

    Raises
    ------
    DataError
        If it cannot be read; ``expected`` and ``advice`` are told with it.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # damage makes the unpickler stumble over anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path.name} cannot be read ({reason})", expected, advice) from None


def is_state(value: Any) -> bool:
    """Whether a value that was read can be the state of a net."""
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items()
    )
