"""Fetching from a server that serves a small project the way PhysioNet does, or badly, on this machine."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from physionet_like import Server, serving

from ecgedge.datasets import download, mitdb
from ecgedge.datasets.catalogue import ICENTIA11K, MITDB
from ecgedge.datasets.checksums import LIST, chosen, parse_sums
from ecgedge.datasets.fetch import VARIABLE, Fetched, fetch
from ecgedge.datasets.verify import verify
from ecgedge.errors import DataError, UsageError


class Watcher:
    """Progress that counts."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes: list[int] = []
        self.names: list[str] = []

    def begin(self, files: int) -> None:
        self.files = files

    def file(self, name: str, have: int, whole: int | None) -> None:
        assert whole is None or have <= whole
        self.bytes.append(have)

    def done(self, name: str) -> None:
        self.names.append(name)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE_S", 0.01)
    with serving() as served:
        monkeypatch.setenv(VARIABLE, served.address)
        yield served


def run(root: Path, *patterns: str) -> Fetched:
    return fetch(MITDB, root, Watcher(), patterns)


def left(root: Path) -> dict[str, bytes]:
    folder = root / "mitdb"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(match: str, root: Path, *patterns: str) -> str:
    with pytest.raises(DataError, match=match) as caught:
        run(root, *patterns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_wanted_arrives_and_can_be_read(server: Server, tmp_path: Path) -> None:
    watcher = Watcher()
    done = fetch(MITDB, tmp_path / "new", watcher)
    wanted = {name: data for name, data in server.files.items() if not name.startswith("x_mitdb")}
    assert left(tmp_path / "new") == wanted
    assert (done.files, done.new) == (8, 8)
    assert watcher.files == len(watcher.names) == 8
    assert max(watcher.bytes) == 200_000
    first, second = mitdb.records(tmp_path / "new")
    assert np.rint(first.lead() * 1000).astype("<i2").tobytes() == server.files["100.dat"]
    assert second.subject.age == 60
    assert verify(MITDB, tmp_path / "new").right == 8


def test_a_second_run_fetches_nothing(server: Server, tmp_path: Path) -> None:
    run(tmp_path)
    server.asked.clear()
    assert run(tmp_path).new == 0
    assert server.asked == [], "not even the list: a version of a project does not change"


def test_a_half_file_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "mitdb" / "100.dat.part").write_bytes(server.files["100.dat"][:70_000])
    run(tmp_path)
    assert left(tmp_path)["100.dat"] == server.files["100.dat"]
    assert ("100.dat", "bytes=70000-") in server.asked
    assert "100.dat.part" not in left(tmp_path)


@pytest.mark.parametrize("held", ["all of it", "more than all", "something else"])
def test_a_half_file_that_is_not_one(server: Server, tmp_path: Path, held: str) -> None:
    data = server.files["100.dat"]
    content = {"all of it": data, "more than all": data + b"x", "something else": b"y" * 70_000}[held]
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "mitdb" / "100.dat.part").write_bytes(content)
    run(tmp_path)
    assert left(tmp_path)["100.dat"] == data


def test_a_server_that_knows_no_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.breaks["100.dat"] = [70_000]
    run(tmp_path)
    assert left(tmp_path)["100.dat"] == server.files["100.dat"]


def test_a_line_that_breaks_is_taken_up_again(server: Server, tmp_path: Path) -> None:
    server.breaks["101.dat"] = [50_000, 60_000]
    server.status["100.atr"] = [503, 429]
    run(tmp_path)
    assert left(tmp_path)["101.dat"] == server.files["101.dat"]
    assert [wanted for name, wanted in server.asked if name == "101.dat"] == [
        None,
        "bytes=50000-",
        "bytes=110000-",
    ]


def test_a_line_that_stays_broken_keeps_what_came(server: Server, tmp_path: Path) -> None:
    server.breaks["101.dat"] = [10_000] * download.ATTEMPTS
    assert "stays" in refused(r"101\.dat", tmp_path, "101.dat")
    assert left(tmp_path)["101.dat.part"] == server.files["101.dat"][: 10_000 * download.ATTEMPTS]
    run(tmp_path)
    assert ("101.dat", f"bytes={10_000 * download.ATTEMPTS}-") in server.asked
    assert left(tmp_path)["101.dat"] == server.files["101.dat"]


def test_a_damaged_file_is_mended(server: Server, tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "mitdb" / "100.dat").write_bytes(b"\0" * 200_000)
    (tmp_path / "mitdb" / "101.atr").unlink()
    with pytest.raises(DataError, match=r"100\.dat not as SHA256SUMS\.txt says.*ecgedge data fetch mitdb"):
        verify(MITDB, tmp_path)
    assert run(tmp_path).new == 2
    assert verify(MITDB, tmp_path).right == 8


def test_a_half_downloaded_set_is_said_to_be_one(server: Server, tmp_path: Path) -> None:
    run(tmp_path, "*.hea", "RECORDS")
    with pytest.raises(DataError, match=r"lacks 100\.atr and 3 more files|lacks 100\.atr and 4 more files"):
        verify(MITDB, tmp_path)
    with pytest.raises(DataError, match=r"mitdb lacks mitdb/100\.\w+.*ecgedge data fetch mitdb"):
        list(mitdb.records(tmp_path))


def test_a_file_with_another_checksum_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.files["100.dat"] = b"\0" * 200_000
    refused(r"100\.dat has another checksum", tmp_path)
    assert not {"100.dat", "100.dat.part"} & set(left(tmp_path))


def test_a_file_that_is_not_there(server: Server, tmp_path: Path) -> None:
    del server.files["101.atr"]
    refused(r"101\.atr: status 404", tmp_path)
    assert "101.atr" not in left(tmp_path)


def test_a_project_that_is_not_there(server: Server, tmp_path: Path) -> None:
    server.files.clear()
    refused(r"SHA256SUMS\.txt: status 404", tmp_path)
    assert not left(tmp_path)


def test_a_page_instead_of_the_list(server: Server, tmp_path: Path) -> None:
    server.files[LIST] = b"<html>Please log in</html>"
    refused("line '<html>", tmp_path)
    assert not left(tmp_path), "it would be in the way of the right one"


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{free.getsockname()[1]}")
        refused("cannot be reached", tmp_path)
    monkeypatch.setenv(VARIABLE, "http://no-such-host.invalid")
    refused("cannot be reached", tmp_path)


def test_a_server_that_falls_silent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "*.hea")
    monkeypatch.setattr(download, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    server.slow_s = 0.5
    refused(r"100\.dat", tmp_path, "100.dat")


def test_a_disk_that_takes_nothing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mitdb").write_text("a file where the folder should be")
    refused("cannot be written", tmp_path)
    root = tmp_path / "full"
    (root / "mitdb" / "100.dat.part").mkdir(parents=True)
    refused(r"100\.dat cannot be written", root, "100.dat")


def test_a_set_that_is_here_as_an_archive(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mitdb.zip").write_bytes(b"PK")
    refused(r"mitdb\.zip is there already", tmp_path)


def test_patterns(server: Server, tmp_path: Path) -> None:
    run(tmp_path, "x_mitdb/*", "100.h??")
    assert set(left(tmp_path)) == {LIST, "x_mitdb/x_100.dat", "100.hea"}
    with pytest.raises(UsageError, match=r"'\*\.edf'"):
        run(tmp_path, "*.edf")
    with pytest.raises(UsageError, match="too large"):
        fetch(ICENTIA11K, tmp_path, Watcher())
    names = {f"{folder}f.dat": "" for folder in ("", "a/", "a/b/")}
    assert chosen(names, ["*.dat"]) == ["f.dat"]
    assert chosen(names, ["a/*"]) == ["a/f.dat"]
    assert chosen(names, ["a/**"]) == ["a/b/f.dat", "a/f.dat"]


@pytest.mark.parametrize("path", ["../../.bashrc", "/etc/passwd", "a/../../b", "C:/x", "a\\b"])
def test_a_list_that_leads_out_of_the_folder(path: str) -> None:
    with pytest.raises(DataError, match="within the set"):
        parse_sums(f"{'0' * 64} {path}\n")


def test_lists_in_both_forms() -> None:
    """One space, as PhysioNet writes it; two or an asterisk, as sha256sum does."""
    digest = hashlib.sha256(b"").hexdigest()
    assert parse_sums(f"{digest} a b\n{digest}  data/c\n{digest} *d\r\n") == dict.fromkeys(
        ("a b", "data/c", "d"), digest
    )
    with pytest.raises(DataError, match="no files"):
        parse_sums("\n")


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_leaves_nothing_broken_and_the_next_run_goes_on(server: Server, tmp_path: Path) -> None:
    server.slow_s = 0.3  # ten pieces of 20 kB: a file takes three seconds
    words = [sys.executable, "-m", "ecgedge", "data", "fetch", "mitdb", "--root", str(tmp_path)]
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
        # A shell's background jobs, and so these tests among them, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        part = tmp_path / "mitdb" / "100.dat.part"
        deadline = time.monotonic() + 60
        while not (part.is_file() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    found = left(tmp_path)
    for name, data in found.items():
        whole = server.files[name.removesuffix(".part")]
        assert whole.startswith(data) if name.endswith(".part") else data == whole
    assert any(name.endswith(".part") for name in found)
    server.slow_s = 0.0
    run(tmp_path)
    assert verify(MITDB, tmp_path).right == 8
    assert any(wanted for _, wanted in server.asked), "it went on where it was left"
