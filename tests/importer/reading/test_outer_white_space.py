import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.reading.grammar import WHITE_SPACE, Grammar, quoted, value
from importer.reading.outer_white_space import may_need_trimming
from importer.reading.records import Rules, Split, split

RULES = Rules(grammar=Grammar(","), width=2, longest_record=1000, longest_cell=1000)


def split_of(data: bytes) -> Split:
    return split(data, RULES, is_last=True)


def good_cells(found: Split) -> list[str]:
    return [
        value(cell).decode()
        for first, last in zip(found.good.nonzero()[0], found.last_lines(), strict=True)
        for cell in RULES.grammar.cells(found.text(int(first), int(last)))
    ]


def written(cell: str) -> bytes:
    if any(mark in cell for mark in ',"\r\n'):
        return ('"' + cell.replace('"', '""') + '"').encode()
    return quoted(cell.encode())


CELLS = st.text(alphabet=st.sampled_from([*'aé€😀Ā,"\n\r', *WHITE_SPACE]), max_size=6)


@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_a_block_with_white_space_at_a_cells_edge_may_need_trimming(rows: list[tuple[str, str]], end: bytes) -> None:
    found = split_of(b"".join(b",".join(map(written, row)) + end for row in rows) + b"x,y\n")
    if any(cell != cell.strip(WHITE_SPACE) for cell in good_cells(found)):
        assert may_need_trimming(found, RULES.grammar)


@pytest.mark.parametrize("text", ['x,y\n"\n x,y\n', "x,y\n\r x,y\n", 'x,y\r"\n\tx,y\n', "x,y\nx\n x,y\n"])
def test_white_space_is_seen_behind_a_line_that_is_no_good_record(text: str) -> None:
    assert may_need_trimming(split_of(text.encode()), RULES.grammar)


def test_white_space_behind_the_decided_lines_is_the_next_blocks_matter() -> None:
    found = split(b"a,b\n c", RULES, is_last=False)
    assert found.consumed == 4
    assert not may_need_trimming(found, RULES.grammar)


@pytest.mark.parametrize("space", WHITE_SPACE)
@pytest.mark.parametrize("place", ["{0}a,b", "a{0},b", "a,{0}b", "a,b{0}"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_every_white_space_is_seen_at_every_edge(space: str, place: str, quote: str) -> None:
    record = ",".join(f"{quote}{cell}{quote}" for cell in place.format(space).split(","))
    found = split_of(f"a,b\n{record}\na,b\n".encode())
    if any(cell != cell.strip(WHITE_SPACE) for cell in good_cells(found)):
        assert may_need_trimming(found, RULES.grammar)
    else:
        assert quote == ""
        assert space in "\n\r"


@pytest.mark.parametrize(
    "text",
    [
        "Ana,Ruiz\nBo,Li\n",
        "Ana,Ruiz\r\nBo,Li\r\n",
        'Ana,"Ruiz, MD"\n"Bo",Li\n',
        'Ana,"1 Main St\nApt 2, Door B"\n',
        'Ana,"x"y, z"\nBo,Li\n',
        "René,Élodie\n",
        "Ā,Ł\n",
        "a b,c d\n",
        ",\n",
    ],
)
def test_ordinary_text_needs_no_trimming(text: str) -> None:
    assert not may_need_trimming(split_of(text.encode()), RULES.grammar)


def test_white_space_before_the_line_end_of_an_undecided_line_is_the_next_blocks_matter() -> None:
    found = split(b'a,b\r\nc,"d \r\n', RULES, is_last=False)
    assert found.consumed == 5
    assert not may_need_trimming(found, RULES.grammar)
