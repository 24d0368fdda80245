"""What a failed delivery means, and when the next try is: pure decisions.

The classes are those of RFC 5321 and of aiosmtplib 5.1.3, as `notifier.smtp` translates its exceptions.
"""

from datetime import datetime, timedelta

from notifier.model import Dead, Failure, Later, Misconfigured, Shrink, Stage, Verdict

FIRST_WAIT = timedelta(seconds=60)
LONGEST_WAIT = timedelta(hours=1)
MISCONFIGURED_WAIT = timedelta(minutes=15)
GIVE_UP_AFTER = timedelta(days=5)
FEWEST_TRIES = 12
"""A clock that jumps over five days must not end mails that were hardly tried; 12 tries take over six hours."""
JITTER = 0.2

LOGIN_NEEDED = frozenset({530, 534, 535, 538})
"""RFC 4954: the server wants a login, another one, or encryption before it; every mail meets that."""
TOO_LARGE = 552
_SERVER_STAGES = frozenset({Stage.CONNECT, Stage.TLS, Stage.LOGIN, Stage.SENDER, Stage.FOLDER})


def classify(failure: Failure) -> Verdict:
    """What to do with the mail whose delivery failed like this.

    A server that is silent, gone or busy is tried again. 5xx ends a mail only where the server has seen its recipient
    or content; before that it is our settings that it refuses.
    """
    if failure.stage is Stage.SIZE or (failure.code == TOO_LARGE and failure.stage in {Stage.SENDER, Stage.CONTENT}):
        return Shrink(limit=failure.limit)
    if failure.code in LOGIN_NEEDED:
        return Misconfigured()
    if failure.stage in _SERVER_STAGES:
        return _about_the_server(failure)
    return _about_the_mail(failure)


def _about_the_server(failure: Failure) -> Verdict:
    refused = _is_permanent(failure.code) and failure.stage in {Stage.TLS, Stage.LOGIN, Stage.SENDER}
    return Misconfigured() if failure.unfit or refused else Later(server=True)


def _about_the_mail(failure: Failure) -> Verdict:
    if failure.code == TOO_LARGE:  # at RCPT it is a full mailbox: RFC 5321, 4.5.3.1.10
        return Later(server=False)
    return Dead() if failure.unfit or _is_permanent(failure.code) else Later(server=False)


def _is_permanent(code: int | None) -> bool:
    return code is not None and 500 <= code < 600


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
    if not forever and tries >= FEWEST_TRIES and now - created_at >= GIVE_UP_AFTER:
        return None
    return now + wait_after(tries, jitter)
