"""What the soak's clients send: a pure function of chance. Every cell holds the canary, every row has a token.

Files keep to rules that a small oracle can decide exactly (see `tests.soak.oracle`); users, addresses and names come
from small pools, so that rows update, repeat, clear, swap and claim what others have.
"""

import csv
import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from random import Random

CANARY = "kanari"
USERS = 40
MANY_USERS = 3_000
TYPES = {f"{CANARY}-1": f"{CANARY} student", f"{CANARY}-2": f"{CANARY} staff"}
"""What the site has in `user_types`: id → name."""

COLUMNS: Mapping[str, Sequence[str]] = {
    "unique_id": ("unique_id", "UserUUID", "User Unique ID", "uuid"),
    "login_source": ("login_source", "Login Source"),
    "first_name": ("first_name", "firstName"),
    "last_name": ("last_name", "LAST NAME"),
    "user_name": ("user_name", "username"),
    "email": ("email", "Email Address", "mail"),
    "user_type_id": ("user_type_id", "User Type"),
    "city": ("city", "City"),
    "province": ("province", "state", "Province/State"),
    "phone_cell": ("phone_cell", "Cell Phone"),
    "student_no": ("student_no", "Student Number"),
    "date_of_birth": ("date_of_birth", "dob"),
    "colour": ("Colour",),
    "password": ("password",),
}
"""The columns of the files, each with the names that it goes by; the last two are never imported."""

_NEEDED = ("unique_id", "last_name")
_FIRST_NAMES = ("Ana", "Zoë", "François", "Núria", "Lee")
_CITIES = ("Hull", "Trois-Rivières", "Montréal", 'the "Nan" place', "Hull, Gatineau; Aylmer", "Hull\nGatineau")
_PROVINCES = ("ON", "qc", "BC", "Ontario", "Quebec", "british columbia")

Row = dict[str, str]


def token(file: int, row: int) -> str:
    """What a row is known by, wherever it is reported."""
    return f"{CANARY}-t{file}-{row}"


def roster(random: Random, file: int, *, most_rows: int = 60) -> bytes:
    """A file of users, many of which fail."""
    columns = _columns(random)
    rows = [_row(random, file, number, columns) for number in range(random.randint(1, most_rows))]
    for later in range(1, len(rows)):
        if random.random() < 0.06:
            _repeat_value(random, rows[random.randrange(later)], rows[later])
    return _encoded(random, columns, rows)


def many(random: Random, file: int) -> bytes:
    """A file of so many rows that faults meet it half way."""
    columns = ["unique_id", "last_name", "email", "city"]
    numbers = random.sample(range(MANY_USERS), random.randint(500, MANY_USERS))
    rows = [
        {
            "unique_id": f"{CANARY}-m{number}",
            "last_name": token(file, place),
            "email": f"{CANARY}-m{number}" + ("" if random.random() < 0.02 else f"@{CANARY}.example"),
            "city": f"{CANARY} {file}",
        }
        for place, number in enumerate(numbers)
    ]
    return _written(columns, rows, ",", "\n").encode()


def swap(random: Random, file: int) -> bytes:
    """Users who give their addresses and logins to one another; a circle of two to five."""
    users = random.sample(range(USERS), random.randint(2, 5))
    rows = [
        {
            "unique_id": f"{CANARY}-u{user}",
            "last_name": token(file, place),
            "email": _email(other),
            "user_name": _login(other),
        }
        for place, (user, other) in enumerate(zip(users, [*users[1:], users[0]], strict=True))
    ]
    return _encoded(random, ["unique_id", "last_name", "email", "user_name"], rows)


def partly_undecodable(random: Random, file: int) -> bytes:
    """UTF-8 but for a few rows."""
    rows = [
        {"unique_id": f"{CANARY}-u{random.randrange(USERS)}", "last_name": token(file, place), "city": "Montréal"}
        for place in range(random.randint(8, 20))
    ]
    lines = _written(["unique_id", "last_name", "city"], rows, ",", "\r\n").encode().split(b"\r\n")
    for line in random.sample(range(1, len(rows) + 1), random.randint(1, 2)):
        lines[line] = lines[line].replace("é".encode(), b"\xe9")
    return b"\r\n".join(lines)


def unusable(random: Random, file: int) -> bytes:
    """A file that is refused as a whole."""
    good = token(file, 0).encode()
    return random.choice(
        [
            b"",
            b"unique_id,last_name\r\n",
            b"PK\x03\x04" + bytes(60) + good,
            b"last_name,city\r\n" + good + b",Hull\r\n",
            b"unique_id,uuid,last_name\r\n1,1," + good + b"\r\n",
            b"colour,shape\r\nred," + good + b"\r\n",
        ]
    )


def compressed(random: Random, file: int) -> bytes:
    """A compressed roster, or what was one before it was damaged."""
    content = gzip.compress(roster(random, file), mtime=0)
    return content[: len(content) // 2] if random.random() < 0.1 else content


def corrected(random: Random, number: int, report: bytes) -> bytes:
    """A report as its reader sends it again: most rows are right now, some are not, and a few are left out.

    Rows that could not be split into cells are left out, as their cells are nowhere.
    """
    text = report.decode("utf-8-sig")
    separator = ";" if ";" in text.partition("\n")[0] else ","
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    known = {name: column for column, names in COLUMNS.items() for name in names}
    kept = []
    for place, cells in enumerate(rows):
        row = dict(zip(header, cells, strict=True))
        if row["import_line"] or random.random() < 0.1:
            continue
        if random.random() < 0.8:
            right = {name: _right(known.get(name, ""), value, number, place) for name, value in row.items()}
            row.update(right)
        kept.append([row[name] for name in header])
    return _written_cells([header, *kept], separator, "\r\n").encode("utf-8-sig")


def _right(column: str, value: str, number: int, place: int) -> str:
    """What a reader who does not look closely writes into a column."""
    rules: Mapping[str, Callable[[], str]] = {
        "unique_id": lambda: value or f"{CANARY}-c{number}-{place}",
        "last_name": lambda: value[:40],
        "email": lambda: f"{CANARY}-c{number}-{place}@{CANARY}.example",
        "user_name": lambda: f"{CANARY}.c{number}.{place}",
        "user_type_id": lambda: f"{CANARY}-1",
        "login_source": lambda: "OPSCOM",
        "city": lambda: f"{CANARY} Hull",
        "province": lambda: "ON",
        "date_of_birth": lambda: "2004-09-17",
    }
    return rules[column]() if column in rules else value


def _columns(random: Random) -> list[str]:
    others = [column for column in COLUMNS if column not in _NEEDED and random.random() < 0.5]
    columns = [*_NEEDED, *others]
    random.shuffle(columns)
    return columns


def _email(slot: int) -> str:
    return f"{CANARY}-{slot}@{CANARY}.example"


def _login(slot: int) -> str:
    return f"{CANARY}.{slot}"


def _row(random: Random, file: int, number: int, columns: Sequence[str]) -> Row:
    if random.random() < 0.03:
        return dict.fromkeys(columns, "")
    user = random.randrange(USERS)
    slot = user if random.random() < 0.85 else random.randrange(USERS)
    right = {
        "unique_id": f"{CANARY}-u{user}",
        "login_source": random.choice(["", CANARY, "OPSCOM"]),
        "first_name": random.choice(["", f"{CANARY} {random.choice(_FIRST_NAMES)}"]),
        "last_name": token(file, number),
        "user_name": random.choice(["", _login(slot), _login(slot)]),
        "email": random.choice(["", _email(slot), _email(slot).upper(), _email(slot)]),
        "user_type_id": random.choice(["", *TYPES, *TYPES.values()]),
        "city": random.choice(["", f"{CANARY} {random.choice(_CITIES)}"]),
        "province": random.choice(["", *_PROVINCES]),
        "phone_cell": random.choice(["", f"+1 613 {CANARY}"]),
        "student_no": random.choice(["", f"00{user:05}"]),
        "date_of_birth": random.choice(["", f"{1950 + user}-0{1 + user % 9}-17"]),
        "colour": f"{CANARY} red",
        "password": f"{CANARY}-secret",
    }
    if random.random() < 0.1:
        right[random.choice(["first_name", "email", "user_name", "city"])] = "<clear>"
    if random.random() < 0.2:
        column, value = random.choice(_wrong(file, number))
        right[column] = value
    return {column: right[column] for column in columns} | _misshapen(random)


def _wrong(file: int, number: int) -> list[tuple[str, str]]:
    return [
        ("unique_id", ""),
        ("login_source", f"{CANARY} nowhere"),
        ("last_name", f"{token(file, number)} {'x' * 50}"),
        ("email", f"{CANARY}.{CANARY}.example"),
        ("user_type_id", f"{CANARY} studnet"),
        ("city", f"{CANARY}\x07Hull"),
        ("province", f"{CANARY}"),
        ("date_of_birth", "17/09/2004"),
        ("date_of_birth", "2999-01-01"),
    ]


_CELLS = "cells"
"""Not a column: how many cells the row has too many, or too few."""


def _misshapen(random: Random) -> Row:
    return {_CELLS: random.choice(["-1", "+1"])} if random.random() < 0.03 else {}


def _repeat_value(random: Random, earlier: Row, later: Row) -> None:
    column = random.choice(["unique_id", "email", "user_name"])
    if earlier.get(column, "<clear>") not in ("", "<clear>") and later.get("last_name"):
        later[column] = earlier[column]


def _encoded(random: Random, columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    separator = random.choice(",,,;;\t|")
    text = _written(columns, rows, separator, random.choice(["\r\n", "\n"]), random)
    if random.random() < 0.1:
        text = text.rstrip("\r\n")
    if random.random() < 0.1 and separator != "\t":
        text = f"sep={separator}\r\n{text}"
    return text.encode(random.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"]))


def _written(
    columns: Sequence[str], rows: Sequence[Row], separator: str, line_end: str, random: Random | None = None
) -> str:
    header = [random.choice(COLUMNS[column]) if random else COLUMNS[column][0] for column in columns]
    records = [_cells([row[column] for column in columns], row.get(_CELLS)) for row in rows]
    return _written_cells([header, *records], separator, line_end)


def _cells(cells: list[str], misshapen: str | None) -> list[str]:
    """A row too short lacks a cell that says something, as a row that lacks an empty one may be whole."""
    if misshapen == "+1":
        return [*cells, f"{CANARY} too many"]
    if misshapen == "-1":
        return [cell for place, cell in enumerate(cells) if place != len(cells) - 1] if cells[-1] else [*cells, CANARY]
    return cells


def _written_cells(records: Sequence[Sequence[str]], separator: str, line_end: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=line_end).writerows(records)
    return text.getvalue()
