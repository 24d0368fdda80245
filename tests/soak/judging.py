"""What is wrong in a world: its database, folders, mails and logs against what was dropped and what the oracle says."""

import csv
import email
import email.policy
import gzip
import hashlib
import io
import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Literal

from tests.soak import oracle
from tests.soak.oracle import Judged, Users

Record = Mapping[str, Any]
Fate = Literal["whole", "cut", "replaced"]
Folder = Mapping[str, bytes]
"""Names of files → contents."""

CANARY = "kanari"
_TOKEN = re.compile(r"kanari-(?:t\d+-\d+)")
_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A file that a client has dropped.

    Attributes:
        fate: whole; cut, of which just the first bytes came; or replaced by its sender before it was taken.
    """

    client: str
    name: str
    content: bytes
    fate: Fate = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What there is.

    Attributes:
        users: every row of the table, by any order.
        ledger: every row of the table `imports`, in the order in which they were committed.
        bak: client → what lies in bak.
        waiting: client → the uploads that lie in the folder.
        left_over: what lies in working directories.
        dropped: what was dropped.
    """

    users: Sequence[Record]
    ledger: Sequence[Record]
    bak: Mapping[str, Folder]
    waiting: Mapping[str, Folder]
    left_over: Sequence[str]
    dropped: Sequence[Dropped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What else there is when the service has ended well.

    Attributes:
        notices: the facts of every notice.
        mails: those that the mail server took.
        recipients: address → client.
        unsent: numbers of mails that were not sent.
        alerts: kinds of those that are not over.
        log: every line of every run.
        processes: of the service, that still run.
    """

    notices: Sequence[Record] = ()
    mails: Sequence[bytes] = ()
    recipients: Mapping[str, str] = field(default_factory=dict)
    unsent: Sequence[int] = ()
    alerts: Sequence[str] = ()
    log: Sequence[str] = ()
    processes: Sequence[str] = ()


def wrong(world: World) -> list[str]:
    """What is wrong at a quiet point, when all that was dropped has reached its end; nothing where all is well."""
    judged, users = _replayed(world)
    return [
        *_wrong_files(world),
        *_wrong_bak(world),
        *_wrong_counts(world, judged),
        *_wrong_users(world, users),
        *_wrong_reports(world, judged),
    ]


def wrong_at_the_end(world: World, ending: Ending) -> list[str]:
    """The same when the service has ended, with its mails, alerts, log and processes."""
    return [
        *wrong(world),
        *_untold(world, ending.notices),
        *_wrong_mails(world, ending),
        *(f"not sent: mail {number}" for number in ending.unsent),
        *(f"an alert is not over: {kind}" for kind in ending.alerts),
        *wrong_log(ending.log),
        *(f"a process is left: {process}" for process in ending.processes),
    ]


def wrong_log(lines: Sequence[str]) -> list[str]:
    """Lines that are neither JSON nor meant for a terminal, or hold a cell or an address."""
    found = []
    for line in lines:
        if not line.startswith(("{", "userdrop: ")):
            found.append(f"log: neither JSON nor a message: {line}")
        elif line.startswith("{") and not _is_json(line):
            found.append(f"log: no JSON: {line}")
        if CANARY in line.lower() or "@" in line:
            found.append(f"log: a cell or an address: {line}")
    return found[:_MOST_SHOWN]


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _replayed(world: World) -> tuple[dict[str, Judged], Mapping[str, Users]]:
    """Claim → what it must have become, and client → the users that there must be."""
    users: defaultdict[str, Users] = defaultdict(dict)
    judged = {}
    for entry in world.ledger:
        content = world.bak.get(entry["client"], {}).get(entry["archive"])
        if entry["status"] in ("imported", "refused") and content is not None:
            claim = entry["claim_id"]
            judged[claim] = oracle.judge(users[entry["client"]], entry["file"], content, claim)
    return judged, users


def _wrong_files(world: World) -> Iterator[str]:
    """Each file that was dropped must be in the ledger once, or still wait; nothing else may be there."""
    cut = {(drop.client, drop.name): drop.content for drop in world.dropped if drop.fate == "cut"}
    whole = Counter((drop.client, _hash(drop.content)) for drop in world.dropped if drop.fate == "whole")
    names = {(drop.client, _hash(drop.content)): drop.name for drop in world.dropped if drop.fate == "whole"}
    taken = Counter(
        (entry["client"], _taken_hash(world, entry))
        for entry in world.ledger
        if (entry["client"], entry["file"]) not in cut and not _was_replaced(entry)
    )
    yield from _wrongly_replaced(world)
    waiting = Counter(
        (client, _hash(content))
        for client, folder in world.waiting.items()
        for name, content in folder.items()
        if (client, name) not in cut
    )
    for (client, sha), times in (whole - taken - waiting).items():
        yield f"lost: {client} {names[client, sha]} ({times} times)"
    for (client, sha), times in (taken + waiting - whole).items():
        yield f"too often: {client} {names.get((client, sha), sha)} ({times} times more than dropped)"
    for (client, _), times in waiting.items():
        yield f"still waits: {client} ({times} files)"
    yield from _wrong_cuts(world, cut)
    yield from (f"left over: {path}" for path in world.left_over)


def _was_replaced(entry: Record) -> bool:
    """Whether the entry is about an upload that a newer one of its name has replaced before it was taken."""
    return bool(entry["status"] == "superseded" and not entry["archive"])


def _wrongly_replaced(world: World) -> Iterator[str]:
    """No more uploads are called replaced than were."""
    were = Counter((drop.client, drop.name) for drop in world.dropped if drop.fate == "replaced")
    called = Counter((entry["client"], entry["file"]) for entry in world.ledger if _was_replaced(entry))
    for (client, name), times in (called - were).items():
        yield f"not replaced: {client} {name} ({times} times called so)"


def _taken_hash(world: World, entry: Record) -> str:
    """The hash of what was taken: a file that gave way to a newer one before it was copied is only in bak."""
    archived = world.bak.get(entry["client"], {}).get(entry["archive"], b"")
    return _hash(archived) if entry["status"] == "superseded" and not entry["sha256"] else str(entry["sha256"])


def _wrong_cuts(world: World, cut: Mapping[tuple[str, str], bytes]) -> Iterator[str]:
    """Of a cut upload the first bytes lie there, or in bak."""
    for (client, name), content in cut.items():
        found = [
            *(world.bak.get(client, {}).get(entry["archive"], b"") for entry in world.ledger if entry["file"] == name),
            *(part for other, part in world.waiting.get(client, {}).items() if other == name),
        ]
        if len(found) != 1 or not content.startswith(found[0]):
            yield f"cut: {client} {name}: {len(found)} times there, or not what was sent"


def _wrong_bak(world: World) -> Iterator[str]:
    known: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for entry in world.ledger:
        client, name = entry["client"], entry["archive"]
        known[client].update(filter(None, (name, entry["report"])))
        content = world.bak.get(client, {}).get(name)
        if entry["status"] == "quarantined":
            yield f"quarantined: {client} {entry['file']}"
        elif _was_replaced(entry):
            continue
        elif content is None:
            yield f"not in bak: {client} {name}"
        elif _hash(content) != _taken_hash(world, entry):
            yield f"changed in bak: {client} {name}"
        if entry["archived_at"] is None:
            yield f"not archived: {client} {name}"
        if entry["report"] and entry["report"] not in world.bak.get(client, {}):
            yield f"not in bak: {client} {entry['report']}"
    for client, folder in world.bak.items():
        yield from (f"unknown in bak: {client} {name}" for name in sorted(folder.keys() - known[client].keys()))
    for client, names in known.items():
        yield from (f"two files of the ledger: {client} {name}" for name, times in names.items() if times > 1)


def _wrong_counts(world: World, judged: Mapping[str, Judged]) -> Iterator[str]:
    for entry in world.ledger:
        claim = entry["claim_id"]
        if entry["accepted"] + entry["failed"] + entry["blank"] != entry["records"]:
            yield f"counts: {claim}: accepted + failed + blank is not records"
        if claim not in judged:
            continue
        must = judged[claim]
        status = "refused" if must.refusal else "imported"
        if (entry["status"], entry["refusal_code"]) != (status, must.refusal):
            yield f"status: {claim} {entry['file']}: {entry['status']} {entry['refusal_code']}, not {must.refusal}"
        expected = {
            "records": must.records,
            "accepted": must.accepted,
            "failed": len(must.failed),
            "blank": must.blank,
            "inserted": must.inserted,
            "updated": must.updated,
        }
        found = {name: entry[name] for name in expected}
        if found != expected:
            yield f"counts: {claim} {entry['file']}: {found}, not {expected}"
        reasons = _json(entry["reasons"])
        given = Counter({(reason["code"], reason["column"]): reason["count"] for reason in reasons})
        if given != must.reasons:
            differing = f"{dict(given - must.reasons)}, not {dict(must.reasons - given)}"
            yield f"reasons: {claim} {entry['file']}: {differing}"


def _wrong_users(world: World, users: Mapping[str, Users]) -> Iterator[str]:
    found = {(user["client"], user["unique_id"]): user for user in world.users}
    if len(found) < len(world.users):
        yield f"users: {len(world.users) - len(found)} are there twice"
    expected = {(client, key): user for client, folder in users.items() for key, user in folder.items()}
    yield from (f"users: missing: {key}" for key in [*expected.keys() - found.keys()][:_MOST_SHOWN])
    yield from (f"users: nobody's: {key}" for key in [*found.keys() - expected.keys()][:_MOST_SHOWN])
    for key in sorted(expected.keys() & found.keys()):
        must = expected[key]
        is_now = {column: found[key][column] for column in must}
        if is_now != must:
            differing = [column for column in must if is_now[column] != must[column]]
            yield f"user {key}: " + ", ".join(f"{each} {is_now[each]!r}, not {must[each]!r}" for each in differing)
        address = must["email"]
        if found[key]["email_key"] != (address and address.lower()):
            yield f"user {key}: the comparison key of the address is wrong"


def _wrong_reports(world: World, judged: Mapping[str, Judged]) -> Iterator[str]:
    """Each failed row is in its file's report, once, and no other one is."""
    for entry in world.ledger:
        must = judged.get(entry["claim_id"])
        if must is None or (not must.failed and not entry["report"]):
            continue
        report = world.bak.get(entry["client"], {}).get(entry["report"] or "", b"")
        rows = Counter(int(row["import_row"]) for row in _rows(report))
        if rows != Counter(must.failed.keys()):
            differing = f"rows {sorted(rows.elements())}, not {sorted(must.failed)}"
            yield f"report: {entry['claim_id']} {entry['report']}: {differing}"


def _untold(world: World, notices: Sequence[Record]) -> Iterator[str]:
    """Who is told: of each file with failed rows and each refused one its client, once.

    Of a cut one once for each content: an upload that failed before it was cut, as on a full disk, is told as well.
    """
    told = Counter(
        notice["claim_id"] for notice in notices if notice["audience"] == "client" and notice["kind"] != "incomplete"
    )
    for entry in world.ledger:
        must_tell = entry["failed"] or entry["status"] == "refused"
        times = told[entry["claim_id"]]
        if times > 1 or (must_tell and not times):
            yield f"told {times} times: {entry['claim_id']} {entry['file']}"
    incomplete = Counter(
        (notice["client"], notice["file"])
        for notice in notices
        if notice["audience"] == "client" and notice["kind"] == "incomplete"
    )
    imported = {(entry["client"], entry["file"]) for entry in world.ledger}
    for drop in world.dropped:
        key = drop.client, drop.name
        if drop.fate == "cut" and not incomplete[key] and key not in imported:
            yield f"not told that it was cut: {drop.client} {drop.name}"


def _wrong_mails(world: World, ending: Ending) -> Iterator[str]:
    """Each failed row travels in one mail, or in several with the same Message-ID and the same content."""
    mails: dict[str, tuple[str, Counter[str]]] = {}
    for content in ending.mails:
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        this = str(message["To"]), _tokens_of(message)
        if mails.setdefault(str(message["Message-ID"]), this) != this:
            yield f"mail: {message['Message-ID']} came again with another content"
    sent: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for recipient, tokens in mails.values():
        sent[ending.recipients.get(recipient, recipient)] += tokens
    reported: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for entry in world.ledger:
        if entry["report"]:
            reported[entry["client"]] += _tokens(world.bak.get(entry["client"], {}).get(entry["report"], b""))
    for client in sorted({*sent, *reported}):
        missing, surplus = reported[client] - sent[client], sent[client] - reported[client]
        if missing:
            yield f"mail: failed rows of {client} in none: {[*missing][:_MOST_SHOWN]} ({missing.total()})"
        if surplus:
            yield f"mail: failed rows of {client} too often: {[*surplus][:_MOST_SHOWN]} ({surplus.total()})"


def _tokens_of(message: EmailMessage) -> Counter[str]:
    found: Counter[str] = Counter()
    for part in message.iter_attachments():
        content = part.get_content()
        data = content.encode() if isinstance(content, str) else content
        for each in _unzipped(data):
            found += _tokens(each)
    return found


def _unzipped(data: bytes) -> Iterator[bytes]:
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    else:
        yield data


def _tokens(report: bytes) -> Counter[str]:
    return Counter(found[0] for row in _rows(report) if (found := _TOKEN.search("\n".join(filter(None, row.values())))))


def _rows(report: bytes) -> list[dict[str, str]]:
    text = report.decode("utf-8-sig")
    separator = ";" if text.partition("\n")[0].count(";") else ","
    return [*csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: Any) -> Any:  # noqa: ANN401 - SQLite has text where PostgreSQL has a list
    return json.loads(value) if isinstance(value, str) else value
