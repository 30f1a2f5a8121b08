"""Data sets as they lie on disk: a zip archive or its unpacked folder, read without unpacking."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from types import TracebackType

from ecgedge.errors import DataError

VARIABLE = "ECGEDGE_DATA"


def data_root(given: str | Path | None = None) -> Path:
    """The folder that holds the data sets: ``given`` (``--data``), else the variable ECGEDGE_DATA.

    Raises
    ------
    DataError
        If neither names an existing folder.
    """
    named = given or os.environ.get(VARIABLE)
    if not named:
        raise DataError("no data folder", f"--data or {VARIABLE}", "Point it at the data sets' folder.")
    root = Path(named)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder", "a folder with the data sets", "Check the path.")
    return root


class Archive:
    """Members of one data set, by name, from ``NAME.zip`` or from the folder ``NAME``.

    Raises
    ------
    DataError
        If neither is there, the archive is damaged, or a member is missing.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self._folder = root / name
        packed = root / f"{name}.zip"
        self._zip: zipfile.ZipFile | None = None
        if packed.is_file():
            try:
                self._zip = zipfile.ZipFile(packed)
            except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
                raise DataError(
                    f"{packed.name} cannot be read ({error})",
                    "a whole zip archive",
                    "If its download was cut short, fetch it again.",
                ) from None
        elif not self._folder.is_dir():
            raise DataError(f"{root} holds neither {name}.zip nor {name}/", f"the data set {name}")

    def read(self, member: str) -> bytes:
        """Content of one member."""
        try:
            if self._zip is not None:
                return self._zip.read(member)
            return (self._folder / member).read_bytes()
        except (KeyError, FileNotFoundError):
            raise DataError(f"{self.name} lacks {member}", "the whole set") from None
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(
                f"{self.name}: {member} is damaged ({error})", "the whole set", "Fetch the set again."
            ) from None

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._zip is not None:
            self._zip.close()
