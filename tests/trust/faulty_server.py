"""A real tracking server behind a proxy that stops, errs, falls silent or swallows answers."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MISHAPS = ("stopped", "error", "silent")
LONGEST_SILENCE_S = 30.0


class FaultyServer:
    """What the pipeline takes for its tracking server.

    Attributes:
        backend_port: of the server that it passes everything on to.
        mishap: one of `MISHAPS`, or ``mute``: does as it is told, but the answer is lost; or empty.
        requests: so many were passed on since `let_pass` was set.
        let_pass: so many are passed on before the mishap begins.
    """

    def __init__(self, backend_port: int) -> None:
        self.backend_port = backend_port
        self.mishap = ""
        self.mishaps_met = 0
        self.let_pass = 0
        self._server: ThreadingHTTPServer | None = None
        self.port = free_port()
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        faulty = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                faulty._answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that has gone is what this is about."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def begin(self, mishap: str, let_pass: int = 0) -> None:
        self.mishap, self.let_pass = mishap, let_pass
        if mishap == "stopped" and not let_pass:
            self.stop()

    def recover(self) -> None:
        self.mishap = ""
        if self._server is None:
            self.start()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        mishap = self.mishap
        if mishap and self.let_pass:
            self.let_pass -= 1
            mishap = ""
        self.mishaps_met += bool(mishap)
        if mishap == "silent":
            deadline = time.monotonic() + LONGEST_SILENCE_S
            while self.mishap and time.monotonic() < deadline:
                time.sleep(0.05)
        if mishap in ("silent", "stopped"):
            request.close_connection = True
            return
        if mishap == "error":
            reply(request, 500, [], b"<html>Internal Server Error</html>")
            return
        backend = http.client.HTTPConnection("127.0.0.1", self.backend_port, timeout=60)
        headers = {name: told for name, told in request.headers.items() if name != "Host"}
        backend.request(request.command, request.path, body, headers)
        answer = backend.getresponse()
        content = answer.read()
        if mishap == "mute":
            self.mishap = ""
            request.close_connection = True
            return
        reply(request, answer.status, answer.getheaders(), content)


HOP = {"transfer-encoding", "connection", "content-length", "date", "server"}


def reply(
    request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes
) -> None:
    request.send_response(status)
    for name, told in headers:
        if name.lower() not in HOP:
            request.send_header(name, told)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def tracking_server(folder: Path, database: Path) -> Iterator[int]:
    """The port of a real one, of its own database and artifacts, in a process of its own."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{database}"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        cwd=folder,
        env={name: told for name, told in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 90
        while not answers(port):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
