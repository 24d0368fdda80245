"""The end of a text: its last line end, and what programs leave behind it and nobody wrote, a Ctrl-Z or NULs."""

from collections.abc import Iterable, Iterator
from typing import Final

MARKS: Final = b"\0\x1a"
_LINE_ENDS: Final = b"\r\n"
_PIECE: Final = 1 << 20


def without_end_marks(text: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a text without the marks at its very end, between which there may be line ends."""
    held: list[tuple[bytes, int]] = []
    for chunk in text:
        end = _end_of_text(chunk)
        if end == 0 and held:
            held.append(_packed(chunk))
            continue
        if end:
            yield from _unpacked(held)
            held.clear()
        if not _has_marks(chunk, end):
            yield chunk
            continue
        if end:
            yield chunk[:end]
        held.append(_packed(chunk[end:]))
    rest = b"".join(text.translate(None, MARKS) for text, _ in held)
    if rest:
        yield rest


def ended(text: bytes) -> bytes:
    """The text with a line end after its last line; a last CR becomes CRLF, which is one line end as well."""
    return text if not text or text.endswith(b"\n") else text + b"\n"


def _end_of_text(chunk: bytes) -> int:
    """The offset behind the last byte that is neither a mark nor of a line end."""
    end = len(chunk)
    while end and chunk[end - 1] in _LINE_ENDS:
        end -= 1
    return len(chunk[:end].rstrip(MARKS + _LINE_ENDS)) if end and chunk[end - 1] in MARKS else end


def _has_marks(chunk: bytes, start: int) -> bool:
    return any(chunk.find(mark, start) >= 0 for mark in MARKS)


def _packed(chunk: bytes) -> tuple[bytes, int]:
    """A chunk as a text and how often it is repeated: of NULs there may be more than there is memory."""
    return (b"\0", len(chunk)) if not chunk.strip(b"\0") else (chunk, 1)


def _unpacked(held: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
    for text, times in held:
        for begin in range(0, times, _PIECE):
            yield text * min(_PIECE, times - begin)
