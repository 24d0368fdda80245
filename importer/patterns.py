"""Regular expressions of format files. They are Rust's, so that no input can make one slow."""

import re
from collections.abc import Iterator

import polars as pl

from importer.format import Format


def whole(pattern: str) -> str:
    """The pattern, matching whole values only."""
    return rf"\A(?:{pattern})\z"


def pattern_mistakes(format_: Format) -> Iterator[str]:
    """A sentence for each column whose pattern the engine does not take."""
    for column in format_.columns:
        if column.pattern is not None:
            try:
                for pattern in (column.pattern, whole(column.pattern)):
                    pl.Series([""]).str.contains(pattern)
            except pl.exceptions.ComputeError as error:
                found = re.search(r"^error: (.+)$", str(error), re.MULTILINE)
                detail = found[1] if found else "not understood"
                yield f"columns.{column.name}.pattern: not a Rust regular expression: {detail}"
