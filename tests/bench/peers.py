"""What else reads and validates such files, each as a process of its own: `python -m tests.bench.peers NAME FILE`.

The peers are not needed for anything else, and any of them may be missing. Each is used as its documentation says
that files with broken rows are read. With a third argument, the rows it would hand on are written there, for judging.
"""

import csv
import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9]+)+$"
PROVINCE = ("ON", "QC", "NS", "MB", "NB", "BC", "AB", "SK")
CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
LONGEST = {
    "login_source": 20,
    "email": 100,
    "street": 100,
    "province": 2,
    "postal_code": 20,
    "phone_cell": 30,
    "employee_phone": 30,
    "student_phone": 30,
    "driver_licence_prov": 2,
    "date_of_birth": 10,
}
USUAL_LENGTH = 50
Rows = Iterable[Sequence[str | None]]


def names_of(path: Path) -> list[str]:
    """The header: what would import the generator would not be measured alone."""
    with path.open(encoding="utf-8") as file:
        return next(file).strip().split(",")


def with_polars(path: Path) -> Rows:
    """The bound: polars' reader and nothing else. It reads a file whole or not at all."""
    return _polars_frame(path).iter_rows()  # type: ignore[no-any-return]


def _polars_frame(path: Path) -> Any:  # noqa: ANN401 - a peer may be missing
    polars = importlib.import_module("polars")
    return polars.read_csv(path, schema=dict.fromkeys(names_of(path), polars.String()))


def with_duckdb(path: Path) -> Rows:
    duckdb = importlib.import_module("duckdb")
    connection = duckdb.connect()
    connection.execute(
        "create table users as select * from read_csv(?, auto_detect = false, delim = ',', quote = '\"',"
        " escape = '\"', header = true, columns = ?, store_rejects = true, strict_mode = true)",
        [str(path), dict.fromkeys(names_of(path), "VARCHAR")],
    )
    connection.execute("select count(*), min(line) from reject_errors").fetchall()
    found = connection.execute("select * from users")
    return iter(found.fetchone, None)


def with_pyarrow(path: Path) -> Rows:
    """As Latin-1: its handler of invalid rows cannot be told of a row that is not UTF-8."""
    pyarrow, reader = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.csv")
    invalid = []

    def skip(row: Any) -> str:  # noqa: ANN401
        invalid.append(row.number)
        return "skip"

    table = reader.read_csv(
        path,
        read_options=reader.ReadOptions(encoding="latin1"),
        parse_options=reader.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        convert_options=reader.ConvertOptions(column_types=dict.fromkeys(names_of(path), pyarrow.string())),
    )
    return (
        [cell.encode("latin1").decode("utf-8", "surrogateescape") for cell in row.values()]
        for batch in table.to_batches(max_chunksize=10_000)
        for row in batch.to_pylist()
    )


def with_pydantic(path: Path) -> Rows:
    return importlib.import_module("tests.bench.row_by_row").accepted(path)  # type: ignore[no-any-return]


def with_dataframely(path: Path) -> Rows:
    """A schema over polars' reader."""
    dataframely = importlib.import_module("dataframely")
    own = {
        "unique_id": dataframely.String(primary_key=True, min_length=1, max_length=50),
        "login_source": dataframely.String(regex="^OPSCOM$"),
        "email": dataframely.String(nullable=True, unique=True, max_length=100, regex=ADDRESS),
        "user_name": dataframely.String(nullable=True, unique=True, max_length=50),
        "province": dataframely.String(nullable=True, regex=f"^({'|'.join(PROVINCE)})$"),
        "driver_licence_prov": dataframely.String(nullable=True, regex=f"^({'|'.join(PROVINCE)})$"),
        "date_of_birth": dataframely.String(
            nullable=True, check=lambda text: text.str.to_date("%Y-%m-%d", strict=False).is_not_null()
        ),
    }
    columns = {
        name: own.get(name)
        or dataframely.String(
            nullable=True, max_length=LONGEST.get(name, USUAL_LENGTH), check=lambda text: ~text.str.contains(CONTROL)
        )
        for name in names_of(path)
    }
    schema = type("User", (dataframely.Schema,), columns)
    good, failures = schema.filter(_polars_frame(path))  # type: ignore[attr-defined]
    failures.counts()
    return good.iter_rows()  # type: ignore[no-any-return]


def with_frictionless(path: Path) -> Rows:
    frictionless = importlib.import_module("frictionless")
    rules: dict[str, dict[str, Any]] = {
        "unique_id": {"required": True, "unique": True},
        "login_source": {"required": True, "enum": ["OPSCOM"]},
        "email": {"pattern": ADDRESS.strip("^$"), "unique": True},
        "user_name": {"unique": True},
        "province": {"enum": [*PROVINCE]},
        "driver_licence_prov": {"enum": [*PROVINCE]},
    }
    *names, born = names_of(path)
    fields = [
        {
            "name": name,
            "type": "string",
            "constraints": {"maxLength": LONGEST.get(name, USUAL_LENGTH), **rules.get(name, {})},
        }
        for name in names
    ]
    schema = frictionless.Schema.from_descriptor({"fields": [*fields, {"name": born, "type": "date"}]})
    resource = frictionless.Resource(path.name, basepath=str(path.parent), schema=schema, encoding="utf-8")
    with resource:
        return [
            [str(cell) if cell is not None else "" for cell in row.values()] for row in resource.row_stream if row.valid
        ]


PEERS: dict[str, Callable[[Path], Rows]] = {
    "polars": with_polars,
    "duckdb": with_duckdb,
    "pyarrow": with_pyarrow,
    "pydantic": with_pydantic,
    "dataframely": with_dataframely,
    "frictionless": with_frictionless,
}


def _write(names: list[str], rows: Rows, path: Path) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows(chain([names], rows))


def main(name: str, file: str, rows_to: str | None = None) -> None:
    rows = PEERS[name](Path(file))
    if rows_to is not None:
        _write(names_of(Path(file)), rows, Path(rows_to))


if __name__ == "__main__":
    main(*sys.argv[1:])
