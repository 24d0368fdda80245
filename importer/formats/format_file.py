"""Format files: TOML becomes a `Format`, and every mistake is reported at once.

extends = "built-in"            # or "nothing", the default: only what this file says
key = "badge"                   # the column that identifies a user
required = ["first_name"]       # columns that may not be empty
[columns.badge]                 # see importer.formats.columns.Column for what a column may say
aliases = ["Badge No"]
kind = "pattern"
pattern = "[A-Z]{2}[0-9]{4}"
[lookups.departments]
noun = "department"
entries = { 10 = "Parking" }
[values.colours]                # named value lists that several `choice` columns may share
R = "red"
[defaults]
city = "Ottawa"
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from importer.formats.columns import (
    REPORT_COLUMNS,
    USER_BOOKKEEPING,
    Column,
    Format,
    Lookup,
    comparison_column,
    normalised,
)
from importer.formats.dates import DATE_CODES
from importer.formats.kinds import Key, KindName, kind_of
from importer.formats.passwords import is_password

NAME = r"[a-z][a-z0-9_]{0,49}"
"""The form of a column's name: an identifier in every database we know, without quoting."""


class FormatMistakesError(ValueError):
    """A format file that cannot be used; `mistakes` holds one sentence each, all of them."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


_Name = Annotated[str, Field(pattern=f"^{NAME}$")]
_Text = Annotated[str, Field(min_length=1)]


class _ColumnEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    aliases: list[_Text] = []
    required: bool = False
    unique: bool = False
    max_length: int | None = Field(default=None, ge=1)
    kind: KindName = "text"
    example: str = ""
    formats: list[_Text] = Field(default=["%Y-%m-%d"], min_length=1)
    past: bool = False
    expected: str = ""
    values: str | list[str] | dict[str, str] | None = None
    lookup: str | None = None
    pattern: str | None = None


class _LookupEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    noun: str = "value"
    entries: dict[str, str] = {}


class _FormatEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    extends: Literal["built-in", "nothing"] = "nothing"
    key: str | None = None
    required: list[str] = []
    columns: dict[_Name, _ColumnEntry] = {}
    lookups: dict[_Name, _LookupEntry] = {}
    values: dict[_Name, dict[str, str]] = {}
    defaults: dict[str, str] = {}


def load_format(path: Path | None, *, default_login_source: str | None = None) -> Format:
    """Load the format in force: the built-in one, or the one of the operator's file.

    Args:
        path: a TOML file; None for the built-in format.
        default_login_source: the login source of users whose file names none; it counts as a known one, too.

    Raises:
        FormatMistakesError: the file cannot be read or used.
    """
    format_ = _built_in() if path is None else parse_format(_read(path))
    return format_ if default_login_source is None else _with_default_login_source(format_, default_login_source)


def parse_format(text: str) -> Format:
    """Parse a format file's text.

    Raises:
        FormatMistakesError: the text has mistakes; each names its key (or its line, where it is not TOML).
    """
    try:
        entry = _FormatEntry.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise FormatMistakesError([f"not valid TOML: {error}"]) from None
    except ValidationError as error:
        raise FormatMistakesError([_sentence(detail) for detail in error.errors()]) from None
    base = _built_in() if entry.extends == "built-in" else None
    mistakes = [*_mistakes(entry, base)]
    if mistakes:
        raise FormatMistakesError(mistakes)
    return _format(entry, base)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FormatMistakesError([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise FormatMistakesError([f"{path}: not UTF-8 text"]) from None


def _built_in() -> Format:
    text = resources.files("importer.formats").joinpath("users.toml").read_text(encoding="utf-8")
    return _format(_FormatEntry.model_validate(tomllib.loads(text)), None)


def _sentence(detail: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    if detail["type"] == "extra_forbidden":
        return f"{place}: there is no such key{_nearest(str(detail['loc'][-1]), _keys_beside(detail['loc']))}"
    if detail["type"] == "string_pattern_mismatch":
        return f"{place}: a name must be a small letter followed by small letters, digits or _, at most 50"
    return f"{place}: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _keys_beside(place: tuple[int | str, ...]) -> list[str]:
    entries: dict[str, type[BaseModel]] = {"columns": _ColumnEntry, "lookups": _LookupEntry}
    entry = entries.get(str(place[0]), _FormatEntry) if len(place) > 1 else _FormatEntry
    return [*entry.model_fields]


def _nearest(name: str, known: list[str]) -> str:
    matches = get_close_matches(name, known, n=1)
    return f"; did you mean {matches[0]}?" if matches else f"; there are {', '.join(known)}"


def _mistakes(entry: _FormatEntry, base: Format | None) -> Iterator[str]:
    names = _names(entry, base)
    if not names:
        yield "columns: there is none; write at least one [columns.NAME]"
    if entry.key is None and base is None:
        yield "key: missing; name the column that identifies a user"
    references = [("key", entry.key)] if entry.key else []
    references += [("required", name) for name in entry.required]
    references += [(f"defaults.{name}", name) for name in entry.defaults]
    for place, name in references:
        if name not in names:
            yield f"{place}: there is no column {name}{_nearest(name, names)}"
    yield from (
        f"defaults.{name}: no two users may share it, so it cannot have a default"
        for name in entry.defaults
        if name in _unshared(entry, base)
    )
    yield from _clashes(entry, base)
    for name, column in entry.columns.items():
        yield from (f"columns.{name}.{mistake}" for mistake in _column_mistakes(name, column, entry, base))


def _names(entry: _FormatEntry, base: Format | None) -> list[str]:
    return [*dict.fromkeys([*(column.name for column in (base.columns if base else ())), *entry.columns])]


def _unshared(entry: _FormatEntry, base: Format | None) -> set[str]:
    kept = {column.name for column in (base.columns if base else ()) if column.unique} - {*entry.columns}
    own = {name for name, column in entry.columns.items() if column.unique}
    return kept | own | {entry.key or (base.key if base else "")}


def _clashes(entry: _FormatEntry, base: Format | None) -> Iterator[str]:
    owner: dict[str, str] = {normalised(name): "userdrop itself" for name in REPORT_COLUMNS}
    kept = [column for column in (base.columns if base else ()) if column.name not in entry.columns]
    for column in kept:
        owner |= dict.fromkeys(column.names, f"column {column.name}")
    for name, column_entry in entry.columns.items():
        for alias in dict.fromkeys(filter(is_password, (name, *column_entry.aliases))):
            yield f"columns.{name}: {alias} is a name of passwords, which are never imported; leave it out"
        for alias in dict.fromkeys(normalised(alias) for alias in (name, *column_entry.aliases)):
            if not alias:
                yield f"columns.{name}: an alias needs a letter or a digit"
            elif alias in owner:
                yield f"columns.{name}: the name {alias} already belongs to {owner[alias]}"
            owner[alias] = f"column {name}"


def _column_mistakes(name: str, column: _ColumnEntry, entry: _FormatEntry, base: Format | None) -> Iterator[str]:
    reserved = {*USER_BOOKKEEPING, *(comparison_column(other) for other in _names(entry, base))}
    if name in reserved:
        yield f"name: {name} is a column of userdrop's own; choose another name"
    if isinstance(column.values, str) and column.values not in entry.values:
        yield f"values: there is no [values.{column.values}]"
    lookups = {*entry.lookups, *(base.lookups if base else ())}
    for key in kind_of(column.kind).keys:
        yield from (f"{key}: {mistake}" for mistake in _key_mistakes(key, column, lookups))


def _key_mistakes(key: Key, column: _ColumnEntry, lookups: set[str]) -> Iterator[str]:
    match key:
        case "formats":
            yield from _date_mistakes(column.formats)
        case "values":
            if not column.values:
                yield f"missing; kind {column.kind} needs them"
        case "lookup":
            if column.lookup not in lookups:
                yield f"there is no [lookups.{column.lookup}]" if column.lookup else "missing"
        case "pattern":
            if column.pattern is None:
                yield f"missing; kind {column.kind} needs one"
        case _:
            assert_never(key)


def _date_mistakes(formats: list[str]) -> Iterator[str]:
    for form in formats:
        codes = re.findall(r"%-?.?", form)
        unknown = [code for code in codes if code not in DATE_CODES]
        if unknown:
            yield f"{form} has {unknown[0]}; use {' '.join(DATE_CODES)}"
        elif sorted(DATE_CODES[code] for code in codes) != ["day", "month", "year"]:
            yield f"{form} does not name a year, a month and a day, once each"


def _format(entry: _FormatEntry, base: Format | None) -> Format:
    columns = {column.name: column for column in (base.columns if base else ())}
    columns |= {name: _column(name, column, entry) for name, column in entry.columns.items()}
    columns |= {name: replace(columns[name], required=True) for name in entry.required}
    key = entry.key or (base.key if base else "")
    columns[key] = replace(columns[key], unique=True)
    lookups = {name: Lookup(noun=lookup.noun, entries=lookup.entries) for name, lookup in entry.lookups.items()}
    return Format(
        columns=tuple(columns.values()),
        key=key,
        lookups={**(base.lookups if base else {}), **lookups},
        defaults={**(base.defaults if base else {}), **entry.defaults},
    )


def _column(name: str, entry: _ColumnEntry, whole_entry: _FormatEntry) -> Column:
    return Column(
        name=name,
        aliases=tuple(entry.aliases),
        required=entry.required,
        unique=entry.unique,
        max_length=entry.max_length,
        kind=entry.kind,
        example=entry.example,
        formats=tuple(entry.formats),
        past=entry.past,
        expected=entry.expected,
        values=_values(entry.values, whole_entry.values),
        lookup=entry.lookup,
        pattern=entry.pattern,
    )


def _values(
    values: str | list[str] | dict[str, str] | None, named: Mapping[str, Mapping[str, str]]
) -> Mapping[str, str]:
    match values:
        case None:
            return {}
        case str():
            return named[values]
        case list():
            return {value: value for value in values}
        case _:
            return values


def _with_default_login_source(format_: Format, code: str) -> Format:
    column = "login_source"
    if all(each.name != column for each in format_.columns):
        raise FormatMistakesError([f"USERDROP_DEFAULT_LOGIN_SOURCE is set, but the format has no column {column}"])
    known = format_.lookups.get("login_sources", Lookup(noun="login source"))
    sources = replace(known, entries={code: code, **known.entries})
    return replace(
        format_,
        lookups={**format_.lookups, "login_sources": sources},
        defaults={**format_.defaults, column: code},
    )
