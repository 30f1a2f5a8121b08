"""What several test files share: the folder of recordings, which this repository does not hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ecgedge", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("ecgedge")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of public data sets (zips or unpacked) that ``ECGEDGE_DATA`` names."""
    name = os.environ.get("ECGEDGE_DATA", "")
    if not name:
        pytest.skip("needs recordings: set ECGEDGE_DATA to the folder of the data sets")
    folder = Path(name)
    if not folder.is_dir():
        pytest.fail(f"ECGEDGE_DATA names {name}, which is no folder")
    return folder


@pytest.fixture(scope="session")
def cinc_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder like that of CinC 2017, of 60 synthesised records; see ``small_cinc``."""
    from small_cinc import write_set  # needs the extra 'train'

    root = tmp_path_factory.mktemp("cinc")
    write_set(root)
    return root
