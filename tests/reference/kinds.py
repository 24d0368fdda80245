"""What a column's kind makes of a text."""

import re
import unicodedata
from collections.abc import Callable
from datetime import date

from importer.formats.columns import Column, Format

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DATE_PARTS = {
    "%Y": "(?P<year>[0-9]{4})",
    "%y": "(?P<short_year>[0-9]{2})",
    "%m": "(?P<month>[0-9]{2})",
    "%d": "(?P<day>[0-9]{2})",
    "%e": "(?P<day> ?[0-9]|[0-9]{2})",
    "%-m": "(?P<month>[0-9]{1,2})",
    "%-d": "(?P<day>[0-9]{1,2})",
    "%b": f"(?P<name>{'|'.join(month[:3] for month in MONTHS)})",
    "%B": f"(?P<name>{'|'.join(MONTHS)})",
}


def value_of(text: str, column: Column, format_: Format, today: date) -> str | None:
    """What is stored for the text, or None where the column's kind does not allow it."""
    match column.kind:
        case "date":
            return _date(text, column, today)
        case "choice":
            return _choice(text, column)
        case "lookup":
            return _looked_up(text, column, format_)
        case "pattern":
            return text if re.fullmatch(column.pattern or "", text) else None
        case kind:
            return SIMPLE_KINDS[kind](text)


def _email(text: str) -> str | None:
    local, at, domain = text.partition("@")
    is_address = at and len(text) <= 254 and _is_local_part(local) and _is_domain(domain)
    return text if is_address else None


def _is_local_part(local: str) -> bool:
    """RFC 5322's dot-atom of at most 64 characters (RFC 5321 4.5.3.1.1), letters and digits of any script."""
    atoms = local.split(".")
    return len(local) <= 64 and all(atom and all(map(_is_atext, atom)) for atom in atoms)


def _is_atext(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in "!#$%&'*+/=?^_`{|}~-"
    return unicodedata.category(character)[0] in "LNM"


def _is_domain(domain: str) -> bool:
    """At least two labels of RFC 1123, in letters of any script; no address literal."""
    labels = domain.split(".")
    return (
        len(domain) <= 253
        and len(labels) >= 2
        and all(map(_is_label, labels))
        and not re.fullmatch("[0-9]+", labels[-1])
    )


def _is_label(label: str) -> bool:
    return (
        1 <= len(label) <= 63
        and unicodedata.category(label[0])[0] in "LN"
        and unicodedata.category(label[-1])[0] in "LNM"
        and all(character == "-" or unicodedata.category(character)[0] in "LNM" for character in label)
    )


def _integer(text: str) -> str | None:
    return text.removeprefix("+") if re.fullmatch("[+-]?[0-9]+", text) else None


def _decimal(text: str) -> str | None:
    return text.removeprefix("+") if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text) else None


def _boolean(text: str) -> str | None:
    if text.lower() in ("true", "yes", "y", "1"):
        return "true"
    return "false" if text.lower() in ("false", "no", "n", "0") else None


SIMPLE_KINDS: dict[str, Callable[[str], str | None]] = {
    "text": str,
    "email": _email,
    "integer": _integer,
    "decimal": _decimal,
    "boolean": _boolean,
}


def _choice(text: str, column: Column) -> str | None:
    for code in column.values:
        if code.lower() == text.lower():
            return code
    for code, name in column.values.items():
        if name.lower() == text.lower():
            return code
    return None


def _looked_up(text: str, column: Column, format_: Format) -> str | None:
    entries = format_.lookups[column.lookup or ""].entries
    if not entries or text in entries:
        return text
    return next((id_ for id_, name in entries.items() if name == text), None)


def _date(text: str, column: Column, today: date) -> str | None:
    for form in column.formats:
        day = _day(text, form)
        if day is not None:
            return day.isoformat() if not column.past or date(1900, 1, 1) <= day <= today else None
    return None


def _day(text: str, form: str) -> date | None:
    pattern = "".join(DATE_PARTS.get(part, re.escape(part)) for part in re.findall("%-?.|[^%]", form))
    match = re.fullmatch(pattern, text, re.IGNORECASE | re.ASCII)
    if match is None:
        return None
    part = match.groupdict()
    try:
        return date(_year(part), _month(part), int(part["day"]))
    except ValueError:
        return None


def _year(part: dict[str, str]) -> int:
    if "year" in part:
        return int(part["year"])
    short = int(part["short_year"])
    return short + (1900 if short >= 69 else 2000)


def _month(part: dict[str, str]) -> int:
    if "month" in part:
        return int(part["month"])
    return [month[:3].lower() for month in MONTHS].index(part["name"][:3].lower()) + 1
