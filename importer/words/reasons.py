"""Every sentence that tells somebody what is wrong with a file or a row, but those of the kinds of columns.

A sentence is a `str.format` template. Its code is stable and meant for programs; the sentence is written for the
person who made the file, and may change. What is wrong travels as data, a code with its facts, and is put into words
where somebody reads it, in the reader's language.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

from importer.model import Refusal, Remark
from importer.words.translating import translated

SHOWN_CHARACTERS = 60
"""Characters of a value that a sentence repeats; longer values are cut with an ellipsis."""

LINE_BREAK, TAB = "↵", "⇥"
"""The signs that a sentence shows in place of a line break and of a tab, so that it stays on one line."""

ROW_SENTENCES = {
    "required": "{column} is required",
    "too_long": "{column} is {length} characters long; at most {limit} are allowed",
    "duplicate_in_file": "{column} '{value}' is already used in row {first}",
    "duplicate_user": "{column} '{value}' is already used by another user: {key} '{owner}'",
    "duplicate_user.zeros": "{column} '{value}' is already used by another user: {key} '{owner}'; this row's '{given}'"
    " seems to have lost its leading zeros, so make the column text before you type them again",
    "duplicate_user.held_up": "{column} '{value}' is still used by {key} '{owner}', whose row {holder} was not imported"
    " either; correct row {first} first",
    "duplicate_in_file.unchanged": "the row lost its place to another one, and was not changed since it was reported:"
    " {told}; correct it, or empty its import_error and import_id if this is the right row",
    "changed_since": "the user was changed on {when} by {file}, after this row was reported; look at what is newer, and"
    " empty import_id if this row still holds",
    "refused_by_database": "the database refuses the row by a rule of its own: {words}; ask whoever runs this service",
    "refused_by_database.untried": "the database refuses this row, or others that were to be stored with it; correct"
    " the other failed rows, and drop this one again",
    "too_few_cells": "the row has {cells} of the header's {expected} cells and none for {missing}; a separator is"
    " missing",
    "too_few_cells.others": "the row has {cells} cells where other rows have {expected}; a separator is missing",
    "too_many_cells": "the row has {cells} cells, the header has {expected}; too many are: {beyond}; quote a value that"
    " holds a separator",
    "bad_quotes": "the row's quotes do not match; quote a whole value, and double the quotes inside it",
    "bad_encoding": "the row has bytes that are not {encoding}; open the original file, save it as “CSV UTF-8” and drop"
    " that",
    "bad_encoding.unknown": "the row has letters in an unknown encoding: they would be read as {words}; the file was"
    " probably written by {program}: open the original there, save it as “CSV UTF-8” and drop that",
    "control_character": "{column} holds a control character ({character}); type the value again without it",
    "damaged": "{column} '{value}' {problem}",
    "damaged.null_name": "{column} is NULL, and the other values are in capitals, too: if it is a name, write it as"
    " Null; if it stands for an empty cell, leave the cell empty",
    "control_character.row": "the row holds a NUL character",
    "too_large.cell": "{column} is {length} characters long, more than {limit}; a quote that is never closed often"
    " causes this",
    "too_large": "the row is longer than {limit}; a quote that is never closed often causes this",
}
"""Of rows, and of cells of whatever kind; what one kind alone says of its cells is in `importer.formats.kinds`."""

DAMAGES = {
    "error_value": "is the error of a spreadsheet's formula; put the formula right, or type the value",
    "hashes": "is what a spreadsheet shows in a column that is too narrow; widen the column and save the file again",
    "exponent": "is a number that a spreadsheet has shortened; format the column as text, and enter the whole number",
    "formula_text": "is text in the form of a formula; write the value alone, without = and quotation marks",
    "apostrophe": "begins with an apostrophe; take it off",
    "null_word": "is what a database writes for an empty cell; enter a value",
    "placeholder": "stands for an empty cell; enter a value",
    "point_zero": "is a number with .0 behind it; take it off, and put zeros back that are lost at the front",
    "carriage_return": "holds a code that a program wrote for the end of a line; take it off",
    "clear_entity": "is <clear> in the code of web pages; write <clear>",
    "entity": "holds a character in the code of web pages; write the character itself",
    "misread": "holds letters that were read in a wrong encoding; save the original as “CSV UTF-8” and drop that",
    "replaced": "holds the sign for a lost letter (U+FFFD); take the value from the original",
    "escape": "holds a character as databases write it, with a backslash; write the character itself",
    "quoted": "is between quotation marks that a CSV does not know, like the other values of the row; take them off",
}
"""The ends of sentences about values that nobody has typed, with what to do."""

REFUSAL_SENTENCES = {
    "empty_file": "the file is empty; export it again and drop it again",
    "no_records": "the file has a header but no users below it; export it again with its users and drop it again",
    "not_text": "the file is {kind}, not a CSV; open it and save it as “CSV UTF-8”, then drop that file",
    "is_mail": "the file is a mail, not a CSV; save what is attached to it, and drop that",
    "is_error_message": "the file holds the message of an error instead of users; look at the program that exports it,"
    " and drop its next file",
    "wrapped_lines": "each line is one quoted cell: the columns were not separated when the file was saved; open the"
    " file from which it was made and save that as “CSV UTF-8”, then drop the new file",
    "other_separator": "the header is separated by {header} and the rows by {rows}; separate both alike, and drop the"
    " file again",
    "rows_above_header": "the header seems to be in row {row}, and rows above it may be users; delete the rows above"
    " the header if they are none, or move the header to the top, and drop the file again",
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
    "wrong_width": "most rows have {cells} cells but the header has {expected}; {advice}",
    "bad_header": "the header row cannot be read: {problem}",
    "incomplete": "the upload stopped after {size} bytes and did not go on; drop the file again",
}

RENAMING_SENTENCES = {
    "missing_column": "there is no column {expected}; if {renamed} is meant, rename *{renamed}* to {expected} and drop"
    " the file again; the columns found are: {found}",
}
"""Of refusals that a column under another name would cure: they have the fact `renamed`."""

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
    "unknown_column.unnamed": "column {number} has no name; its values were ignored: give it a name that is known",
    "password_column": "the column '{column}' is never imported; its values were dropped",
    "windows_1252": "the file is not UTF-8 and was read as Windows-1252; check the accented letters: {examples}",
    "code_page": "the file is not UTF-8 and was read as {encoding}, as is set for it; check the letters: {examples}",
    "skipped_rows": "the header was found in row {row}; the rows above it name no column and were skipped, the first"
    " one says {examples}",
    "trailing_separator": "the rows end with more separators than the header has names; they were ignored",
    "surplus_cells": "rows with more cells than the header: {count}, row {row} first; the surplus cells are empty and"
    " were left out",
    "inner_marks": "rows that begin with a byte order mark, as where files were joined: {count}, row {row} first; the"
    " mark was taken off",
    "repeated_header": "rows that repeat the header: {count}, row {row} first; they were passed over",
    "nobody": "rows that are no users and were passed over: {count}, row {row} first: {examples}",
    "unchecked_lookup": "{column} was not checked because no {noun}s are set up",
    "lost_zeros": "{count} new values of {column} are those of known users without the zeros in front: {examples}; if"
    " the zeros were lost, make the column text, and drop the file again",
    "repeated_row": "row {row} repeats row {first} in every cell; it was left out",
    "repeated_row.several": "{count} rows repeat earlier ones in every cell and were left out, the first of them row"
    " {row}, which repeats row {first}",
    "may_be_cut": "the last line has no line end; the file may have been cut off while it was sent: check the last row,"
    " and end the file with a line end to stop this remark",
    "invisible": "{count} values of {column} held invisible characters, which were taken out: {examples}",
    "formula_text": "{count} values of {column} were text in the form of a formula, of which the text was taken:"
    " {examples}",
    "apostrophe": "{count} values of {column} began with an apostrophe, which was taken off: {examples}",
    "null_word": "{count} cells of {column} held what a database writes for an empty cell, and were taken as empty:"
    " {examples}",
    "null_name": "{count} cells of {column} said NULL, and were taken as empty; write the name of a person who is"
    " called so as Null",
    "placeholder": "{count} cells of {column} may stand for nothing, and were taken as they are: {examples}; leave"
    " such cells empty",
    "point_zero": "{count} values of {column} are numbers with .0 behind them, and were taken as they are:"
    " {examples}; take it off, and put zeros back that are lost at the front",
    "carriage_return": "{count} values of {column} hold a code that a program wrote for the end of a line, and were"
    " taken as they are: {examples}",
    "clear_entity": "{count} cells of {column} are <clear> in the code of web pages, and were taken as they are:"
    " {examples}; write <clear> to empty a stored value",
    "entity": "{count} values of {column} hold a character in the code of web pages, and were taken as they are:"
    " {examples}; write the character itself",
    "misread": "{count} values of {column} seem to hold letters that were read in the wrong encoding, and were taken"
    " as they are: {examples}; save the original as “CSV UTF-8” and drop that file",
    "replaced": "{count} values of {column} hold the sign for a lost letter (U+FFFD), and were taken as they are:"
    " {examples}; take them from the original",
    "escape": "{count} values of {column} may hold a character as databases write it, with a backslash, and were taken"
    " as they are: {examples}; write the character itself",
    "odd_values": "{count} values of {column} look like what programs leave, and were taken as they are: {examples}",
    "mistyped_address": "{count} addresses of {column} may be mistyped, and were taken as they are; what may be meant:"
    " {examples}",
    "end_not_seen": "the end of the upload was not seen: nothing has told that it was complete, and nothing that it was"
    " cut off; check that the last rows are there",
    "column_gone": "the column {column}, which your files had before, is no longer there; what is stored in it stays as"
    " it is: if the column was renamed, give it its name back and send the file again",
}


TRANSLATED_FACTS = frozenset({"kind", "problem", "noun", "program", "advice"})
"""Facts that are words of ours."""

_EXAMPLES = re.compile(r"[\s:,(\N{EN DASH}\N{EM DASH}-]*(?:like|for example|comme|par exemple)?\s*\{examples\}\)?")
"""The place of the examples in a sentence, with the punctuation that leads to it."""


_LINE_BREAKS = re.compile(r"\r\n|[\r\n\v\f\x85\u2028\u2029]")


def shown(value: str) -> str:
    """The value as a sentence repeats it: as it is, but on one line and of at most SHOWN_CHARACTERS characters."""
    line = _LINE_BREAKS.sub(LINE_BREAK, value.strip()).replace("\t", TAB)
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def shown_size(size: int) -> str:
    """A limit in bytes as a message names it."""
    for unit, factor in (("MB", 1_048_576), ("KB", 1024)):
        if size >= factor and size % factor == 0:
            return f"{size // factor:,} {unit}"
    return f"{size / 1_048_576:,.1f} MB" if size > 1_048_576 else f"{size:,} bytes"


def examples(pairs: Iterable[tuple[str, str]]) -> str:
    """The fact `examples` of a remark: what cells held, and what was taken from them, of the first two pairs."""
    return "; ".join(_example(before, now) for before, now in islice(pairs, 2))


def _example(before: str, now: str) -> str:
    return f"“{shown(before)}”" if before == now else f"“{shown(before)}” → “{shown(now)}”"


def without_examples(sentence: str) -> str:
    """A template of a sentence without the place for its examples, and without what leads to them."""
    return _EXAMPLES.sub("", sentence)


def spared(remark: Remark) -> Remark:
    """The remark as it may be kept where no cell of the file may: without its examples."""
    if "examples" not in remark.facts:
        return remark
    facts = {name: fact for name, fact in remark.facts.items() if name != "examples"}
    bare = replace(remark, facts=facts)
    return replace(bare, message=warning_in(replace(bare, message=""), "en"))


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
    return Refusal(code=code, message=said(_refusal_sentences(facts)[code], facts), summary=summary, facts=facts)


def _refusal_sentences(facts: Mapping[str, object]) -> Mapping[str, str]:
    return REFUSAL_SENTENCES | RENAMING_SENTENCES if "renamed" in facts else REFUSAL_SENTENCES


def warning_in(remark: Remark, language: str) -> str:
    """A remark in a language, without examples where it has none; one of another version stays in English."""
    sentence = WARNING_SENTENCES.get(remark.kind)
    if sentence is None:
        return remark.message
    if "{examples}" in sentence and "examples" not in remark.facts:
        sentence = without_examples(translated(sentence, language))
    return _or_plain(sentence, remark, {"column": remark.column}, language)


def refusal_in(refused: Refusal, language: str) -> str:
    """A refusal in a language, without cells of the file where it is summarised; one of another version in English."""
    is_summary = refused.code in REFUSAL_SUMMARIES and "found" not in refused.facts
    sentence = (REFUSAL_SUMMARIES if is_summary else _refusal_sentences(refused.facts)).get(refused.code)
    return refused.message if sentence is None else _or_plain(sentence, refused, {}, language)


def stored_refusal_in(code: str, message: str, language: str) -> str:
    """A refusal in a language, of which only its code and its English message are stored; else that message."""
    if language == "en":
        return message
    for sentences in (REFUSAL_SENTENCES, REFUSAL_SUMMARIES):
        if code in sentences and (facts := _facts(sentences[code], message)) is not None:
            return said(sentences[code], facts, language)
    return message


def _facts(sentence: str, message: str) -> Mapping[str, str] | None:
    """The facts with which a sentence was told; None where the message is another one."""
    parts = re.split(r"\{(\w+)\}", sentence)
    pattern = "".join(f"(?P<{part}>.*)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
    found = re.fullmatch(pattern, message, re.DOTALL)
    return None if found is None else found.groupdict()


def _or_plain(sentence: str, told: Remark | Refusal, more: Mapping[str, object], language: str) -> str:
    try:
        return said(sentence, {**more, **told.facts}, language)
    except KeyError:  # it was stored by a version whose sentence named other facts
        return told.message
