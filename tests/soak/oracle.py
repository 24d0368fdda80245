"""What files must make of users: plain Python, the rules that the soak's files keep to, and nothing of the product.

Rules: the first line is the header; values are trimmed; an empty cell keeps what is stored, `<clear>` empties it; a
row fails by itself, by an earlier row of its file, or by a user that keeps the value; the rest become users.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

User = dict[str, str | None]
Users = dict[str, User]
"""unique_id → column → value, of one client."""
Reason = tuple[str, str | None]
"""Code and column."""
Owners = Mapping[tuple[str, str | None], str]
"""Column and value as it is compared → whose it is."""

CLEAR = "<clear>"
DEFAULT_LOGIN = "kanari"
LOGINS = {"OPSCOM", "kanari"}
TYPES = {"kanari student": "kanari-1", "kanari staff": "kanari-2", "kanari-1": "kanari-1", "kanari-2": "kanari-2"}
PROVINCES = {
    "on": "ON", "qc": "QC", "bc": "BC", "ontario": "ON", "quebec": "QC", "british columbia": "BC"
}  # fmt: skip
NAMES = {
    "uniqueid": "unique_id", "useruuid": "unique_id", "useruniqueid": "unique_id", "uuid": "unique_id",
    "loginsource": "login_source", "firstname": "first_name", "lastname": "last_name",
    "username": "user_name", "email": "email", "emailaddress": "email", "mail": "email",
    "usertypeid": "user_type_id", "usertype": "user_type_id", "city": "city", "province": "province",
    "state": "province", "provincestate": "province", "phonecell": "phone_cell", "cellphone": "phone_cell",
    "studentno": "student_no", "studentnumber": "student_no", "dateofbirth": "date_of_birth", "dob": "date_of_birth",
}  # fmt: skip
COLUMNS = tuple(dict.fromkeys(NAMES.values()))
UNIQUE = ("unique_id", "user_name", "email")
LONGEST = {"login_source": 20, "email": 100, "province": 2, "phone_cell": 30, "date_of_birth": 10}
_EMAIL = re.compile(r"[^@\s]+@[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)
_DATE = re.compile(r"(19|20)\d\d-\d\d-\d\d")
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class RefusedError(Exception):
    """The file as a whole is refused; the text is the code."""


def _refuse(code: str) -> NoReturn:
    raise RefusedError(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What must become of a file: the counts of the ledger, and row → its reasons."""

    refusal: str | None = None
    records: int = 0
    blank: int = 0
    accepted: int = 0
    inserted: int = 0
    updated: int = 0
    failed: Mapping[int, Sequence[Reason]] = field(default_factory=dict)

    @property
    def reasons(self) -> Counter[Reason]:
        """How often each reason is given."""
        return Counter(reason for reasons in self.failed.values() for reason in reasons)


def judge(users: Users, name: str, content: bytes, claim: str) -> Judged:
    """Import a file into the users of its client, which are changed."""
    try:
        header, rows, is_report = _read(name, content)
    except RefusedError as refused:
        return Judged(refusal=str(refused))
    failed: dict[int, list[Reason]] = {}
    good: dict[int, dict[str, str]] = {}
    blank = 0
    for number, cells in rows:
        if not any(cell.strip() for cell in cells):
            blank += 1
        elif broken := _misshapen(header, cells):
            failed[number] = [broken]
        else:
            values, reasons = _row(header, cells, is_report=is_report)
            good[number] = values
            if reasons:
                failed[number] = reasons
    failed |= _repeated({row: good[row] for row in good if row not in failed})
    kept = {row: values for row, values in good.items() if row not in failed}
    taken = _taken_by_others(users, kept)
    failed |= taken
    kept = {row: values for row, values in kept.items() if row not in taken}
    inserted = sum(values["unique_id"] not in users for values in kept.values())
    updated = sum(_store(users, values, claim) for values in kept.values())
    return Judged(
        records=len(rows),
        blank=blank,
        accepted=len(kept),
        inserted=inserted,
        updated=updated,
        failed=failed,
    )


def _read(name: str, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]], bool]:
    """Header as the columns' own names, numbered rows, and whether the file is one of the service's reports."""
    if name.endswith(".gz"):
        content = _unpacked(content)
    text = _text(content)
    if text.startswith("sep="):
        text = text.partition("\n")[2]
    first = text.partition("\n")[0]
    separator = max(",;\t|", key=first.count)
    records = [*csv.reader(io.StringIO(text, newline=""), delimiter=separator)]
    while records and not records[-1]:
        records.pop()
    written = records[0] if records else []
    header = [NAMES.get(re.sub(r"[\s_/-]", "", cell.lower()), "") for cell in written]
    known = [column for column in header if column]
    if not known:
        _refuse("no_known_column")
    if len(known) > len(set(known)):
        _refuse("repeated_column")
    if "unique_id" not in known:
        _refuse("missing_column")
    if not any(cell.strip() for row in records[1:] for cell in row):
        _refuse("no_records")
    return header, [*enumerate(records[1:], start=2)], "import_error" in written


def _unpacked(content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        _refuse("broken_gzip")


def _text(content: bytes) -> str:
    if not content:
        _refuse("empty_file")
    if content.startswith(b"PK\x03\x04"):
        _refuse("not_text")
    if content.startswith(codecs.BOM_UTF16_LE):
        return content.decode("utf-16")
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError:
        runs = re.findall(rb"[\x80-\xff]+", content)
        valid = sum(_is_utf8(run) for run in runs)
        return content.decode(errors="surrogateescape") if 2 * valid > len(runs) else content.decode("cp1252")


def _is_utf8(run: bytes) -> bool:
    try:
        run.decode()
    except UnicodeDecodeError:
        return False
    return True


def _misshapen(header: Sequence[str], cells: Sequence[str]) -> Reason | None:
    if any("\ud800" <= letter <= "\udfff" for cell in cells for letter in cell):
        return "bad_encoding", None
    if len(cells) != len(header):
        return ("too_few_cells" if len(cells) < len(header) else "too_many_cells"), None
    return None


def _row(header: Sequence[str], cells: Sequence[str], *, is_report: bool) -> tuple[dict[str, str], list[Reason]]:
    """What a row says, without its empty cells, and what is wrong with it."""
    values: dict[str, str] = {}
    reasons: list[Reason] = []
    for column, cell in zip(header, cells, strict=True):
        if column:
            value, code = _value(column, cell.removeprefix("'") if is_report else cell)
            reasons += [(code, column)] if code else []
            if value:
                values[column] = value
    return values, reasons


def _value(column: str, cell: str) -> tuple[str, str | None]:
    """A cell as it is stored, and what is wrong with it."""
    if _CONTROL.search(cell):
        return "", "control_character"
    text = cell.strip()
    if not text or text == CLEAR:
        return text, "required" if column == "unique_id" else None
    stored = _stored(column, text)
    if stored is None:
        return text, "unknown" if column in ("login_source", "user_type_id") else "invalid"
    return stored, "too_long" if len(stored) > LONGEST.get(column, 50) else None


def _stored(column: str, text: str) -> str | None:
    """What is stored of a text, None where it is none of what the column may hold."""
    match column:
        case "login_source":
            return text if text in LOGINS else None
        case "user_type_id":
            return TYPES.get(text)
        case "province":
            return PROVINCES.get(text.lower())
        case "date_of_birth":
            return text if _DATE.fullmatch(text) else None
        case "email":
            return text if _EMAIL.fullmatch(text) else None
    return text


def _compared(column: str, value: str | None) -> str | None:
    return value.lower() if value is not None and column == "email" else value


def _repeated(rows: Mapping[int, Mapping[str, str]]) -> dict[int, list[Reason]]:
    """Rows of which an earlier one has a value that must be unique; a row that fails so still holds its others."""
    failed: dict[int, list[Reason]] = {}
    for column in UNIQUE:
        held = set()
        for number, values in rows.items():
            value = _compared(column, values.get(column))
            if value is None or value == CLEAR:
                continue
            if value in held:
                failed.setdefault(number, []).append(("duplicate_in_file", column))
            held.add(value)
    return failed


def _taken_by_others(users: Users, rows: Mapping[int, Mapping[str, str]]) -> dict[int, list[Reason]]:
    """Rows that want what another user keeps; each that falls may make others fall."""
    owners = {
        (column, _compared(column, user[column])): key
        for key, user in users.items()
        for column in UNIQUE[1:]
        if user[column] is not None
    }
    kept = dict(rows)
    while True:
        given_up = {(values["unique_id"], column) for values in kept.values() for column in values}
        fallen = [row for row, values in kept.items() if _conflicts(owners, values, given_up)]
        if not fallen:
            return {row: _conflicts(owners, rows[row], given_up) for row in rows if row not in kept}
        for row in fallen:
            del kept[row]


def _conflicts(owners: Owners, values: Mapping[str, str], given_up: set[tuple[str, str]]) -> list[Reason]:
    """The values of a row that another user has who is not given another one."""
    found: list[Reason] = []
    for column in UNIQUE[1:]:
        owner = owners.get((column, _compared(column, values.get(column))))
        if owner not in (None, values["unique_id"]) and (owner, column) not in given_up:
            found.append(("duplicate_user", column))
    return found


def _store(users: Users, values: Mapping[str, str], claim: str) -> bool:
    """Whether a user who was there has changed."""
    given = {column: None if value == CLEAR else value for column, value in values.items()}
    stored = users.get(values["unique_id"])
    if stored is None:
        nobody = dict.fromkeys(COLUMNS) | {"login_source": DEFAULT_LOGIN}
        users[values["unique_id"]] = {**nobody, **given, "created_by": claim, "updated_by": claim}
        return False
    if all(stored[column] == value for column, value in given.items()):
        return False
    stored.update(given, updated_by=claim)
    return True
