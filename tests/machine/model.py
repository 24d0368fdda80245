"""What a file must make of a client's users: `shared/format.md` for tests.importing.PEOPLE, row by row.

Rows are judged by themselves by `tests.reference`; what needs the stored users is decided here.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from importer.formats.columns import CLEAR
from tests.importing import NOW, PEOPLE
from tests.reference import Refused, check

Row = Mapping[str, str]
User = Mapping[str, str | None]
Users = Mapping[str, User]
Reason = tuple[str, str | None]

NOBODY: User = {"uid": None, "email": None, "user_name": None, "city": None, "level": None}
_DEFAULTS = {"level": "1"}
_UNIQUE = ("email", "user_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What must become of a file.

    Attributes:
        status: as the ledger has it.
        users: everybody, afterwards.
        told: kind and audience of its notices.
        counts: as `importer.model.Counts` names them.
        failed: row → its reasons.
    """

    status: str
    users: Users
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusal: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[int, list[Reason]] = field(default_factory=dict)


def judge(users: Users, content: bytes) -> Judged:
    """A file of that content is imported."""
    verdict = check(content, name="people.csv", format=PEOPLE, today=NOW.date())
    if isinstance(verdict, Refused):
        told = Counter([("refused", "client"), ("refused", "admin")])
        return Judged(status="refused", users=users, told=told, refusal=verdict.code)
    kept = _without_conflicts(users, verdict.accepted)
    failed = {failure.row: [*failure.reasons] for failure in verdict.failures}
    for row in verdict.accepted.keys() - kept.keys():
        taken = _taken(users, verdict.accepted[row], kept)
        failed[row] = [("duplicate_user", column) for column in taken]
    after, became = _merged(users, kept)
    counts = {"accepted": len(kept), "failed": len(failed), "blank": verdict.blank, **became}
    is_told = failed or ("may_be_cut", None) in verdict.warnings
    return Judged(
        status="imported",
        users=after,
        told=Counter([("imported", "client")] if is_told else []),
        counts={"records": len(kept) + len(failed) + verdict.blank, **counts},
        failed=failed,
    )


def quarantined(users: Users) -> Judged:
    """A file is set aside."""
    return Judged(status="quarantined", users=users, told=Counter([("quarantined", "admin")]))


def _without_conflicts(users: Users, accepted: Mapping[int, Row]) -> Mapping[int, Row]:
    """The rows left when no row wants what another user keeps; each that falls may make others fall."""
    kept = accepted
    while fallen := [row for row, values in kept.items() if _taken(users, values, kept)]:
        kept = {row: values for row, values in kept.items() if row not in fallen}
    return kept


def _taken(users: Users, wanted: Row, kept: Mapping[int, Row]) -> list[str]:
    """The columns whose value in the row another user has, and no kept row gives that user another one."""
    given_up = {(values["uid"], column) for values in kept.values() for column in values}
    return [
        column
        for column in _UNIQUE
        if wanted.get(column, CLEAR) != CLEAR
        for uid, user in users.items()
        if uid != wanted["uid"]
        and _compared(column, user[column]) == _compared(column, wanted[column])
        and (uid, column) not in given_up
    ]


def _compared(column: str, value: str | None) -> str | None:
    return value.lower() if value is not None and column == "email" else value


def _merged(users: Users, rows: Mapping[int, Row]) -> tuple[Users, Mapping[str, int]]:
    after = dict(users)
    new = {**NOBODY, **_DEFAULTS}
    became = Counter(inserted=0, updated=0, unchanged=0)
    for values in rows.values():
        given = {name: _DEFAULTS.get(name) if value == CLEAR else value for name, value in values.items()}
        stored = users.get(values["uid"])
        after[values["uid"]] = {**(new if stored is None else stored), **given}
        became["inserted" if stored is None else "unchanged" if stored == after[values["uid"]] else "updated"] += 1
    return after, became
