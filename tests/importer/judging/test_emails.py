"""What is taken for an e-mail address: the subset that `addresses.EMAIL` states, against email-validator."""

import email_validator
import polars as pl
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from importer.formats.addresses import EMAIL, EMAIL_LIMITS

ADDRESSES = [
    "a@b.ca",
    "ana.martin@example.edu",
    "ana+parking/lot=7@example.org",
    "!#$%&'*+-/=?^_`.{|}~@example.com",
    "1234567890@example.com",
    "o'brien@sub.domain.example.co",
    "x@1.example",
    "zoë.müller@exämple.de",
    "राम@उदाहरण.परीक्षा",
    "名前@例え.テスト",
    f"{'l' * 64}@example.com",
    f"a@{'d' * 63}.com",
    f"a@{'.'.join(['d' * 60] * 3)}.{'e' * 60}.com",
    "a@xn--exmple-cua.de",
]
NO_ADDRESSES = [
    "",
    "ana",
    "ana@",
    "@example.com",
    "ana@example",
    "ana@@example.com",
    "ana@x@example.com",
    "ana martin@example.com",
    "ana@exam ple.com",
    "ana@example.com.",
    "ana@.example.com",
    "ana@example..com",
    ".ana@example.com",
    "ana.@example.com",
    "a..b@example.com",
    "ana@-example.com",
    "ana@example-.com",
    "ana@exam_ple.com",
    "ana@example.123",
    "ana@192.0.2.1",
    "ana@[192.0.2.1]",
    '"ana martin"@example.com',
    "Ana <ana@example.com>",
    "ana(work)@example.com",
    "ana,ben@example.com",
    "ana;ben@example.com",
    "ana\u200b@example.com",
    "ana\n@example.com",
    f"{'l' * 65}@example.com",
    f"a@{'d' * 64}.com",
    f"{'l' * 60}@{'.'.join(['d' * 60] * 3)}.example.com",
]


def is_taken(address: str) -> bool:
    text = pl.Series([address])
    return bool((text.str.contains(EMAIL) & ~text.str.contains(EMAIL_LIMITS))[0])


def is_valid(address: str) -> bool:
    """By email-validator, which also refuses names that are reserved or that no IDNA label may hold."""
    try:
        email_validator.validate_email(address, check_deliverability=False, test_environment=True, strict=True)
    except email_validator.EmailNotValidError:
        return False
    return True


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_taken(address: str) -> None:
    assert is_taken(address)


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_address_is_not_taken(address: str) -> None:
    assert not is_taken(address)


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_nothing_is_refused_here_that_email_validator_takes(address: str) -> None:
    assert not is_valid(address)


@given(st.from_regex(r"\A[a-z.!+'-]{1,8}@[a-z.-]{1,12}\Z") | st.emails())
@example("ana@example.com")
def test_plain_addresses_are_judged_as_email_validator_judges_them(address: str) -> None:
    domain = address.partition("@")[2].lower()
    assume("--" not in domain)  # IDNA reserves some of these, which a user file need not know
    assume(not f".{domain}".endswith(tuple(f".{name}" for name in email_validator.SPECIAL_USE_DOMAIN_NAMES)))
    assert is_taken(address) == is_valid(address)
