import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from importer.controls import controls, places

TEXT = st.text(alphabet=st.sampled_from([*"aé€\t\r\n\0\x07\x1f\x7f\x80\x9f\xa0\u2028"]), max_size=20)


@given(TEXT)
def test_controls_are_the_category_cc_but_tab_and_line_breaks(text: str) -> None:
    expected = [
        len(text[:place].encode())
        for place, character in enumerate(text)
        if unicodedata.category(character) == "Cc" and character not in "\t\r\n"
    ]
    data = text.encode()
    line_ends = text.count("\r") + text.count("\n")
    assert sorted(controls(data + b"\0\x7f\xc2\x80", len(data), line_ends=line_ends).tolist()) == expected


def test_controls_are_found_in_every_piece_of_a_large_text() -> None:
    text = b"\x07".join([b"x" * 200_000] * 3)
    assert controls(text, len(text), line_ends=0).tolist() == [200_000, 400_001]


@given(st.lists(st.sampled_from([b"\0", b"x", b"x" * 4_095, b"\0" * 4_097])), st.integers(0, 20_000))
def test_places_are_those_of_a_loop(parts: list[bytes], end: int) -> None:
    data = b"".join(parts)
    end = min(end, len(data))
    assert places(data, b"\0", end).tolist() == [at for at, byte in enumerate(data[:end]) if byte == 0]
