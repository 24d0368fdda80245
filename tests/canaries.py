"""Where words that nobody else writes are found: in every file below a directory, and in every cell of a database.

It shares no code with what removes them: files are read as bytes, unpacked, and decoded in each encoding they may have.
"""

import gzip
import html
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from email import message_from_bytes, policy
from pathlib import Path

from sqlalchemy import Engine, MetaData, select

ENCODINGS = ("utf-8", "cp1252", "utf-16-le", "utf-16-be")


def places(root: Path, engine: Engine, words: Iterable[str]) -> set[str]:
    """The files, relative to the root, and columns, as TABLE.COLUMN, in which one of the words stands in any case.

    An SQLite database below the root is both: its tables, and its files with the pages that are free.
    """
    wanted = [word.lower() for word in words]
    files = (path for path in root.rglob("*") if path.is_file())
    found = {str(path.relative_to(root)) for path in files if _has(path.read_bytes(), wanted)}
    return found | {*_cells(engine, wanted)}


def _cells(engine: Engine, wanted: list[str]) -> Iterator[str]:
    metadata = MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for column, cell in row.items():
                    if any(word in html.unescape(str(cell)).lower() for word in wanted):
                        yield f"{table.name}.{column}"


def _has(content: bytes, wanted: list[str]) -> bool:
    return any(word in text for piece in _unpacked(content) for text in _texts(piece) for word in wanted)


def _texts(content: bytes) -> Iterator[str]:
    for encoding in ENCODINGS:
        yield content.decode(encoding, "ignore").lower()


def _unpacked(content: bytes) -> Iterator[bytes]:
    yield content
    if content.startswith(b"\x1f\x8b"):
        try:
            yield from _unpacked(gzip.decompress(content))
        except (EOFError, OSError, zlib.error):
            return
    elif content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for name in packed.namelist():
                yield from _unpacked(packed.read(name))
    elif b"\nMIME-Version: " in content[:4096]:
        for part in message_from_bytes(content, policy=policy.default).walk():
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                yield from _unpacked(payload)
