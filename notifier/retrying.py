"""What a failed delivery means, and when the next try is: pure decisions.

The classes are those of RFC 5321 and of aiosmtplib 5.1.3, as `notifier.smtp` translates its exceptions. Whose a refusal
is, `notifier.refusing` knows.
"""

from datetime import datetime, timedelta

from notifier.model import Dead, Failure, FailureMeaning, Later, Misconfigured, Shrink, Stage
from notifier.refusing import HOLD, LOGIN_NEEDED, is_permanent, refusal

FIRST_WAIT = timedelta(seconds=60)
LONGEST_WAIT = timedelta(hours=1)
MISCONFIGURED_WAIT = timedelta(minutes=15)
REFUSED_WAIT = HOLD + timedelta(seconds=1)
"""Those that are held back meanwhile come first, so that one mail that is always refused keeps none of them."""
UNREAD_WAIT = timedelta(minutes=5)
"""How often a report that cannot be read is looked for."""
UNREAD_AT_MOST = timedelta(days=1)
"""How long a mail waits for it; then it goes out without."""
GIVE_UP_AFTER = timedelta(days=5)
FEWEST_TRIES = 12
"""A clock that jumps over five days must not end mails that were hardly tried; 12 tries take over six hours."""
JITTER = 0.2

_OF_SETTINGS = frozenset({Stage.HELLO, Stage.TLS, Stage.LOGIN})
"""Where a 5xx is about our settings."""
_OF_THE_MAIL = frozenset({Stage.RECIPIENT, Stage.SIZE, Stage.CONTENT})
_ACCESS = "5.7."


def classify(failure: Failure) -> FailureMeaning:
    """What to do with the mail whose delivery failed like this.

    A server that is silent, gone or busy is tried again. 5xx ends a mail only where the server has seen its recipient
    or content, and says that it is about these.
    """
    if failure.stage is Stage.SIZE:
        return Shrink(limit=failure.limit)
    if failure.stage in _OF_THE_MAIL or (failure.stage is Stage.SENDER and is_permanent(failure.code)):
        return _about_the_mail(failure)
    return Misconfigured() if _is_misfit(failure) else Later(server=True)


def _is_misfit(failure: Failure) -> bool:
    """Whether the server and our settings do not fit; a host that is denied access is as good as that."""
    refused = failure.stage in _OF_SETTINGS or (failure.enhanced or "").startswith(_ACCESS)
    return failure.unfit or failure.code in LOGIN_NEEDED or (is_permanent(failure.code) and refused)


def _about_the_mail(failure: Failure) -> FailureMeaning:
    if failure.unfit:
        return Dead()
    return refusal(failure) if is_permanent(failure.code) else Later(server=False)


def waits_for_report(created_at: datetime, now: datetime) -> bool:
    """Whether a mail whose report cannot be read waits for it, rather than go out without."""
    return now - created_at < UNREAD_AT_MOST


def wait_after(tries: int, jitter: float) -> timedelta:
    """The pause after that many tries (from 1): 60 s doubling to 1 h, up to a fifth shorter by `jitter` (0 to 1)."""
    doubled: timedelta = FIRST_WAIT * (1 << min(tries - 1, 6))
    return min(doubled, LONGEST_WAIT) * (1 - JITTER * jitter)


def next_try(*, tries: int, created_at: datetime, now: datetime, jitter: float, forever: bool) -> datetime | None:
    """When a mail that failed `tries` times is tried again, or None to give it up.

    Args:
        tries: the failed one included.
        created_at: five days later it is given up.
        now: the present, UTC.
        jitter: 0 to 1.
        forever: for the administrator's own address, which is never given up.
    """
    if is_given_up(tries=tries, created_at=created_at, now=now, forever=forever):
        return None
    return now + wait_after(tries, jitter)


def is_given_up(*, tries: int, created_at: datetime, now: datetime, forever: bool) -> bool:
    """Whether a mail that failed `tries` times is tried no more; the arguments are those of `next_try`."""
    return not forever and tries >= FEWEST_TRIES and now - created_at >= GIVE_UP_AFTER
