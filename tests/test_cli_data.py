"""The commands ``ecgedge data ...``: what they print, where it fits, and their one-line errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from physionet_like import Server, serving

from ecgedge.cli import main
from ecgedge.datasets import bar, cinc2017, download, nstdb
from ecgedge.datasets.catalogue import SETS
from ecgedge.datasets.fetch import VARIABLE
from ecgedge.datasets.pack import Pack


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE_S", 0.01)
    with serving() as served:
        monkeypatch.setenv(VARIABLE, served.address)
        yield served


def say(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    """Run a command; its output, or, where it fails, its one line of complaint."""
    with pytest.raises(SystemExit) as ended:
        main(["data", *map(str, words)])
    out, err = capsys.readouterr()
    assert ended.value.code == code, err
    if code:
        assert err.count("\n") == 1
        assert err.startswith("ecgedge: ")
    return out if code == 0 else err


def test_list_names_every_set_and_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECGEDGE_DATA", raising=False)
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "ludb.zip").write_bytes(b"PK\5\6" + bytes(18))
    (tmp_path / "svdb.zip").write_bytes(b"cut short")
    for words in (("list",), ("list", "--root", tmp_path)):
        lines = say(capsys, *words).splitlines()
        assert [line.split()[0] for line in lines[1:]] == list(SETS)
        assert max(map(len, lines)) <= 80
    last = {line.split()[0]: line.split()[-1] for line in lines[1:]}
    assert (last["mitdb"], last["ludb"], last["svdb"], last["ptbxl"]) == ("dir", "zip", "bad", "-")


@pytest.mark.parametrize("name", sorted(SETS))
def test_info_tells_the_terms_and_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("ECGEDGE_DATA", raising=False)
    text = say(capsys, "info", name)
    assert max(map(len, text.splitlines())) <= 80
    said = " ".join(text.split())
    assert SETS[name].licence in said
    assert SETS[name].citation in said
    assert f"https://physionet.org/content/{SETS[name].slug}/" in said
    assert "not in" in say(capsys, "info", name, "--root", tmp_path)


def test_info_warns_of_the_duplicate_and_the_missing_subjects(capsys: pytest.CaptureFixture[str]) -> None:
    said = " ".join(say(capsys, "info", "cinc2017").split())
    assert "A01176 duplicates A00227" in said
    assert "No subject ids" in said


def test_info_counts_the_labels_of_the_real_set(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    text = say(capsys, "info", "cinc2017", "--root", data_dir)
    assert "counted      v2: N 5050  A 738  O 2456  ~ 284" in text


def test_info_of_labels_that_are_not_the_published_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "cinc2017" / "training2017"
    folder.mkdir(parents=True)
    (folder / "REFERENCE.csv").write_text("A00001,N\n")
    assert "1 labels 'N' in v2; expected 5050" in say(capsys, "info", "cinc2017", "--root", tmp_path, code=6)


def test_fetch_shows_the_licence_and_then_what_came(
    capsys: pytest.CaptureFixture[str],
    server: Server,
    tmp_path: Path,
) -> None:
    said = say(capsys, "fetch", "mitdb", "--root", tmp_path, "--match", "*.hea")
    assert said.index("Licence ODC-BY 1.0. Cite: Moody and Mark") < said.index(
        "2 files with the right checksum, 2 of"
    )
    assert "101.hea" in [p.name for p in (tmp_path / "mitdb").iterdir()]


def test_fetch_checks_what_the_labels_count(
    capsys: pytest.CaptureFixture[str],
    server: Server,
    tmp_path: Path,
) -> None:
    """The served project has two beats where the database has 109,494."""
    assert "expected 109494" in say(capsys, "fetch", "mitdb", "--root", tmp_path, code=6)


def test_progress_where_no_terminal_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar, "_LINE_EVERY_S", 0.0)
    with bar.bar() as lines:
        assert isinstance(lines, bar.Lines)
        lines.begin(2)
        lines.done("100.hea")
        lines.file("100.dat", 500_000, 2_000_000)
        lines.file("100.dat", 500_000, None)
    assert capsys.readouterr().err.splitlines() == [
        "1/2 files; 100.dat: 0.5 of 2.0 MB",
        "1/2 files; 100.dat: 0.5 MB",
    ]


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with bar.Bar() as shown:
        shown.begin(2)
        shown.file("small.hea", 10, 100)
        shown.file("large.dat", 3_000_000, 6_000_000)
        shown._progress.refresh()
        shown.done("large.dat")
        shown.done("small.hea")
    text = capsys.readouterr().err
    assert "2 files" in text
    assert "large.dat" in text
    assert "small.hea" not in text, "only large files have a bar of their own"
    assert "50 %" in text


def test_pack_makes_one_file(capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "noise.npz"
    said = say(capsys, "pack", "nstdb", "--root", data_dir, "--rate", 120, "--out", out)
    assert said.startswith(f"{out}: 3 records at 120 Hz, ")
    assert [(r.name, r.signal.shape) for r in Pack(out).records()] == [
        (name, (216_667, 2)) for name in ("bw", "em", "ma")
    ]


def test_a_pack_has_the_rate_of_the_set_and_loses_nothing(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert say(capsys, "pack", "nstdb", "--root", data_dir).startswith(
        "nstdb-360hz.npz: 3 records at 360 Hz, "
    )
    for packed, record in zip(
        Pack(tmp_path / "nstdb-360hz.npz").records(), nstdb.records(data_dir), strict=True
    ):
        np.testing.assert_allclose(packed.signal, record.signal, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("info", "mit"), 6, "data set 'mit'; expected one of cinc2017 mitdb"),
        (("fetch", "mit", "--root", "here"), 6, "data set 'mit'"),
        (("pack", "mit", "--root", "."), 6, "data set 'mit'"),
        (("fetch", "mitdb"), 2, "--root or ECGEDGE_DATA"),
        (("fetch", "icentia11k", "--root", "here"), 2, "too large to fetch whole"),
        (("pack", "mitdb", "--rate", "5"), 2, "--rate 5; expected 20 to 2000"),
        (("pack", "mitdb", "--out", "x.zip"), 2, "ends in .npz"),
        (("pack", "ptbxl"), 2, "ptbxl at 100, 500 Hz; expected one --rate"),
        (("pack", "mitdb"), 6, "no data folder"),
        (("pack", "mitdb", "--root", "."), 6, "holds neither mitdb.zip nor mitdb/"),
        (("list", "--root", "nowhere"), 6, "nowhere is not a folder"),
        (("info", "mitdb", "--root", ".", "--verify"), 6, "holds neither mitdb.zip"),
    ],
)
def test_mistakes_are_told_in_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.delenv("ECGEDGE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert said in say(capsys, *words, code=code)


def test_fetching_and_listing_need_no_extra() -> None:
    """Only what the device has: the readers import neither torch nor wfdb nor scipy."""
    code = (
        "import sys\n"
        "for name in ('torch', 'wfdb', 'scipy', 'pandas', 'lightning'): sys.modules[name] = None\n"
        "from ecgedge.cli import main\n"
        "main(['data', 'list'])\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "ECGEDGE_DATA"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    assert cinc2017.NAME in done.stdout
