"""What the databases' own programs need for an import without reading, rules or reports: a load and one merge."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import make_url

from tests.generate.big import COLUMNS

_NAMES = COLUMNS.split(",")
_MARKS = "client, created_at, updated_at, created_by, updated_by"
_VALUES = "'acme', '2026-11-22 10:10:00.000000', '2026-11-22 10:10:00.000000', 'bound', 'bound'"
_KEEPS = ", ".join(f"{name} = coalesce(excluded.{name}, users.{name})" for name in [*_NAMES[1:], "email_key"])
_GIVEN = ", ".join(f"nullif({name}, '')" for name in _NAMES)
_TABLE = f"CREATE TEMPORARY TABLE staged ({', '.join(f'{name} TEXT' for name in _NAMES)});"
_MERGE = (
    f"INSERT INTO users ({_MARKS}, {COLUMNS}, email_key)"  # noqa: S608 - the generator's own names
    f" SELECT {_VALUES}, {_GIVEN}, lower(nullif(email, ''))"
    f" FROM staged WHERE true ON CONFLICT (client, unique_id) DO UPDATE SET {_KEEPS},"
    " updated_at = excluded.updated_at, updated_by = excluded.updated_by;"
)


def sqlite_bound(url: str, file: Path) -> Sequence[str]:
    """`sqlite3 .import` and one merge, in one transaction."""
    database = make_url(url).database or ""
    load = f'.import --csv --skip 1 "{file}" staged'
    return ["sqlite3", "-bail", database, "PRAGMA synchronous=FULL;", _TABLE, "BEGIN;", load, _MERGE, "COMMIT;"]


def postgresql_bound(url: str, file: Path) -> Sequence[str]:
    r"""`\copy` and one merge, in one transaction; the server knows how large the loaded table is."""
    target = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    load = f"\\copy staged FROM '{file}' (FORMAT csv, HEADER)"
    steps = [_TABLE, load, "ANALYZE staged;", _MERGE]
    command = [
        "psql",
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--variable=ON_ERROR_STOP=1",
        "--dbname",
        target,
    ]
    return [*command, *(part for step in steps for part in ("--command", step))]
