"""Which failure means what, and when the next try is."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.model import Dead, Failure, FailureMeaning, Later, Misconfigured, Refused, Shrink, Stage
from notifier.retrying import GIVE_UP_AFTER, LONGEST_WAIT, classify, next_try, wait_after
from tests.mailing import NOW

SERVER, MAIL = Later(server=True), Later(server=False)


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (Failure(stage=Stage.CONNECT), SERVER),
        (Failure(stage=Stage.CONNECT, code=421), SERVER),
        (Failure(stage=Stage.CONNECT, code=554), SERVER),
        (Failure(stage=Stage.TLS, unfit=True), Misconfigured()),
        (Failure(stage=Stage.TLS, code=454), SERVER),
        (Failure(stage=Stage.TLS, code=502), Misconfigured()),
        (Failure(stage=Stage.LOGIN, code=535), Misconfigured()),
        (Failure(stage=Stage.LOGIN, code=454), SERVER),
        (Failure(stage=Stage.LOGIN, unfit=True), Misconfigured()),
        (Failure(stage=Stage.SENDER, code=452), SERVER),
        (Failure(stage=Stage.SENDER, code=550), Refused(ours=True)),
        (Failure(stage=Stage.SENDER, code=530), Misconfigured()),
        (Failure(stage=Stage.SENDER, code=552), Shrink(limit=None)),
        (Failure(stage=Stage.SIZE, limit=100), Shrink(limit=100)),
        (Failure(stage=Stage.RECIPIENT, code=450), MAIL),
        (Failure(stage=Stage.RECIPIENT, code=550), Refused(ours=False)),
        (Failure(stage=Stage.RECIPIENT, code=550, enhanced="5.1.1"), Dead()),
        (Failure(stage=Stage.RECIPIENT, code=552), MAIL),
        (Failure(stage=Stage.RECIPIENT, code=530), Misconfigured()),
        (Failure(stage=Stage.RECIPIENT, unfit=True), Dead()),
        (Failure(stage=Stage.CONTENT), MAIL),
        (Failure(stage=Stage.CONTENT, code=451), MAIL),
        (Failure(stage=Stage.CONTENT, code=552), Shrink(limit=None)),
        (Failure(stage=Stage.CONTENT, code=554), Refused(ours=False)),
        (Failure(stage=Stage.FOLDER), SERVER),
    ],
)
def test_a_failure_is_classified(failure: Failure, verdict: FailureMeaning) -> None:
    assert classify(failure) == verdict


@given(st.sampled_from(Stage), st.integers(400, 499))
def test_no_4xx_ever_ends_a_mail(stage: Stage, code: int) -> None:
    assert not isinstance(classify(Failure(stage=stage, code=code)), Dead)


@given(
    st.sampled_from([Stage.CONNECT, Stage.HELLO, Stage.TLS, Stage.LOGIN, Stage.SENDER, Stage.FOLDER]),
    st.integers(400, 599),
)
def test_nothing_before_the_recipient_ever_ends_a_mail(stage: Stage, code: int) -> None:
    assert not isinstance(classify(Failure(stage=stage, code=code)), Dead)


def test_waits_double_from_a_minute_to_an_hour() -> None:
    minutes = [wait_after(tries, jitter=0) / timedelta(minutes=1) for tries in range(1, 10)]
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_jitter_shortens_a_wait_by_a_fifth_at_most(tries: int, jitter: float) -> None:
    full = wait_after(tries, jitter=0)
    assert full * 0.8 <= wait_after(tries, jitter=jitter) <= full <= LONGEST_WAIT


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_a_mail_is_given_up_after_five_days_and_170_tries_at_most(jitter: float) -> None:
    now, tries = NOW, 0
    while True:
        tries += 1
        at = next_try(tries=tries, created_at=NOW, now=now, jitter=jitter, forever=False)
        if at is None:
            break
        now = at
    assert GIVE_UP_AFTER <= now - NOW < GIVE_UP_AFTER + LONGEST_WAIT
    assert tries <= 170


def test_the_administrators_own_address_is_never_given_up() -> None:
    late = NOW + timedelta(days=400)
    assert next_try(tries=9_999, created_at=NOW, now=late, jitter=0, forever=True) == late + LONGEST_WAIT


def test_a_clock_that_jumps_does_not_end_a_mail_that_was_tried_once() -> None:
    assert next_try(tries=1, created_at=NOW, now=NOW + timedelta(days=365), jitter=0, forever=False) is not None
