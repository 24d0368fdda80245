"""Whether the mail server refuses us, or a recipient: pure decisions over what it says and over whom it refuses.

A reply is judged by its code, its enhanced code (RFC 3463, and what large providers have added) and the command that it
answers, never by its words. Where these leave it open, the fates of other mails decide: what hits all of them alike is
about us, and what goes on while others are taken is not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from notifier.model import Dead, Failure, Later, Misconfigured, Refused, Shrink, Stage

NO_SUCH_PARAMETER = 504
"""Postfix's answer to a name in EHLO that it does not take, which it keeps until a recipient is named."""
TOO_LARGE = 552
TAKES_NO_MAIL = 556
LOGIN_NEEDED = frozenset({530, 534, 535, 538})
"""RFC 4954: the server wants a login, another one, or encryption before it; every mail meets that."""

_ENHANCED = re.compile(r"(?:^|\(#)([45])\.(\d{1,3})\.(\d{1,3})\b")

_OURS = frozenset({(1, 7), (1, 8), (2, 252), (4, 5)})
"""The sender's address, its right to it, and the day's quota."""
_THEIRS = frozenset(
    {(1, 1), (1, 2), (1, 3), (1, 4), (1, 6), (1, 10), (2, 1), (2, 4), (4, 1), (4, 4), (4, 6), (7, 17), (7, 18)}
)
"""The mailbox does not exist, is closed, has moved or belongs to somebody else, or its domain takes no mail."""
_MAILBOX = 2
_MAILBOX_FULL = (2, 2)
_TOO_LARGE = frozenset({(2, 3), (3, 4)})
_CONTENT, _POLICY = 6, 7
_FIRST_OF_LOGIN = 8
"""From 5.7.8 on, codes of policy name what they mean: the login, the sender, its host or its tenant."""
_RECIPIENTS_RULES = range(120, 140)
"""Microsoft: whom a mailbox or a group lets write to it."""

HOLD = timedelta(minutes=15)
"""The pause between two tries of mails that are refused for our sake."""
PUT_OFF_AFTER = timedelta(hours=1)
"""Longer than greylisting lasts."""
SPREAD = 2
"""Recipients in a row that are refused for an unknown reason, before it is about us."""
WIDE_SPREAD = 3
"""The same of recipients that are refused as unknown."""


def enhanced_in(said: str) -> str | None:
    """The enhanced code with which a reply begins, or that it ends with as qmail writes it: (#5.1.1)."""
    found = _ENHANCED.search(said)
    return None if found is None else ".".join(found.groups())


def is_permanent(code: int | None) -> bool:
    """Whether a reply says that trying again will not help."""
    return code is not None and 500 <= code < 600


def refusal(failure: Failure) -> Refused | Dead | Misconfigured | Later | Shrink:
    """What a 5xx means that answers MAIL, RCPT, DATA or the content."""
    if failure.code in LOGIN_NEEDED or failure.code == NO_SUCH_PARAMETER:
        return Misconfigured()
    subject = _subject(failure)
    before_content = failure.stage is Stage.RECIPIENT
    if subject == _MAILBOX_FULL or (failure.code == TOO_LARGE and before_content):  # RFC 5321, 4.5.3.1.10
        return Later(server=False)
    if (subject in _TOO_LARGE or failure.code == TOO_LARGE) and not before_content:
        return Shrink(limit=failure.limit)
    if failure.stage is Stage.SENDER or _is_ours(subject):
        return Refused(ours=True)
    return Dead() if failure.code == TAKES_NO_MAIL or _is_theirs(subject) else Refused(ours=False)


def _subject(failure: Failure) -> tuple[int, int]:
    """The last two numbers of the enhanced code; 0.0, which means nothing, where there is none of that class."""
    numbers = [int(number) for number in (failure.enhanced or "").split(".") if number]
    return (numbers[1], numbers[2]) if numbers and numbers[0] == (failure.code or 0) // 100 else (0, 0)


def _is_ours(subject: tuple[int, int]) -> bool:
    area, number = subject
    named = area == _POLICY and number >= _FIRST_OF_LOGIN and number not in _RECIPIENTS_RULES
    return subject in _OURS or (named and subject not in _THEIRS)


def _is_theirs(subject: tuple[int, int]) -> bool:
    area, number = subject
    return subject in _THEIRS or area == _CONTENT or (area == _POLICY and number in _RECIPIENTS_RULES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What servers relay by: who sends, and whether the recipient is in the sender's own domain."""

    sender: str
    is_own: bool


def way_of(sender: str, recipient: str) -> Way:
    """The way of a mail."""
    return Way(sender=sender, is_own=_domain(sender) == _domain(recipient))


def _domain(address: str) -> str:
    return address.rpartition("@")[2].casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a way stands.

    Attributes:
        taken_at: when the server last took a mail of it.
        refused: the recipients that it has refused since.
        told: the clients, or empty for the service, of whose alert that is a part.
        held_from: since when one mail of it is tried at a time, with a pause; None where all are.
    """

    taken_at: datetime | None = None
    refused: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    held_from: datetime | None = None


Standings = Mapping[Way, Standing]


def with_refused(standings: Standings, way: Way, recipient: str) -> dict[Way, Standing]:
    """The standings after a recipient was refused."""
    known = standings.get(way, Standing())
    return {**standings, way: replace(known, refused=known.refused | {recipient})}


def with_told(standings: Standings, way: Way, client: str, held_from: datetime | None) -> dict[Way, Standing]:
    """The standings after the alert of a client was opened, and others like the refused mail are held back."""
    known = standings.get(way, Standing())
    return {**standings, way: replace(known, told=known.told | {client}, held_from=held_from or known.held_from)}


def held_until(standing: Standing, *, created_at: datetime, due_at: datetime, now: datetime) -> datetime | None:
    """Until when a mail of a way waits for another to be taken; None where it is to be tried.

    A mail that was made due after the pause began, though it is older, is one that somebody wants to be tried.
    """
    since = standing.held_from
    if since is None or created_at <= since < due_at <= now:
        return None
    until = since + HOLD
    return until if since <= now < until else None


def all_told(standings: Standings) -> frozenset[str]:
    """The clients whose alert is to last."""
    return frozenset(client for standing in standings.values() for client in standing.told)


def with_taken(standings: Standings, way: Way, at: datetime) -> dict[Way, Standing]:
    """The standings after a mail was taken."""
    return {**standings, way: Standing(taken_at=at)}


def judged(end: Refused | Dead, standing: Standing, refused_since: datetime | None) -> Refused | Dead:
    """What a refusal means, by what became of others on the same way.

    Args:
        end: what it means by itself.
        standing: of its way, with this refusal.
        refused_since: when this mail was refused first; None where that was now.
    """
    match end:
        case Dead():
            return Refused(ours=True) if len(standing.refused) >= WIDE_SPREAD else end
        case Refused(ours=True):
            return end
        case Refused():
            if is_refuted(standing, refused_since):
                return Dead()
            return Refused(ours=len(standing.refused) >= SPREAD)
        case _:
            assert_never(end)


def is_put_off(failure: Failure, standing: Standing, *, created_at: datetime, now: datetime) -> bool:
    """Whether a 4xx has lasted so long that it may be about us: Postfix says 454 where it does not relay.

    A mailbox that is full or busy is not, nor is a server that takes other mails meanwhile.
    """
    is_alone = standing.taken_at is not None and standing.taken_at >= created_at
    subject = _subject(failure)
    is_of_mailbox = subject[0] == _MAILBOX or _is_theirs(subject)
    return failure.code is not None and not (is_alone or is_of_mailbox) and now - created_at >= PUT_OFF_AFTER


def is_refuted(standing: Standing, refused_since: datetime | None) -> bool:
    """Whether the server took another mail of this way after it had refused this one."""
    return refused_since is not None and standing.taken_at is not None and standing.taken_at > refused_since
