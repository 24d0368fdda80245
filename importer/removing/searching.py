"""Whether a file names a person: read as it is imported, so that a cell is the same cell here and there.

What cannot be read like that is searched as text, in every encoding that it may have.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from email import message_from_binary_file, policy
from pathlib import Path
from typing import BinaryIO, cast
from zipfile import BadZipFile, ZipFile

import polars as pl

from importer.formats.columns import normalised
from importer.model import FileRefused
from importer.reading.dialect import GZIP_MAGIC
from importer.reading.grammar import WHITE_SPACE
from importer.reading.user_file import Block, Limits, open_user_file
from importer.removing.persons import ELSEWHERE, Looked, Person

_ANY_SIZE = 1 << 62
_LIMITS = Limits(max_bytes=_ANY_SIZE, max_expanded_bytes=_ANY_SIZE, max_columns=1 << 20)
_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 1 << 12
_ENCODINGS = ("utf-8", "cp1252", "mac_roman", "utf-16-le", "utf-16-be")
_ELSEWHERE = Looked(is_named=False, hindrance=ELSEWHERE)
_BEYOND_US = frozenset({"not_text", "broken_gzip"})
"""Refusals of files in which a text cannot be looked for."""
_OF_ROWS = frozenset(map(normalised, ("import_error", "import_line")))
"""Columns of reports that hold other cells."""


def look(path: Path, name: str, wanted: Person, known_names: frozenset[str]) -> Looked:
    """Look for a person in a file.

    Args:
        path: where the bytes are.
        name: the sender's name of the file.
        wanted: who is looked for.
        known_names: `Format.known_names`.

    Raises:
        OSError: it cannot be read.
    """
    if name.endswith(".eml"):
        return _of_text(_is_in_mail(path, wanted), wanted)
    try:
        looked = _in_records(path, name, wanted, known_names)
    except FileRefused as refused:
        named = refused.refusal.code != "empty_file" and _is_in_bytes(path, wanted)
        beyond = not named and refused.refusal.code in _BEYOND_US
        return Looked(is_named=False, hindrance=refused.refusal.message) if beyond else _of_text(named, wanted)
    return looked or _of_text(_is_in_bytes(path, wanted), wanted)


def _of_text(is_there: bool, wanted: Person) -> Looked:  # noqa: FBT001 - the question is in the call
    """A text that is in no column of the key may be anything, where nobody is stored under it."""
    if is_there and wanted.key_names:
        return _ELSEWHERE
    return Looked(is_named=is_there)


def _in_records(path: Path, name: str, wanted: Person, known_names: frozenset[str]) -> Looked | None:
    """The result that the records give, or None where not every record could be read."""
    named = name if not _is_gzip(path) else f"{name}.gz"
    with open_user_file(path, name=named, known_names=known_names, limits=_LIMITS) as file:
        if not wanted.key_names and any(map(wanted.is_cell, file.header)):
            return Looked(is_named=True)
        cells = [f"c{index}" for index, cell in enumerate(file.header) if wanted.may_be_in(cell)]
        of_rows = [f"c{index}" for index, cell in enumerate(file.header) if normalised(cell) in _OF_ROWS]
        is_sure, is_elsewhere = bool(cells), False
        try:
            for block in file.blocks():
                if _is_in_cells(block, wanted, cells):
                    return Looked(is_named=True)
                is_sure = is_sure and not block.rejects
                is_elsewhere = is_elsewhere or any(map(wanted.is_in, _texts_beside(block, of_rows)))
                if is_elsewhere and not wanted.key_names:
                    return Looked(is_named=True)
        except FileRefused as refused:
            if refused.refusal.code != "no_records":
                raise
    if is_elsewhere:
        return _ELSEWHERE
    return Looked(is_named=False) if is_sure else None


def _is_in_cells(block: Block, wanted: Person, cells: list[str]) -> bool:
    stripped = (pl.col(cells).str.strip_chars(WHITE_SPACE).str.to_lowercase()).is_in(_spelled(wanted))
    return bool(cells) and bool(block.frame.select(pl.any_horizontal(stripped.any())).item())


def _texts_beside(block: Block, of_rows: list[str]) -> Iterator[str]:
    """Texts that are no cells: the rows that a report quotes, and those that cannot be read."""
    for column in of_rows:
        yield from block.frame[column].to_list()
    yield from (reject.text for reject in block.rejects)


def _spelled(wanted: Person) -> list[str]:
    return sorted({*wanted.cells, *(f"'{cell}" for cell in wanted.cells)})


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def _is_in_bytes(path: Path, wanted: Person) -> bool:
    is_packed = _is_gzip(path)
    with path.open("rb") as file:
        return _is_in_stream(cast("BinaryIO", gzip.GzipFile(fileobj=file)) if is_packed else file, wanted)


def _is_in_stream(source: BinaryIO, wanted: Person) -> bool:
    return any(wanted.is_in(piece.decode(encoding, "ignore")) for piece in _pieces(source) for encoding in _ENCODINGS)


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    """Pieces that overlap, each of an even number of bytes but the last one; of a damaged file those before that."""
    carry = b""
    try:
        while piece := source.read(_CHUNK_BYTES):
            yield carry + piece
            carry = piece[-_OVERLAP_BYTES:]
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return


def _is_in_mail(path: Path, wanted: Person) -> bool:
    with path.open("rb") as file:
        mail = message_from_binary_file(file, policy=policy.default)
    if any(wanted.is_in(str(value)) for value in mail.values()):
        return True
    return any(_is_in_part(part.get_payload(decode=True), wanted) for part in mail.walk() if not part.is_multipart())


def _is_in_part(content: object, wanted: Person) -> bool:
    if not isinstance(content, bytes):
        return False
    try:
        with ZipFile(io.BytesIO(content)) as packed:
            return any(_is_in_member(packed, name, wanted) for name in packed.namelist())
    except BadZipFile:
        return _is_in_stream(io.BytesIO(content), wanted)


def _is_in_member(packed: ZipFile, name: str, wanted: Person) -> bool:
    with packed.open(name) as member:
        return _is_in_stream(cast("BinaryIO", member), wanted)
