"""The regular expressions of format files. They are Rust's, so that no input can make one slow."""

import re
from collections.abc import Iterator

import polars as pl

from importer.formats.columns import Format
from importer.formats.kinds import whole


def pattern_mistakes(format_: Format) -> Iterator[str]:
    """Check the patterns of a format; returns a sentence for each column whose pattern the engine does not take."""
    for column in format_.columns:
        if column.pattern is not None:
            try:
                for pattern in (column.pattern, whole(column.pattern)):
                    pl.Series([""]).str.contains(pattern)
            except pl.exceptions.ComputeError as error:
                found = re.search(r"^error: (.+)$", str(error), re.MULTILINE)
                detail = found[1] if found else "not understood"
                yield f"columns.{column.name}.pattern: not a Rust regular expression: {detail}"
