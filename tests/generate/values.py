"""Texts for cells, good and bad, by the kind of a column."""

import random

from importer.formats.columns import CLEAR, Column, Format

_FIRST = (
    "Ana Bruno Chloé Dmitri Élodie Farid Grace Hiro Inès Jörg Kofi Léa Mateo Noor Oyelaran Priya Quentin Renée Søren "
    "Tomás Uma Věra Wei Ximena Yara Zoë"
)
FIRST_NAMES = tuple(_FIRST.split())
_LAST = (
    "Abebe Bélanger Côté Desrosiers Eriksson Fortin García Hébert Iwasaki Jansen Kowalski Lefèvre Martin Nguyễn "
    "O'Brien Peña Quist Roy Smith Tremblay Umarov Vásquez Wójcik Xu Yüksel Zimmermann"
)
LAST_NAMES = tuple(_LAST.split())
STREETS = ("Main Street", "Rue Saint-Jean", "Cedar Avenue", "Montée de l'Église", "King Street West", "Elm Crescent")
CITIES = ("Ottawa", "Québec", "Trois-Rivières", "Halifax", "Winnipeg", "Moncton", "Victoria", "Gatineau")
PROVINCES = ("ON", "QC", "NS", "MB", "NB", "BC", "AB", "SK")

EMAILS = (
    "ana@example.edu",
    "ANA@example.edu",
    "élodie@example.org",
    "ÉLODIE@EXAMPLE.ORG",
    "a.b+c@exa-mple.com",
    "o'brien@mail.example.com",
    "x@пример.example",
    "x@example.c1",
    f"{'a' * 64}@example.com",
)
BAD_EMAILS = (
    "ana@",
    "@example.edu",
    "ana",
    "a@b@example.com",
    "a b@example.com",
    ".a@example.com",
    "a..b@example.com",
    "a.@example.com",
    "a@example",
    "a@-example.com",
    "a@example-.com",
    "a@exam_ple.com",
    "a@192.168.0.1",
    "a@[192.168.0.1]",
    '"a b"@example.com',
    "a@example..com",
    f"{'a' * 65}@example.com",
    f"a@{'b' * 64}.com",
    "a,b@example.com",
)
DATES = ("2004-09-17", "1900-01-01", "2000-02-29", "17.09.2004", "09/17/2004", "7 Sep 04", "17 september 2004")
BAD_DATES = (
    "2004-9-17",
    "2004-09-31",
    "1899-12-31",
    "2999-01-01",
    "2001-02-29",
    "20040917",
    "soon",
    "2004-09-17 ",
    "0000-01-01",
    "\N{FULLWIDTH DIGIT TWO}004-09-17",
    "7 Sept 04",
    "2004-09-17T00:00",
    "31/12/2004",
)
NUMBERS = ("0", "7", "+7", "-7", "007", "1234", "12.50", "+1.5", "-0.0")
BAD_NUMBERS = ("1,5", "1e3", "\N{FULLWIDTH DIGIT THREE}", "--1", "+", "1 000", ".5", "5.", "0x1F", "NaN")
BOOLEANS = ("true", "False", "YES", "no", "1", "0", "y", "N")
BAD_BOOLEANS = ("ja", "2", "tru", "yes!")
TEXTS = (*FIRST_NAMES, "Ana María", "12 Main Street", "007", "NULL", "nan", "=1+1", "日本", "e\u0301", "<b>", "<CLEAR>")
BAD_TEXTS = ("x" * 9, "y" * 51, "é" * 101, "x" * 101, "y" * 21)
CONTROLS = ("bell\x07", "nel\x85x", "del\x7f", "unit\x1f", "\x1f", "vt\x0bx", "\x0c", "\x85")
WHITE_SPACE = (" ", "  ", "\t", "\u00a0", "\u2003", "\u3000", "\u2028", " \n", "\r\n")


def value(rng: random.Random, column: Column, format_: Format, bad_share: float) -> str:
    """A text for a cell of that column; about `bad_share` of them do not pass."""
    dice = rng.random()
    if dice < 0.04 or (dice < 0.2 and not format_.is_needed(column)):
        return rng.choice(("", "", "", " ", "\t", "\u00a0", CLEAR, f" {CLEAR} "))
    text = rng.choice(_bad(rng, column) if rng.random() < bad_share else _good(rng, column, format_))
    if dice < 0.25:
        return rng.choice(WHITE_SPACE) + text + rng.choice(WHITE_SPACE)
    return text


def _good(rng: random.Random, column: Column, format_: Format) -> tuple[str, ...]:
    if column.unique or column.name == format_.key:
        own = {"email": f"u{rng.randrange(400)}@Example.org", "integer": str(rng.randrange(900))}
        fresh = own.get(column.kind, f"U{rng.randrange(400)}")
        return (fresh, fresh, fresh, *(EMAILS if column.kind == "email" else ()))
    entries = format_.lookups[column.lookup].entries if column.lookup else {}
    by_kind = {
        "email": EMAILS,
        "date": DATES,
        "integer": NUMBERS,
        "decimal": NUMBERS,
        "boolean": BOOLEANS,
        "choice": (*column.values, *column.values.values(), *(name.upper() for name in column.values.values())),
        "lookup": (*entries, *entries.values(), *entries) or ("any",),
        "pattern": ("AB12", "C3"),
    }
    return by_kind.get(column.kind, TEXTS)


def _bad(rng: random.Random, column: Column) -> tuple[str, ...]:
    by_kind = {
        "email": BAD_EMAILS,
        "date": BAD_DATES,
        "integer": (*BAD_NUMBERS, "1.5", "12345"),
        "decimal": (*BAD_NUMBERS, "1234567.5"),
        "boolean": BAD_BOOLEANS,
        "choice": ("ZZ", "Ontari", "O N", "\N{LATIN SMALL LETTER LONG S}"),
        "lookup": ("Studnet", "student", "99", "opscom"),
    }
    return (*by_kind.get(column.kind, ()), *BAD_TEXTS, rng.choice(CONTROLS))
