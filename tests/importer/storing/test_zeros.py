"""New keys that are known ones without their zeros are a remark, on both databases."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.importer.storing.test_storing import Database


@pytest.fixture
def db(tmp_path: Path, engine: Engine) -> Database:
    return Database(tmp_path, engine)


def test_new_keys_that_are_known_ones_without_their_zeros_are_a_remark(db: Database) -> None:
    db.load("uid,city\n00123,Hull\n0124,Hull\n125,Hull\n00126,Hull\n0125,Hull\n")
    done = db.load("uid,city\n123,Oslo\n124,Oslo\n125,Oslo\n126,Oslo\n127,Oslo\n00126,Oslo\n")
    (remark,) = done.warnings
    assert remark.message == (
        "3 new values of uid are those of known users without the zeros in front: “123” → “00123”; “124” → “0124”;"
        " if the zeros were lost, make the column text, and drop the file again"
    )


@pytest.mark.parametrize(("before", "after"), [("123\n", "124\n"), ("0123\n", "0124\n"), ("0U1\n", "U1\n")])
def test_other_new_keys_are_no_remark(db: Database, before: str, after: str) -> None:
    db.load(f"uid\n{before}")
    assert db.load(f"uid\n{after}").warnings == ()
