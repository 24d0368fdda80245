"""The remarks about a file as a whole that are known as soon as it is opened: its encoding, its header, its width."""

from collections.abc import Iterator
from itertools import islice

from importer.formats.code_pages import CodePage
from importer.model import Remark
from importer.reading.evidence import words_beyond_ascii
from importer.reading.heading import HeaderLine
from importer.reading.transcoding import Found
from importer.words.reasons import examples, shown, warning


def remarks(found: Found, header: HeaderLine, body: bytes, *, is_wider: bool) -> Iterator[Remark]:
    """Yield what is to be told of a file before its rows are read.

    Args:
        found: its encoding.
        header: its header, and what stands above that.
        body: the begin of its text below the header, as UTF-8.
        is_wider: whether nearly all rows have surplus cells.
    """
    yield from _about_encoding(found, body)
    if header.skipped:
        yield warning("skipped_rows", row=header.row, examples=f"“{shown(header.skipped)}”")
    if is_wider:
        yield warning("trailing_separator")


def _about_encoding(found: Found, body: bytes) -> Iterator[Remark]:
    """What is to be told of an encoding that no mark and no rule of UTF-8 has proven, with two words as examples."""
    encoding = found.encoding
    if encoding is CodePage.AUTO:
        words = [(word.decode("ascii", "backslashreplace"), word.decode("cp1252")) for word in found.words[:2]]
        yield warning("windows_1252", examples=examples(words))
    elif isinstance(encoding, CodePage):
        read = [word.decode() for word in islice(words_beyond_ascii(body), 2)]
        pairs = [(word.encode(encoding.codec).decode("ascii", "backslashreplace"), word) for word in read]
        yield warning("code_page", encoding=encoding.shown, examples=examples(pairs))
