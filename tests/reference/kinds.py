"""What a column's kind makes of a text."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date

from importer.formats.columns import Column, Format

SPELLINGS = (
    "january jan janvier janv",
    "february feb février fevrier févr fevr fév fev",
    "march mar mars",
    "april apr avril avr",
    "may mai",
    "june jun juin",
    "july jul juillet juil",
    "august aug août aout",
    "september sep sept septembre",
    "october oct octobre",
    "november nov novembre",
    "december dec décembre decembre déc",
)
MONTH_OF = {spelling: number for number, names in enumerate(SPELLINGS, start=1) for spelling in names.split()}
NAME_OF_MONTH = f"(?P<name>{'|'.join(sorted(MONTH_OF, key=len, reverse=True))})[.]?"
DATE_PARTS = {
    "%Y": "(?P<year>[0-9]{4})",
    "%y": "(?P<short_year>[0-9]{2})",
    "%m": "(?P<month>[0-9]{2})",
    "%d": "(?P<day>[0-9]{2})",
    "%e": "(?P<day> ?[0-9]|[0-9]{2})",
    "%-m": "(?P<month>[0-9]{1,2})",
    "%-d": "(?P<day>[0-9]{1,2})",
    "%b": NAME_OF_MONTH,
    "%B": NAME_OF_MONTH,
}
TIME = "(T| +)(0?0:00(:00([.,]0+)?)?|12:00(:00)? ?AM)( ?(Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?"


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
    word = alike(text)
    if word in ("true", "yes", "y", "1", "oui", "o", "vrai"):
        return "true"
    return "false" if word in ("false", "no", "n", "0", "non", "faux") else None


SIMPLE_KINDS: dict[str, Callable[[str], str | None]] = {
    "text": str,
    "email": _email,
    "integer": _integer,
    "decimal": _decimal,
    "boolean": _boolean,
}


def alike(text: str) -> str:
    """What is left of a text where case, blanks and the form of Unicode do not count."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text).lower()).strip()


def _choice(text: str, column: Column) -> str | None:
    names = [(name, code) for code, name in column.values.items()] + [*column.other_names.items()]
    codes = [alike(code) for code in column.values]
    names = [(name, code) for name, code in names if alike(name) not in codes]
    return _known(text, column.values, names)


def _looked_up(text: str, column: Column, format_: Format) -> str | None:
    entries = format_.lookups[column.lookup or ""].entries
    return _known(text, entries, [(name, id_) for id_, name in entries.items()]) if entries else text


def _known(text: str, ids: Iterable[str], names: list[tuple[str, str]]) -> str | None:
    """What is written just so comes first, and an id before a name; what may mean several things means none."""
    if text in ids:
        return text
    just_so = [id_ for name, id_ in names if name == text]
    if just_so:
        return just_so[-1]
    found = {id_ for id_ in ids if alike(id_) == alike(text)}
    found = found or {id_ for name, id_ in names if alike(name) == alike(text)}
    return found.pop() if len(found) == 1 else None


def _date(text: str, column: Column, today: date) -> str | None:
    day_alone = re.sub(TIME + "$", "", text, flags=re.IGNORECASE | re.ASCII)
    orders = [re.sub("[^Yymbd]|B", "", form.replace("B", "m").replace("b", "m")).lower() for form in column.formats]
    others = [] if "ydm" in orders else ["%Y-%m-%d", "%Y/%m/%d"]
    tried = [(text, form) for form in column.formats] + [(day_alone, form) for form in (*column.formats, *others)]
    for candidate, form in tried:
        day = _day(candidate, form, today if column.past else date(2068, 12, 31))
        if day is not None:
            return day.isoformat() if not column.past or date(1900, 1, 1) <= day <= today else None
    return None


def _day(text: str, form: str, latest: date) -> date | None:
    pattern = "".join(DATE_PARTS.get(part, re.escape(part)) for part in re.findall("%-?.|[^%]", form))
    match = re.fullmatch(pattern, text, re.IGNORECASE | re.ASCII)
    if match is None:
        return None
    part = match.groupdict()
    years = [int(part["year"])] if "year" in part else [century + int(part["short_year"]) for century in (2000, 1900)]
    days = [day for year in years if (day := _real_day(year, _month(part), int(part["day"]))) is not None]
    if "year" in part:
        return days[0] if days else None
    return next((day for day in days if day <= latest), None)


def _real_day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _month(part: dict[str, str]) -> int:
    return int(part["month"]) if "month" in part else MONTH_OF[part["name"].lower()]
