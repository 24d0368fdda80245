"""E-mail addresses whose domain is a well-known one with a slip of the fingers."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import polars as pl

_PROVIDERS: Final = {
    "gmail": ("com",),
    "hotmail": ("com", "ca", "fr"),
    "yahoo": ("com", "ca", "fr"),
    "outlook": ("com", "fr"),
    "icloud": ("com",),
}
_OTHERS: Final = frozenset(
    ("ymail.com", "mail.com", "email.com", "hotmail.com", "hotmail.fr", "hotmail.ca", "cloud.com", "gail.com")
)
"""Domains of others, although they are near to those of the providers."""

_ENDINGS: Final = {
    "con": "com",
    "cmo": "com",
    "ocm": "com",
    "vom": "com",
    "xom": "com",
    "cpm": "com",
    "comm": "com",
    "coom": "com",
    "ogr": "org",
    "orgg": "org",
    "rog": "org",
    "edy": "edu",
    "eud": "edu",
    "nte": "net",
    "ner": "net",
}
"""The last parts of domains that do not exist → what was meant."""

_SAMPLE: Final = 100
_COMMON: Final = 4


def _slips(name: str) -> Iterator[str]:
    """A name with two neighbours in the wrong order, or one letter left out, doubled, or replaced by a neighbour."""
    for at in range(len(name)):
        yield name[:at] + name[at + 1 :]
        yield name[:at] + name[at] + name[at:]
    for at in range(len(name) - 1):
        yield name[:at] + name[at + 1] + name[at] + name[at + 2 :]


def _mistyped() -> dict[str, str]:
    """Mistyped domain → what was meant."""
    meant = {f"{name}.{ending}" for name, endings in _PROVIDERS.items() for ending in endings}
    found: dict[str, str] = {}
    for name, endings in _PROVIDERS.items():
        for ending in endings:
            for slip in _slips(name):
                found.setdefault(f"{slip}.{ending}", f"{name}.{ending}")
    return {domain: right for domain, right in found.items() if domain not in meant | _OTHERS and domain[0] != "."}


_DOMAINS: Final = _mistyped()


def meant_addresses(addresses: pl.Series) -> tuple[pl.Series, pl.Series] | None:
    """Where addresses may be mistyped, and what may be meant there; None where all look right.

    Args:
        addresses: the cells of a column, null where they are empty.
    """
    at = _uncommon(addresses)
    domains = addresses.gather(at).str.extract("@([^@]+)$")
    mistyped = [domain for domain in domains.unique().drop_nulls() if _meant(domain) != domain.lower()]
    if not mistyped:
        return None
    suspect = at.filter(domains.is_in(mistyped).fill_null(value=False))
    found = addresses.gather(suspect)
    meant = [f"{local}@{_meant(domain)}" for local, _, domain in (address.rpartition("@") for address in found)]
    return suspect, pl.Series(meant, dtype=pl.String)


def _uncommon(addresses: pl.Series) -> pl.Series:
    """The places of addresses outside the commonest domains, which are right: most files have few domains."""
    sample = addresses.head(_SAMPLE).drop_nulls().str.extract("(@[^@]+)$").drop_nulls().to_list()
    others = addresses.is_not_null()
    for domain, _ in Counter(sample).most_common(_COMMON):
        if _meant(domain[1:]) == domain[1:].lower():
            others &= ~addresses.str.ends_with(domain)
    return others.fill_null(value=False).arg_true()


def _meant(domain: str) -> str:
    """The domain that is meant by one, in small letters."""
    name, _, ending = domain.lower().rpartition(".")
    right = f"{name}.{_ENDINGS.get(ending, ending)}"
    return _DOMAINS.get(right, right)
