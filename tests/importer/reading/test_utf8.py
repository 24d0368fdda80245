"""Where bytes are not UTF-8, against Python's own decoder."""

import io
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from importer.reading.transcoding import ByteSource, unmarked_encoding
from importer.reading.utf8 import runs

_TRICKY: list[str | bytes] = [
    *("é", "€", "😀", "ÿ", "\u0800", "\uffff", "\U0010ffff", "a", "\n"),
    *(b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80"),
    *(b"\xf5\x80\x80\x80", b"\xff", b"\x80", b"\xbf", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xe2\x82\xac\xac"),
]
pieces: st.SearchStrategy[bytes] = st.sampled_from(
    [piece.encode() if isinstance(piece, str) else piece for piece in _TRICKY]
)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    return b"".join(draw(st.lists(pieces | st.binary(max_size=4), max_size=20)))


def _is_valid(run: bytes) -> bool:
    try:
        run.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(texts())
@example(b"")
@example(b"\xf0\x9f\x98\x80\xf0\x9f\x98")
def test_a_run_of_bytes_is_invalid_just_where_the_decoder_says_so(text: bytes) -> None:
    wrong = set(runs(np.frombuffer(text, np.uint8)).invalid.tolist())
    for run in re.finditer(rb"[\x80-\xff]+", text):
        assert _is_valid(run[0]) is not bool(wrong & {*range(*run.span())})
    assert all(text[offset] >= 0x80 for offset in wrong)


@given(texts())
def test_runs_are_counted_as_the_decoder_judges_them(text: bytes) -> None:
    expected = [*re.finditer(rb"[\x80-\xff]+", text)]
    found = runs(np.frombuffer(text, np.uint8))
    assert found.begins.tolist() == [run.start() for run in expected]
    wrong = np.unique(np.searchsorted(found.begins, found.invalid, side="right"))
    assert wrong.tolist() == [number for number, run in enumerate(expected, 1) if not _is_valid(run[0])]


@given(texts(), st.integers(1, 40))
def test_a_file_is_utf8_where_most_runs_are_and_its_offsets_are_those_of_its_text(
    text: bytes, chunk_bytes: int
) -> None:
    source = ByteSource(io.BytesIO(text), name="users.csv", max_expanded_bytes=1000)
    encoding, invalid = unmarked_encoding(source, chunk_bytes)
    valid = [_is_valid(run) for run in re.findall(rb"[\x80-\xff]+", text)]
    if all(valid) or 2 * sum(valid) > len(valid):
        assert encoding == "utf-8"
        assert invalid is not None
        assert invalid.tolist() == runs(np.frombuffer(text, np.uint8)).invalid.tolist()
    else:
        assert (encoding, invalid) == ("windows-1252", None)


EUROS = "\u20ac".encode() * 900_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a" + EUROS + b"\n\xff\n" + b"\xc3\xa9\n", "utf-8"),
        (b"a" + EUROS + b"\n\xff\n", "windows-1252"),
        (EUROS + b"\xff" + EUROS + b"\n" + b"\xc3\xa9\n" * 2, "utf-8"),
        (b"\xff" + EUROS + EUROS + b"\n" + b"\xc3\xa9\n", "windows-1252"),
        (b"\xc3\xa9\n" * 2 + EUROS + b"\xff", "utf-8"),
    ],
)
def test_a_run_longer_than_what_is_looked_at_at_once_is_one_run(text: bytes, expected: str) -> None:
    source = ByteSource(io.BytesIO(text), name="users.csv", max_expanded_bytes=1000)
    encoding, invalid = unmarked_encoding(source, 1 << 20)
    assert encoding == expected
    if invalid is not None:
        assert invalid.tolist() == runs(np.frombuffer(text, np.uint8)).invalid.tolist()
