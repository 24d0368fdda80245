"""Every sentence that tells somebody what is wrong with a file or a row, but those of the kinds of columns.

A sentence is a `str.format` template. Its code is stable and meant for programs; the sentence is written for the
person who made the file, and may change. What is wrong travels as data, a code with its facts, and is put into words
where somebody reads it, in the reader's language.
"""

from collections.abc import Mapping

from importer.model import Refusal, Remark
from importer.words.translating import translated

SHOWN_CHARACTERS = 60
"""Characters of a value that a sentence repeats; longer values are cut with an ellipsis."""

ROW_SENTENCES = {
    "required": "{column} is required",
    "too_long": "{column} is {length} characters long; at most {limit} are allowed",
    "duplicate_in_file": "{column} '{value}' is already used in row {row}",
    "duplicate_user": "{column} '{value}' is already used by another user",
    "too_few_cells": "the row has {cells} of the header's {expected} cells; a separator is missing",
    "too_many_cells": "the row has {cells} cells, the header has {expected}; quote a value that holds a separator",
    "bad_quotes": "the row's quotes do not match; quote a whole value, and double the quotes inside it",
    "bad_encoding": "the row has bytes that are not {encoding}; save the file as “CSV UTF-8”",
    "control_character": "{column} holds a control character; type the value again without it",
    "control_character.row": "the row holds a NUL character",
    "too_large": "the row is longer than {limit}; a quote that is never closed often causes this",
    "repeated_header": "the row repeats the header; a header belongs in the first row only",
}
"""Of rows, and of cells of whatever kind; what one kind alone says of its cells is in `importer.formats.kinds`."""

REFUSAL_SENTENCES = {
    "empty_file": "the file is empty; export it again and drop it again",
    "no_records": "the file has a header but no users below it; export it again with its users and drop it again",
    "not_text": "the file is {kind}, not a CSV; open it and save it as “CSV UTF-8”, then drop that file",
    "unmarked_utf16": "the file is UTF-16 without a byte order mark; save it as “CSV UTF-8” and drop it again",
    "file_too_large": "the file is larger than {limit}; split it and drop the parts",
    "expansion_too_large": "the file unpacks to more than {limit}; split it and drop the parts",
    "expansion_too_great": "the file unpacks to more than {times} times its size, as no list of users does; drop it"
    " without compressing it",
    "too_many_members": "the compressed file is made of more than {limit} parts; compress it again as one and drop it"
    " again",
    "too_many_unreadable": "{rows} rows or more cannot be read, too many for a report; export the file again as"
    " “CSV UTF-8” and drop that file",
    "fills_disk": "the import of the file filled the disk {times} times; split it and drop the parts",
    "needs_too_much_room": "the import of the file takes more than the {limit} that a client may have in work; split"
    " it and drop the parts",
    "broken_gzip": "the compressed file is damaged; compress it again and drop it again",
    "too_many_columns": "the header has {columns} columns; at most {limit} are allowed",
    "missing_column": "there is no column {expected}; the columns found are: {found}; add a column named {expected}",
    "no_known_column": "the first row names no known column; it must be a header. Found: {found}. Expected: {expected}",
    "repeated_column": "the column {column} is there twice, as {found}; remove one of them",
    "wrong_width": "most rows have {cells} cells but the header has {expected}; check the header and the separator",
    "bad_header": "the header row cannot be read: {problem}",
    "incomplete": "the upload stopped after {size} bytes and did not go on; drop the file again",
}

REFUSAL_SUMMARIES = {
    "missing_column": "there is no column {expected}",
    "no_known_column": "the first row names no known column; it must be a header like: {expected}",
    "repeated_column": "the column {column} is there twice",
}
"""Refusals whose sentences repeat cells of the first row, for everybody but the sender."""

BRIEF_SENTENCES = {
    "codes": "from here on this report gives reasons by code and column, as it would be too long otherwise",
    "nothing": "from here on this report gives no reasons, as it would be too long otherwise; rows that are dropped by"
    " themselves get theirs",
}
"""What a report says where it begins to be brief."""

CUT_SENTENCE = "{more} more rows failed, for which this report has no room, as the file was compressed: {reasons}"
"""The end of a report that is cut."""

WARNING_SENTENCES = {
    "report_brief": "from row {row} of your file on the report of failed rows is brief: it names reasons by code and"
    " column, or not at all, as it would be too long otherwise; rows that are dropped by themselves get theirs in full",
    "report_cut": "the report of failed rows was cut, as the file was compressed: it has the first {rows}, {more} more"
    " are only counted in its last row; drop the file uncompressed to get them all",
    "unknown_column": "the column '{column}' is not known and was ignored",
    "unknown_column.suggestion": "the column '{column}' is not known and was ignored; did you mean {suggestion}?",
    "password_column": "the column '{column}' is never imported; its values were dropped",
    "windows_1252": "the file is not UTF-8 and was read as Windows-1252; check the accented letters",
    "trailing_separator": "every row ends with a surplus separator; it was ignored",
    "unchecked_lookup": "{column} was not checked because no {noun}s are set up",
    "may_be_cut": "the last line has no line end; the file may have been cut off while it was sent: check the last row,"
    " and end the file with a line end to stop this remark",
    "end_not_seen": "the end of the upload was not seen: nothing has told that it was complete, and nothing that it was"
    " cut off; check that the last rows are there",
}


TRANSLATED_FACTS = frozenset({"kind", "problem", "noun"})
"""Facts that are words of ours."""


def shown(value: str) -> str:
    """The value as a sentence repeats it: at most SHOWN_CHARACTERS characters, on one line."""
    line = " ".join(value.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def shown_size(size: int) -> str:
    """A limit in bytes as a message names it."""
    for unit, factor in (("MB", 1_048_576), ("KB", 1024)):
        if size >= factor and size % factor == 0:
            return f"{size // factor:,} {unit}"
    return f"{size / 1_048_576:,.1f} MB" if size > 1_048_576 else f"{size:,} bytes"


def said(sentence: str, facts: Mapping[str, object], language: str = "en") -> str:
    """A sentence of this module with its facts, in a language."""
    words = {
        name: translated(fact, language) if name in TRANSLATED_FACTS and isinstance(fact, str) else fact
        for name, fact in facts.items()
    }
    return translated(sentence, language).format(**words)


def row_reason(kind: str, facts: Mapping[str, object], language: str = "en") -> Remark:
    """A reason why one row as a whole was not imported; `kind` is a key of ROW_SENTENCES that names no column."""
    return Remark(code=kind.partition(".")[0], column=None, message=said(ROW_SENTENCES[kind], facts, language))


def warning(kind: str, *, column: str | None = None, **facts: str | int) -> Remark:
    """A remark about the whole file that did not stop its import; `kind` is a key of WARNING_SENTENCES."""
    message = said(WARNING_SENTENCES[kind], {"column": column, **facts})
    return Remark(code=kind.partition(".")[0], column=column, message=message, kind=kind, facts=facts)


def refusal(code: str, **facts: str | int) -> Refusal:
    """Why a whole file was not imported; `code` is a key of REFUSAL_SENTENCES."""
    summary = said(REFUSAL_SUMMARIES.get(code, ""), facts)
    return Refusal(code=code, message=said(REFUSAL_SENTENCES[code], facts), summary=summary, facts=facts)


def warning_in(remark: Remark, language: str) -> str:
    """A remark in a language; one of another version stays in English."""
    sentence = WARNING_SENTENCES.get(remark.kind)
    return remark.message if sentence is None else _or_plain(sentence, remark, {"column": remark.column}, language)


def refusal_in(refused: Refusal, language: str) -> str:
    """A refusal in a language, without cells of the file where it is summarised; one of another version in English."""
    is_summary = refused.code in REFUSAL_SUMMARIES and "found" not in refused.facts
    sentence = (REFUSAL_SUMMARIES if is_summary else REFUSAL_SENTENCES).get(refused.code)
    return refused.message if sentence is None else _or_plain(sentence, refused, {}, language)


def _or_plain(sentence: str, told: Remark | Refusal, more: Mapping[str, object], language: str) -> str:
    try:
        return said(sentence, {**more, **told.facts}, language)
    except KeyError:  # it was stored by a version whose sentence named other facts
        return told.message
