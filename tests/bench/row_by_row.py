"""What one writes first: Python's csv, a model of a row, and sets for what must be unique."""

import csv
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PastDate

ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9]+)+$"
NO_CONTROLS = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
UNIQUE = {"unique_id": 0, "user_name": 5, "email": 6}

Text = Annotated[str, Field(max_length=50, pattern=NO_CONTROLS)]
Phone = Annotated[str, Field(max_length=30, pattern=NO_CONTROLS)]
Province = Literal["ON", "QC", "NS", "MB", "NB", "BC", "AB", "SK"]


class User(BaseModel):
    """A row of the measured file."""

    unique_id: Annotated[str, Field(min_length=1, max_length=50, pattern=NO_CONTROLS)]
    login_source: Literal["OPSCOM"]
    first_name: Text
    middle_name: Text
    last_name: Text
    user_name: Text
    email: Annotated[str, Field(max_length=100, pattern=ADDRESS)]
    user_type_id: Text
    street: Annotated[str, Field(max_length=100, pattern=NO_CONTROLS)]
    city: Text
    province: Province
    postal_code: Annotated[str, Field(max_length=20, pattern=NO_CONTROLS)]
    phone_cell: Phone
    employ_no: Text
    employee_phone: Phone
    student_no: Text
    student_phone: Phone
    driver_licence_num: Text
    driver_licence_prov: Province
    date_of_birth: PastDate


def accepted(path: Path) -> list[list[str]]:
    """The rows that pass."""
    names = [*User.model_fields]
    seen: dict[str, set[str]] = {name: set() for name in UNIQUE}
    good: list[list[str]] = []
    failed: list[int] = []
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for number, cells in enumerate(rows, start=2):
            if _is_valid(names, cells, seen):
                good.append(cells)
            else:
                failed.append(number)
    return good


def _is_valid(names: list[str], cells: list[str], seen: dict[str, set[str]]) -> bool:
    try:
        User.model_validate(dict(zip(names, cells, strict=True)))
    except ValueError:  # pydantic's ValidationError is one, and so is a wrong number of cells
        return False
    values = {name: cells[index].lower() for name, index in UNIQUE.items()}
    if any(values[name] in held for name, held in seen.items()):
        return False
    for name, held in seen.items():
        held.add(values[name])
    return True
