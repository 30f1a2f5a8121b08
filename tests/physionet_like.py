"""A server on this machine that serves a small project the way PhysioNet does, or badly."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import numpy as np

from ecgedge.datasets.checksums import LIST
from ecgedge.recordings.annotations import Annotation, encode

BEFORE = "/mitdb/1.0.0/"


class Server(ThreadingHTTPServer):
    """Serves ``files`` with ranges; can be told to misbehave."""

    daemon_threads = False  # waited for when the server closes

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        """Paths, and the ranges wanted."""
        self.breaks: dict[str, list[int]] = {}
        """For each next request of a file, how many bytes go before the line is cut."""
        self.status: dict[str, list[int]] = {}
        """For each next request of a file, what to answer instead."""
        self.ranges = True
        self.slow_s = 0.0

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests want."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = unquote(self.path).removeprefix(BEFORE)
        wanted = self.headers.get("Range")
        self.server.asked.append((name, wanted))
        if self.server.status.get(name):
            self.send_error(self.server.status[name].pop(0))
            return
        if name not in self.server.files:
            self.send_error(404)
            return
        data = self.server.files[name]
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if first and first >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        body = data[first:]
        if self.server.breaks.get(name):
            body = body[: self.server.breaks[name].pop(0)]
        for at in range(0, len(body), 20_000):
            self.wfile.write(body[at : at + 20_000])
            time.sleep(self.server.slow_s)
        if len(body) < len(data) - first:
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args: object) -> None:
        pass


def project() -> dict[str, bytes]:
    """Two records in the form of mitdb, with what is not wanted beside them."""
    rng = np.random.default_rng(0)
    files: dict[str, bytes] = {}
    for name in ("100", "101"):
        counts = rng.integers(-2000, 2000, 100_000).astype("<i2")
        files[f"{name}.dat"] = counts.tobytes()
        files[f"{name}.hea"] = (
            f"{name} 1 360 100000\n{name}.dat 16 1000/mV 16 0 0 0 0 MLII\n# 60 F\n".encode()
        )
        files[f"{name}.atr"] = encode([Annotation(40, "+", aux="(N"), Annotation(90, "N")])
    files["RECORDS"] = b"100\n101\n"
    files["ANNOTATORS"] = b"atr\treference\n"
    files["x_mitdb/x_100.dat"] = b"not wanted"
    return files


@contextmanager
def serving() -> Iterator[Server]:
    """The server with its project and the list of its checksums."""
    served = Server()
    served.files = project()
    sums = [f"{hashlib.sha256(data).hexdigest()} {name}" for name, data in served.files.items()]
    served.files[LIST] = ("\n".join(sums) + "\n").encode()
    thread = threading.Thread(target=served.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield served
    finally:
        served.shutdown()
        thread.join()
        served.server_close()
