"""Large files of invented people, for measuring."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.generate.values import CITIES, FIRST_NAMES, LAST_NAMES, PROVINCES, STREETS

COLUMNS = (
    "unique_id,login_source,first_name,middle_name,last_name,user_name,email,user_type_id,street,city,province,"
    "postal_code,phone_cell,employ_no,employee_phone,student_no,student_phone,driver_licence_num,driver_licence_prov,"
    "date_of_birth"
)
CHUNK_RECORDS = 20_000

Change = Callable[[str], str]

STRUCTURE: tuple[Change, ...] = (
    lambda record: record.rpartition(",")[0],
    lambda record: record + ",x",
    lambda record: record.replace(",OPSCOM,", ',"OPSCOM,', 1),
    lambda record: record.replace(",OPSCOM,", ',"OPSCOM"x,', 1),
    lambda record: record.replace(",OPSCOM,", ",OPSCOM\0,", 1),
    lambda record: record.replace(",OPSCOM,", ",OPSCOM\udcff,", 1),
    lambda _: COLUMNS,
)
CONTENT: tuple[Change, ...] = (
    lambda record: record.replace(",OPSCOM,", ",,", 1),
    lambda record: record.replace(",OPSCOM,", ",NOWHERE,", 1),
    lambda record: record.replace("@", "", 1),
    lambda record: record.replace(",OPSCOM,", f",OPSCOM,{'x' * 51}", 1),
    lambda record: record.replace(",OPSCOM,", ",OPSCOM,\x07", 1),
    lambda record: record[:-10] + "2001-02-29",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """How many records of a big file fail, by their structure and by one bad value."""

    structure: int
    content: int


def big_file(path: Path, records: int, broken_share: float, *, seed: int = 0) -> Planted:
    """Write a clean file of 20 columns, about 240 bytes a record, in which a share of the records are broken.

    Line ends are CRLF; 1 % of the records hold LF inside a quoted cell. Half of the broken records (rounded down) are
    broken in structure, each costing just itself; the others have one bad value. The header is not among `records`.
    """
    structure, content = planned(records, broken_share, seed=seed)
    changes = structure | content
    people = (changes[at](person(at)) if at in changes else person(at) for at in range(records))
    with path.open("wb") as file:
        file.write(f"{COLUMNS}\r\n".encode())
        while chunk := "\r\n".join(islice(people, CHUNK_RECORDS)):
            file.write(f"{chunk}\r\n".encode("utf-8", "surrogateescape"))
    return Planted(structure=len(structure), content=len(content))


def planned(records: int, broken_share: float, *, seed: int = 0) -> tuple[dict[int, Change], dict[int, Change]]:
    """Which records such a file breaks, and how: in their structure, and by one bad value."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    broken = sorted(rng.sample(range(records), round(records * broken_share)))
    rng.shuffle(broken)
    half = len(broken) // 2
    structure = {at: STRUCTURE[place % len(STRUCTURE)] for place, at in enumerate(broken[:half])}
    content = {at: CONTENT[place % len(CONTENT)] for place, at in enumerate(broken[half:])}
    return structure, content


def person(n: int) -> str:
    """The n-th person, as a record without its line end; always the same, spread by odd multipliers."""
    first, last = FIRST_NAMES[n * 7 % 26], LAST_NAMES[n * 11 % 26]
    city, province = CITIES[n * 5 % 8], PROVINCES[n * 3 % 8]
    street = f'"{n % 900} {STREETS[n % 6]}\nApt {n % 70}, Door B"' if n % 100 == 50 else f"{n % 9000} {STREETS[n % 6]}"
    return (
        f"U{n:09},OPSCOM,{first},{FIRST_NAMES[n % 26]},{last},user.{n:09},person.{n:09}@students.example.edu,,"
        f"{street},{city},{province},K{n % 10}A {n % 9}B{n % 7},+1 613 555 {n % 10000:04},E{n:09},"
        f"+1 613 556 {n % 10000:04},{n:012},+1 613 557 {n % 10000:04},D{n * 7919 % 10**10:010},{province},"
        f"{1960 + n % 45}-{n % 12 + 1:02}-{n % 28 + 1:02}"
    )
