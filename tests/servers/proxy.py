"""A proxy before a PostgreSQL server's socket that cuts a connection where a test says so."""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_NAME = ".s.PGSQL.5432"
_CHUNK_BYTES = 1 << 16


class Proxy:
    """Passes bytes on; `directory` is the host of a URL that leads through it.

    Attributes:
        cut_before: when a client sends these bytes, its connection is cut, and they do not arrive.
        cut_after: when a client sends these bytes, they arrive, and its connection is cut before the reply.
        cuts: how many connections were cut.
    """

    def __init__(self, directory: Path, server: Path) -> None:
        self.directory = directory
        self.cut_before: bytes | None = None
        self.cut_after: bytes | None = None
        self.cuts = 0
        self._server = server / _NAME
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / _NAME))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, name="proxy")]
        self._threads[0].start()

    def close(self) -> None:
        """Accept no more; connections end with either of their ends."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                ways = ((self._upwards, client, server), (self._downwards, server, client))
                for way, source, target in ways:
                    self._threads.append(threading.Thread(target=way, args=(source, target), name="proxy way"))
                    self._threads[-1].start()

    def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(_CHUNK_BYTES):
                if self.cut_before is not None and self.cut_before in chunk:
                    self.cuts += 1
                    break
                if self.cut_after is not None and self.cut_after in chunk:
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)  # first, or the reply might be quicker
                    server.sendall(chunk)
                    break
                server.sendall(chunk)
        _hang_up(client, server)

    def _downwards(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(_CHUNK_BYTES):
                client.sendall(chunk)
        _hang_up(client)
        server.close()


def _hang_up(client: socket.socket, server: socket.socket | None = None) -> None:
    for end in (client, server):
        with contextlib.suppress(OSError):
            if end is not None:
                end.shutdown(socket.SHUT_RDWR if end is client else socket.SHUT_WR)
    if server is not None:
        client.close()


@contextlib.contextmanager
def proxy(server: Path) -> Iterator[Proxy]:
    """Run a proxy before the server whose socket lies in a directory, until the block is left."""
    with tempfile.TemporaryDirectory(prefix="userdrop-proxy-", dir="/tmp") as directory:  # a socket's path is short
        running = Proxy(Path(directory), server)
        try:
            yield running
        finally:
            running.close()
