"""A data folder like that of CinC 2017, of a few synthesised records, and a recipe with a net to fit."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
from scipy import io as scipy_io

from ecgedge.ports.patient import RATE_HZ, UV_PER_COUNT, SimulatedPatient
from ecgedge.training import recipe as recipes

SHIPPED = "efficientecg-s"
PLAIN = "efficientecg-s-plain"
"""The same net with no teachers, so that it can be trained on its own."""
TINY_NET = {"length": 3000, "stem": 4, "channels": [4, 8], "repeats": [1, 1], "kernels": [7, 7], "head": 8}
EPOCHS = 2
RECORDS = 60
PARTS = (("N", 0.0), ("A", 60.0), ("O", 170.0), ("~", 230.0))
"""Class and the second of the simulated patient's programme at which its records begin."""


def recipe_text(**changes: object) -> str:
    """The plain recipe with a tiny net; ``changes`` replace the values of keys, wherever they stand."""
    values = {"name": "tiny", "epochs": EPOCHS, "batch": 8, "inner_share": 0.25, **TINY_NET, **changes}
    text = (recipes.RECIPES / f"{PLAIN}.toml").read_text(encoding="utf-8")
    for key, value in values.items():
        line = f"{key} = {json.dumps(value)}"
        text, n = re.subn(rf"^{key} = .*$", lambda _, line=line: line, text, flags=re.MULTILINE)
        assert n == 1, key
    return text


def tiny(folder: Path, **changes: object) -> Path:
    path = folder / "tiny.toml"
    path.write_text(recipe_text(**changes), encoding="utf-8")
    return path


def synthesised(k: int) -> tuple[str, str, np.ndarray]:
    """Name, class and counts (1 uV each, 300 Hz) of one record: 10 to 40 s of a simulated patient."""
    label, begin = PARTS[k % 4]
    seconds = (12.0, 10.0, 35.0, 20.0, 40.0)[k % 5] if label != "~" else 12.0
    pieces = SimulatedPatient(k, 260.0).pieces()
    counts = np.concatenate([piece.counts for piece in pieces]).astype(np.float64) * UV_PER_COUNT
    at = np.arange(begin + 5.0, begin + 5.0 + seconds, 1 / 300.0) * RATE_HZ
    return f"A{k + 1:05d}", label, np.rint(np.interp(at, np.arange(counts.size), counts)).astype(np.int16)


def write_set(root: Path) -> None:
    """Write 60 records, every sixth for validation; revision v3 calls the last record normal."""
    rows, names = [], []
    with zipfile.ZipFile(root / "cinc2017.zip", "w") as archive:
        for k in range(RECORDS):
            name, label, counts = synthesised(k)
            buffer = io.BytesIO()
            scipy_io.savemat(buffer, {"val": counts[None]}, format="4")
            archive.writestr(f"training2017/{name}.mat", buffer.getvalue())
            rows.append(f"{name},{label}\n")
            names.append(name)
        archive.writestr("training2017/REFERENCE.csv", "".join(rows))
        archive.writestr("training2017/REFERENCE-v3.csv", "".join([*rows[:-1], f"{names[-1]},N\n"]))
    (root / "splits").mkdir()
    lists = {"train": [n for k, n in enumerate(names) if k % 6], "validation": names[::6]}
    (root / "splits" / "cinc2017_dualnet.json").write_text(json.dumps(lists))
