"""Every case is a file, or files, that can be dropped."""

import re
from pathlib import Path

import pytest

from tests.importer.cases import FILES, drop_case

NUMBERS = sorted({int(found[0]) for path in FILES.iterdir() if (found := re.match(r"\d+", path.name))} - {5})


@pytest.mark.parametrize("number", NUMBERS)
def test_every_case_ends_and_every_record_is_accounted_for(tmp_path: Path, number: int) -> None:
    for dropped in drop_case(tmp_path, number):
        records, accepted, failed, blank = dropped.counts
        assert records == accepted + failed + blank
        assert len(dropped.errors) == failed
