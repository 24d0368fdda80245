"""The cells of names that say NULL: in a column of capitals nobody can tell whether somebody is called so."""

from collections.abc import Callable, Iterator
from typing import Final

import polars as pl

from importer.formats.columns import CLEAR
from importer.judging.debris import NULL
from importer.judging.noticing import Notices
from importer.judging.uniqueness import Late

NULL_NAME: Final = "null_name"
"""The kind of notices about such cells, whose rows are to be remembered."""

_CAPITALS: Final = r"\A[^\p{Ll}0-9]*\p{Lu}[^\p{Ll}0-9]*\z"


def null_names(notices: Notices, accepted: Callable[[], Iterator[pl.DataFrame]]) -> Iterator[Late]:
    """The rows that fail because NULL may be a name: most other values of the column are in capitals.

    Args:
        notices: what was noticed; what turns out to be a reason is no remark any more.
        accepted: the accepted rows.
    """
    suspects = notices.take_rows(NULL_NAME)
    if not suspects:
        return
    values, capitals = dict.fromkeys(suspects, 0), dict.fromkeys(suspects, 0)
    rows: dict[str, list[pl.Series]] = {name: [] for name in suspects}
    for frame in accepted():
        for name, some in suspects.items():
            others = frame[name].drop_nulls()
            others = others.filter(others != CLEAR)
            values[name] += others.len()
            capitals[name] += int(others.str.contains(_CAPITALS).sum())
            rows[name].append(frame["row"].filter(frame["row"].is_in(some.implode())))
    for name in suspects:
        if 2 * capitals[name] > values[name]:
            notices.forget(NULL_NAME, name)
            failing = pl.concat(rows[name])
            if failing.len():
                yield Late(kind="damaged.null_name", column=name, rows=failing.to_frame("row"), example=NULL)
