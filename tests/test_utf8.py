"""Where bytes are not UTF-8, against Python's own decoder."""

import io
import re

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from importer.transcoding import Source, unmarked_encoding
from importer.utf8 import runs

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
    expected = re.findall(rb"[\x80-\xff]+", text)
    found = runs(np.frombuffer(text, np.uint8))
    assert (found.total, found.valid) == (len(expected), sum(map(_is_valid, expected)))


@given(texts(), st.integers(1, 40))
def test_a_file_is_utf8_where_most_runs_are_and_its_offsets_are_those_of_its_text(
    text: bytes, chunk_bytes: int
) -> None:
    source = Source(io.BytesIO(text), name="users.csv", max_expanded_bytes=1000)
    encoding, invalid = unmarked_encoding(source, chunk_bytes)
    expected = runs(np.frombuffer(text, np.uint8))
    if expected.valid == expected.total or 2 * expected.valid > expected.total:
        assert encoding == "utf-8"
        assert invalid is not None
        assert invalid.tolist() == expected.invalid.tolist()
    else:
        assert (encoding, invalid) == ("windows-1252", None)


def test_a_long_run_of_characters_is_cut_between_two_of_them() -> None:
    text = b"a" + "\u20ac".encode() * 900_000 + b"\n\xff\n"
    source = Source(io.BytesIO(text), name="users.csv", max_expanded_bytes=1000)
    encoding, invalid = unmarked_encoding(source, 1 << 20)
    assert encoding == "utf-8"
    assert invalid is not None
    assert invalid.tolist() == [len(text) - 2]
