"""Commands that need packages which the device does without, and the extra that brings each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ecgedge.errors import MissingExtraError

EXTRAS = {
    "edfio": "convert",
    "pyarrow": "convert",
    "matplotlib": "plot",
    "torch": "train",
    "lightning": "train",
    "torchmetrics": "train",
    "tensorboard": "train",
    "scipy": "train",
    "wfdb": "train",
    "neurokit2": "train",
    "tomli": "train",
    "onnx2tf": "export",
    "tensorflow": "export",
    "onnxscript": "export",
}
_UP_TO_312 = ("train", "export")


@contextmanager
def needed() -> Iterator[None]:
    """Say in one line which extra is missing, or that what it brought does not work here.

    Raises
    ------
    MissingExtraError : something inside needs a package that is not installed, or cannot be imported
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        extra = EXTRAS.get(package)
        if extra is None and not isinstance(error, ModuleNotFoundError):
            raise MissingExtraError(f"a package cannot be imported: {error}") from None
        if extra is None:
            raise
        python = ", on Python 3.10 to 3.12" if extra in _UP_TO_312 else ""
        raise MissingExtraError(
            f"this command needs {package}, which is not installed",
            advice=f"In a checkout{python}: pip install '.[{extra}]'",
        ) from None
