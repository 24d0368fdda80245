import re
import unicodedata
from itertools import accumulate

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from importer.reading.controls import controls, places

CELLS = st.text(alphabet=st.sampled_from([*"aé€\t\0\x07\x1f\x7f\x80\x9f\xa0\u2028"]), max_size=20)
LINES = st.lists(st.tuples(CELLS, st.sampled_from(["\n", "\r\n", "\r"])), max_size=4)
PIECE = 1 << 17


def found_in(data: bytes) -> list[int]:
    """The controls of its lines, as `controls` is told these; what follows the last line end is no line."""
    spans = [match.span() for match in re.finditer(rb"\r\n|\r|\n", data)]
    ends, nexts = np.array(spans, np.int64).reshape(-1, 2).T
    return sorted(controls(data, ends, nexts).tolist())


def controls_of(text: str) -> list[int]:
    offsets = accumulate((len(character.encode()) for character in text), initial=0)
    return [
        offset
        for offset, character in zip(offsets, text, strict=False)
        if unicodedata.category(character) == "Cc" and character not in "\t\r\n"
    ]


@given(LINES)
def test_controls_are_the_category_cc_but_tab_and_line_breaks(lines: list[tuple[str, str]]) -> None:
    text = "".join(cell + end for cell, end in lines)
    assert found_in(text.encode() + b"\0\x7f\xc2\x80") == controls_of(text)


@given(LINES, LINES, st.integers(-40, 40))
def test_controls_are_found_about_the_end_of_a_piece(
    before: list[tuple[str, str]], after: list[tuple[str, str]], offset: int
) -> None:
    """Where a piece ends within a CRLF, its bytes are counted for two pieces."""
    begin = "".join(cell + end for cell, end in before)
    filler = "x" * (PIECE + offset - len(begin.encode())) + "\r\n"
    text = begin + filler + "".join(cell + end for cell, end in after) + "x" * PIECE + "\0\r\n"
    assert found_in(text.encode()) == controls_of(text)


def test_a_lead_of_c1_that_nothing_follows_is_none() -> None:
    assert found_in(b"\xc2\n\xc2") == []


@given(st.lists(st.sampled_from([b"\0", b"x", b"x" * 4_095, b"\0" * 4_097])), st.integers(0, 20_000))
def test_places_are_those_of_a_loop(parts: list[bytes], end: int) -> None:
    data = b"".join(parts)
    end = min(end, len(data))
    assert places(data, b"\0", end).tolist() == [at for at, byte in enumerate(data[:end]) if byte == 0]
