"""A measured server's process, and the load that is put on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from benchmarks._messages import Post

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 120.0

_OK = b"HTTP/1.1 200 "


class Run(NamedTuple):
    """What one run of transactions took."""

    events: int
    acked_s: float  # from the first byte sent to the last 200 received
    handled_s: float  # from the first byte sent until every event was fully handled
    latencies_ms: list[float]  # of each 200: from the request's first byte sent to the response's last received

    @property
    def acked(self) -> float:
        """Events acknowledged per second."""
        return self.events / self.acked_s

    @property
    def handled(self) -> float:
        """Events fully handled per second."""
        return self.events / self.handled_s


class Server:
    """A server of `kind` in a fresh process, with a directory of its own, and one keep-alive connection to it.

    One, and one transaction at a time: that is how Synapse drives an application service.
    """

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.sent = 0
        directory.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._server", kind, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        try:
            self._socket = socket.create_connection(("127.0.0.1", int(self._answer())), timeout=TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.stop()
            raise

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.kind} server has ended; see above")
        return line

    def _until_handled(self, count: int) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"until {count}\n")
        self._process.stdin.flush()
        return int(self._answer())

    def post(self, post: Post) -> None:
        """Send a transaction and wait for its 200."""
        self._socket.sendall(post)
        answer = self._socket.recv(65536)
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._more()
        head = answer[:end].lower()
        start = head.index(b"content-length:") + len(b"content-length:")
        length = int(head[start:].split(b"\r\n", 1)[0])
        while len(answer) < end + 4 + length:
            answer += self._more()
        if not answer.startswith(_OK):
            raise RuntimeError(f"the {self.kind} server answered {answer!r}")

    def _more(self) -> bytes:
        more = self._socket.recv(65536)
        if not more:
            raise RuntimeError(f"the {self.kind} server closed the connection")
        return more

    def run(self, posts: Sequence[Post], size: int) -> Run:
        """Send transactions of `size` events each, one after the other, then wait until all is handled."""
        start = time.monotonic_ns()
        latencies = self.push(posts, size)
        acked = time.monotonic_ns()
        handled = max(acked, self._until_handled(self.sent))
        return Run(len(posts) * size, (acked - start) / 1e9, (handled - start) / 1e9, latencies)

    def push(self, posts: Iterable[Post], size: int) -> list[float]:
        """Send transactions of `size` events each; the latency of each 200 in ms."""
        latencies: list[float] = []
        before = time.monotonic_ns()
        for post in posts:
            self.post(post)
            self.sent += size
            after = time.monotonic_ns()
            latencies.append((after - before) / 1e6)
            before = after
        return latencies

    def settle(self) -> None:
        """Wait until everything sent is handled."""
        self._until_handled(self.sent)

    def rss_mib(self) -> float:
        """The resident memory of the server's process in MiB; the page cache of its files is not in it."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_s(self) -> float:
        """The processor time that the server's process has used, in seconds."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End the process: the end of its standard input is its order to stop. Harmless twice."""
        if hasattr(self, "_socket"):
            self._socket.close()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
