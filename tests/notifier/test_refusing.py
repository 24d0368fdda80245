"""Whose a refusal is: ours, of a recipient, or not known before others were tried."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.model import Dead, Failure, FailureMeaning, Later, Misconfigured, Refused, Shrink, Stage
from notifier.refusing import (
    Standing,
    Way,
    enhanced_in,
    is_put_off,
    judged,
    way_of,
    with_refused,
    with_taken,
)
from notifier.retrying import classify
from tests.mailing import NOW

OURS, OPEN, THEIRS = Refused(ours=True), Refused(ours=False), Dead()
LATER = Later(server=False)
SENDER, RECIPIENT, CONTENT = Stage.SENDER, Stage.RECIPIENT, Stage.CONTENT
WAY = way_of("admin@parking.example", "ana@client.example")

REPLIES: list[tuple[Stage, str, FailureMeaning]] = [
    # Postfix, which keeps what it has against a name or a sender until a recipient is named.
    (RECIPIENT, "554 5.7.1 <ana@client.example>: Relay access denied", OPEN),
    (RECIPIENT, "454 4.7.1 <ana@client.example>: Relay access denied", LATER),
    (RECIPIENT, "553 5.7.1 <admin@x.example>: Sender address rejected: not owned by user robot", OPEN),
    (RECIPIENT, "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", Misconfigured()),
    (Stage.HELLO, "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", Misconfigured()),
    (Stage.HELLO, "550 5.7.1 Helo command rejected: you are not me", Misconfigured()),
    (Stage.HELLO, "421 4.3.2 shutting down", Later(server=True)),
    (Stage.CONNECT, "554 5.7.1 Client host rejected: Access denied", Misconfigured()),
    (Stage.CONNECT, "554 no service here", Later(server=True)),
    (RECIPIENT, "550 5.1.1 <ana@client.example>: Recipient address rejected: User unknown", THEIRS),
    (RECIPIENT, "550 5.1.1 <ana@client.example> User doesn't exist", THEIRS),
    (RECIPIENT, "556 5.1.10 <ana@client.example>: Domain does not accept mail (nullMX)", THEIRS),
    (RECIPIENT, "552 5.2.2 <ana@client.example>: Mailbox full", LATER),
    (CONTENT, "554 5.2.2 Mailbox over quota", LATER),
    (RECIPIENT, "550 5.2.1 The email account that you tried to reach is disabled", THEIRS),
    (CONTENT, "552 5.3.4 Message size exceeds fixed limit", Shrink(limit=None)),
    (CONTENT, "550 5.2.3 Message too large", Shrink(limit=None)),
    (SENDER, "553 5.7.1 Sender address rejected", OURS),
    (SENDER, "530 5.7.0 Must issue a STARTTLS command first", Misconfigured()),
    # Exchange and Microsoft 365.
    (RECIPIENT, "550 5.7.1 Unable to relay", OPEN),
    (RECIPIENT, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", OURS),
    (RECIPIENT, "550 5.7.64 TenantAttribution; Relay Access Denied", OURS),
    (SENDER, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", OURS),
    (CONTENT, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", OURS),
    (CONTENT, "554 5.2.252 SendAsDenied; admin@x.example not allowed to send as ana@x.example", OURS),
    (CONTENT, "550 5.1.8 Access denied, bad outbound sender", OURS),
    (CONTENT, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP", OURS),
    (RECIPIENT, "550 5.4.1 Recipient address rejected: Access denied", THEIRS),
    (RECIPIENT, "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup", THEIRS),
    # Gmail.
    (CONTENT, "550 5.4.5 Daily user sending limit exceeded", OURS),
    (CONTENT, "550-5.7.26 Your email has been blocked because the sender is unauthenticated", OURS),
    (CONTENT, "550-5.7.1 Our system has detected that this message is likely unsolicited mail", OPEN),
    (RECIPIENT, "550-5.1.1 The email account that you tried to reach does not exist", THEIRS),
    # Amazon SES and SendGrid, which give no enhanced code.
    (CONTENT, "554 Message rejected: Email address is not verified.", OPEN),
    (CONTENT, "550 The from address does not match a verified Sender Identity.", OPEN),
    # Others: a verdict about the content, old servers, qmail and Exim.
    (CONTENT, "550 5.7.1 This message contains spam", OPEN),
    (CONTENT, "554 5.6.0 Message cannot be converted", THEIRS),
    (RECIPIENT, "550 No such user here", OPEN),
    (RECIPIENT, "550 sorry, no mailbox here by that name. (#5.1.1)", THEIRS),
    (RECIPIENT, "550 relay not permitted", OPEN),
    (RECIPIENT, "550 5.7.17 the mailbox has another owner now", THEIRS),
]


def failure(stage: Stage, reply: str) -> Failure:
    code, said = int(reply[:3]), reply[4:]
    return Failure(stage=stage, code=code, enhanced=enhanced_in(said), text=said)


@pytest.mark.parametrize(("stage", "reply", "meaning"), REPLIES, ids=[f"{at}-{said[:40]}" for at, said, _ in REPLIES])
def test_a_reply_is_judged_by_its_codes_and_by_what_it_answers(
    stage: Stage, reply: str, meaning: FailureMeaning
) -> None:
    assert classify(failure(stage, reply)) == meaning


@given(st.sampled_from([SENDER, RECIPIENT, CONTENT]), st.integers(500, 599), st.text())
def test_no_words_decide(stage: Stage, code: int, words: str) -> None:
    plain = Failure(stage=stage, code=code)
    assert classify(Failure(stage=stage, code=code, text=words)) == classify(plain)


@pytest.mark.parametrize("said", ["4.7.1 an enhanced code of another class", "5.7", "", "see 5.1.1 of the manual"])
def test_what_is_no_enhanced_code_of_the_reply_decides_nothing(said: str) -> None:
    found = Failure(stage=RECIPIENT, code=550, enhanced=enhanced_in(said))
    assert classify(found) == OPEN


def test_the_own_domain_and_others_are_two_ways() -> None:
    assert way_of("admin@parking.example", "ana@PARKING.example") == Way(sender="admin@parking.example", is_own=True)
    assert way_of("admin@parking.example", "ana@client.example") == WAY
    assert not WAY.is_own


def test_a_refusal_for_an_unknown_reason_is_ours_when_it_hits_a_second_recipient() -> None:
    one = with_refused({}, WAY, "ana@client.example")
    assert judged(OPEN, one[WAY], None) == OPEN
    again = with_refused(one, WAY, "ana@client.example")
    assert judged(OPEN, again[WAY], NOW) == OPEN
    assert judged(OPEN, with_refused(again, WAY, "ben@client.example")[WAY], None) == OURS


def test_a_refusal_for_an_unknown_reason_is_the_recipients_when_another_mail_was_taken_since() -> None:
    later = NOW + timedelta(minutes=1)
    known = with_refused(with_taken(with_refused({}, WAY, "ana@client.example"), WAY, later), WAY, "ana@client.example")
    assert judged(OPEN, known[WAY], NOW) == THEIRS
    assert judged(OPEN, known[WAY], None) == OPEN  # it was taken before: the server may have changed its mind
    assert judged(OURS, known[WAY], NOW) == OURS


@pytest.mark.parametrize(
    ("reply", "minutes", "taken_after", "is_told"),
    [
        ("454 4.7.1 Relay access denied", 61, None, True),
        ("454 4.7.1 Relay access denied", 59, None, False),
        ("454 4.7.1 Relay access denied", 61, -1, True),
        ("454 4.7.1 Relay access denied", 61, 1, False),
        ("451 try again later", 61, None, True),
        ("452 4.2.2 mailbox full", 61, None, False),
        ("450 4.1.1 unknown as yet", 61, None, False),
    ],
)
def test_what_is_put_off_for_an_hour_while_nothing_is_taken_is_told(
    reply: str, minutes: int, taken_after: int | None, *, is_told: bool
) -> None:
    taken_at = None if taken_after is None else NOW + timedelta(minutes=taken_after)
    found, now = failure(RECIPIENT, reply), NOW + timedelta(minutes=minutes)
    assert is_put_off(found, Standing(taken_at=taken_at), created_at=NOW, now=now) == is_told


def test_what_is_said_of_one_mailbox_and_hits_every_recipient_is_ours() -> None:
    known: dict[Way, Standing] = {}
    ends = []
    for name in ("ana", "ben", "cleo"):
        known = with_refused(known, WAY, f"{name}@client.example")
        ends.append(judged(THEIRS, known[WAY], None))
    assert ends == [THEIRS, THEIRS, OURS]
