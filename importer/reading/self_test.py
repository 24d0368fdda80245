"""A small hard file that is read at each start; an interpreter, or a package, that misreads it must import nothing.

Such there were: Python's `re` before 3.11.5 and 3.12.0b4 lost records and made up others (gh-106052).
"""

import sys
from collections.abc import Iterator
from typing import Final

from importer.reading.dialect import read_header
from importer.reading.grammar import Grammar
from importer.reading.parsing import Shape, parse
from importer.reading.records import Rules, split

_BYTES: Final = 1000
_FILE: Final = '''\
id,"first
name",note\r
1,Zoé,"a, ""b""\r\n\r\n"\r
2,"B
C","""d"""
3,5" pipe,"x"y
4,"one
5,"two
three, "" four",""\r
,"
 ", \r
6, "seven",8
9,ten
11,"last\r"twelve,13"
14,"",end"
'''.encode()
_RECORDS: Final = [
    (2, 3, "1", "Zoé", 'a, "b"\r\n\r\n'),
    (3, 6, "2", "B\nC", '"d"'),
    (6, 10, "5", 'two\nthree, " four', ""),
    (12, 18, "14", "", 'end"'),
]
_REJECTS: Final = [
    (4, 8, "bad_quotes"),
    (5, 9, "bad_quotes"),
    (8, 14, "bad_quotes"),
    (9, 15, "too_few_cells"),
    (10, 16, "bad_quotes"),
    (11, 17, "too_few_cells"),
]


def misreadings() -> Iterator[str]:
    """A sentence for the operator, where the file is misread; to find out takes some milliseconds."""
    try:
        is_right = _read() == (_RECORDS, _REJECTS)
    except Exception:  # noqa: BLE001 - whatever goes wrong here would go wrong with a client's file
        is_right = False
    if not is_right:
        version = ".".join(map(str, sys.version_info[:3]))
        yield (
            f"this Python ({version}, {sys.executable}) or one of its packages misreads a known file, so it would lose"
            " users or mix them up; nothing is imported. Remove .venv and run deploy/install or deploy/run again; if"
            " that does not help, with another Python"
        )


def _read() -> tuple[list[tuple[object, ...]], list[tuple[int, int, str]]]:
    header = read_header(_FILE, known_names=frozenset(), longest_record=_BYTES, longest_cell=_BYTES)
    rules = Rules(
        grammar=Grammar(header.separator), width=len(header.cells), longest_record=_BYTES, longest_cell=_BYTES
    )
    shape = Shape(rules=rules, header=header.cells, encoding="utf-8")
    block = parse(split(_FILE[header.end :], rules, is_last=True), shape, row=2, line=header.lines + 1)
    return block.frame.rows(), [(reject.row, reject.line, reject.kind) for reject in block.rejects]
