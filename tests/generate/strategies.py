"""Hypothesis strategies for user files."""

import random

from hypothesis import strategies as st

from tests.generate.messy import garbage, messy_file

TOKENS = [
    *('"', '"', ",", ",", ",", "\n", "\n", "\n", "\r\n", "\r", " ", "a", "b", "é", "U1", "U2", '""', ";", '"x"'),
    *("OPSCOM", "\nU3,OPSCOM,c\n", "\0", "\udcff", "\udcc3", "unique_id,login_source,first_name", "<clear>"),
]
HEADERS = ["unique_id,login_source,first_name\n", "unique_id,login_source,first_name,,\r\n", "unique_id;login_source\n"]


def user_files() -> st.SearchStrategy[bytes]:
    """User files of all sorts; the last sort is made of tokens and shrinks well."""
    seeds = st.integers(0, 2**32 - 1)
    return st.one_of(
        seeds.map(lambda seed: messy_file(random.Random(seed))),  # noqa: S311 - not for secrets
        seeds.map(lambda seed: garbage(random.Random(seed))),  # noqa: S311 - not for secrets
        st.builds(_joined, st.sampled_from(HEADERS), st.lists(st.sampled_from(TOKENS), max_size=60), st.booleans()),
    )


def _joined(header: str, tokens: list[str], padded: bool) -> bytes:  # noqa: FBT001 - hypothesis calls it
    padding = "x" * 2000 + "\n" if padded else ""
    return (header + padding + "".join(tokens)).encode("utf-8", "surrogateescape")
