"""TCP ports that nobody else takes: neither another test worker nor an outgoing connection."""

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
BLOCK = 32
# Below 32768, where Linux begins to choose the local ports of outgoing connections.
FIRST, LAST = 20_000, 32_000


@contextlib.contextmanager
def reserved_ports() -> Iterator[range]:
    """Yield a block of 32 free loopback ports, kept from other test processes until the block is left.

    Raises:
        RuntimeError: every block is taken.
    """
    starts = range(FIRST, LAST, BLOCK)
    offset = os.getpid() % len(starts)
    for start in itertools.chain(starts[offset:], starts[:offset]):
        block = range(start, start + BLOCK)
        with _reservation(start) as taken:
            if taken and all(map(_is_free, block)):
                yield block
                return
    message = f"no {BLOCK} free ports in a row between {FIRST} and {LAST}"
    raise RuntimeError(message)


@contextlib.contextmanager
def _reservation(start: int) -> Iterator[bool]:
    # An abstract socket's name is unique in the network namespace, as ports are, and dies with its process.
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0userdrop-test-ports-{start}")
        except OSError:
            yield False
        else:
            yield True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return True
    return False


def is_listening(port: int) -> bool:
    """Say whether something listens on a port of 127.0.0.1, without connecting: a connection would be in its log."""
    local = f"0100007F:{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123 # procfs
        return any(row[1] == local and row[3] == "0A" for row in map(str.split, table))
