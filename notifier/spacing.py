"""When files of which nothing was imported are told of: pure decisions over what was told of such files lately.

Who corrects a file and drops it again is to be answered at once, and so is each new reason; what a program drops at
every tick is not to fill a mailbox. Of a client and an audience the first mails of a day go out at once. After that
those about reasons that were told within the day are further and further apart, and tell together of what came
meanwhile: so such a client is 35 mails a day at most, and one for each further reason, and no file waits longer than 50
minutes. A file of which rows were imported is never held back, since its report is needed.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from importer.model import Audience, Notice, NoticeKind

REMEMBERED = timedelta(days=1)
LONGEST_HOLD = timedelta(minutes=50)
"""Less than an hour, so that who sends a bad file each hour is told of each."""

_AT_ONCE = timedelta(0)
_WAITS = {
    Audience.CLIENT: (*(5 * [_AT_ONCE]), timedelta(minutes=15), timedelta(minutes=30), LONGEST_HOLD),
    Audience.ADMIN: (_AT_ONCE, LONGEST_HOLD),
    Audience.SUCCESS: (_AT_ONCE,),
}
"""The pause after the last mail, by the number of mails of the last day; the last one goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldReason:
    """A reason that a mail has told a client or the administrator."""

    code: str
    at: datetime


def code_of(notice: Notice) -> str | None:
    """The reason for which nothing of the file was imported; None where something was."""
    if notice.kind is NoticeKind.IMPORTED:
        return None
    return f"{notice.kind.value} {notice.refusal.code}" if notice.refusal else notice.kind.value


def told_from(
    codes: Collection[str | None], told: Collection[ToldReason], audience: Audience, now: datetime
) -> datetime:
    """From when on these are told, which is now or later; `told` is of the same client and audience.

    What was told in the future was told under another clock, and is forgotten.
    """
    lately = [each for each in told if now - REMEMBERED < each.at <= now]
    if not {*codes} <= {each.code for each in lately}:
        return now
    waits = _WAITS[audience]
    mails = {each.at for each in lately}
    return max(now, max(mails) + waits[min(len(mails), len(waits) - 1)])


def news_first(notices: Iterable[Notice]) -> list[Notice]:
    """What a mail tells, in order, but behind all else what only repeats a reason: a mail tells of the first at length.

    So a report, or a new reason, does not stand behind what was told before.
    """
    news, repeats = list[Notice](), list[Notice]()
    known: set[str | None] = set()
    for notice in notices:
        code = code_of(notice)
        (repeats if code in known else news).append(notice)
        known |= {code} - {None}
    return news + repeats
