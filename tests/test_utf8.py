"""Where bytes are not UTF-8, against Python's own decoder."""

import re

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from importer.utf8 import count_runs, invalid

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
    wrong = set(invalid(np.frombuffer(text, np.uint8)).tolist())
    for run in re.finditer(rb"[\x80-\xff]+", text):
        assert _is_valid(run[0]) is not bool(wrong & {*range(*run.span())})
    assert all(text[offset] >= 0x80 for offset in wrong)


@given(texts())
def test_runs_are_counted_as_the_decoder_judges_them(text: bytes) -> None:
    runs = re.findall(rb"[\x80-\xff]+", text)
    assert count_runs(np.frombuffer(text, np.uint8)) == (len(runs), sum(map(_is_valid, runs)))
