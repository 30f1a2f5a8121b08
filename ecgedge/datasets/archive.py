"""Data sets as they lie on disk: a zip archive or a folder, read without unpacking."""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ecgedge.errors import DataError
from ecgedge.places import absent, is_file, is_folder

VARIABLE = "ECGEDGE_DATA"
PACKED = ".npz"
"""How the name of a pack ends."""


class NotHereError(DataError):
    """A data set that is not among those of a folder."""


def data_root(given: str | Path | None = None) -> Path:
    """The folder that holds the data sets, or a pack: ``given`` (``--root``), else the variable ECGEDGE_DATA.

    Raises
    ------
    DataError
        If neither names an existing folder, or a file that ``ecgedge data pack`` made.
    """
    named = given or os.environ.get(VARIABLE)
    if not named:
        raise DataError("no data folder", f"--root or {VARIABLE}", "Point it at the data sets' folder.")
    root = Path(named)
    if not (is_folder(root) or is_pack(root)):
        why = absent(root) or "a file"
        raise DataError(f"{root} is not a folder ({why})", "a folder with the data sets", "Check the path.")
    return root


def is_pack(root: Path) -> bool:
    """Whether this is a file by the name of a pack."""
    return root.suffix == PACKED and is_file(root)


class Archive:
    """Members of one data set by name, with the set's own folder first: ``mitdb/100.hea``.

    The set is looked for as ``NAME.zip``, then as the folder ``NAME``, then under the further names. In a
    folder, member ``x/y`` is ``x/y``, or ``y``, or ``x/y`` within ``x.zip``: so an unpacked archive is read
    as well as the tree that PhysioNet serves.

    Parameters
    ----------
    root : folder of the data sets
    name : the set
    others : further names or relative paths under which it may lie

    Raises
    ------
    NotHereError
        If it is not there.
    DataError
        If an archive is damaged, or a member is missing or damaged.
    """

    def __init__(self, root: Path, name: str, *others: str) -> None:
        self.name = name
        self._zips: dict[Path, zipfile.ZipFile] = {}
        self._folder: Path | None = None
        for place in (name, *others):
            packed = root / f"{place}.zip"
            if is_file(packed):
                self.path = packed
                self._open(packed)
                return
            if is_folder(root / place):
                self.path = self._folder = root / place
                return
        raise NotHereError(
            f"{root} holds neither {name}.zip nor {name}/", f"the data set {name}", self._advice()
        )

    def read(self, member: str) -> bytes:
        """Content of one member."""
        place = self._locate(member)
        try:
            return place.read_bytes() if isinstance(place, Path) else place.read(member)
        except (KeyError, FileNotFoundError):
            raise DataError(f"{self.name} lacks {member}", "the whole set", self._advice()) from None
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
            raise DataError(
                f"{self.name}: {member} is damaged ({error})", "the whole set", "Fetch the set again."
            ) from None

    def holds(self, member: str) -> bool:
        """Whether there is such a member."""
        place = self._locate(member)
        return place.is_file() if isinstance(place, Path) else member in place.NameToInfo

    def members(self) -> list[str]:
        """The names of all files, in order, without the set's own folder where it is left out on disk."""
        if self._folder is None:
            return sorted(n for n in self._zips[self.path].namelist() if not n.endswith("/"))
        found = (p for p in self._folder.rglob("*") if p.is_file())
        return sorted(p.relative_to(self._folder).as_posix() for p in found)

    def _advice(self) -> str:
        return f"Get it with: ecgedge data fetch {self.name}"

    def _locate(self, member: str) -> zipfile.ZipFile | Path:
        """The archive that is to hold the member, or the file that it should be."""
        if self._folder is None:
            return self._zips[self.path]
        whole = self._folder / member
        top, _, rest = member.partition("/")
        if whole.is_file() or not rest:
            return whole
        bare, packed = self._folder / rest, self._folder / f"{top}.zip"
        return bare if bare.is_file() or not packed.is_file() else self._open(packed)

    def _open(self, path: Path) -> zipfile.ZipFile:
        if path not in self._zips:
            try:
                self._zips[path] = zipfile.ZipFile(path)
            except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
                raise DataError(
                    f"{path.name} cannot be read ({error})",
                    "a whole zip archive",
                    "If its download was cut short, fetch it again.",
                ) from None
        return self._zips[path]

    def close(self) -> None:
        """Close what is open."""
        for packed in self._zips.values():
            with suppress(OSError):
                packed.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
