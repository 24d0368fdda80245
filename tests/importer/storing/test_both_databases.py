"""SQLite and PostgreSQL hold the same after the same files."""

import os
import random
from pathlib import Path
from typing import Any

from tests.generate.formats import every_kind, users
from tests.generate.messy import garbage, messy_file
from tests.importing import Site, make_site
from tests.servers.postgresql import PostgresqlServer

NAMES = ["users.csv", "élèves.csv", os.fsdecode(b"latin-\xe9.csv"), "a\tb.csv", "x" * 240 + ".csv"]


def stored(site: Site) -> Any:  # noqa: ANN401 - rows of tables
    """The numbers of users as their order: PostgreSQL gives none twice, not even one of a row that was rolled back."""
    found = site.users()
    order = sorted(user["id"] for user in found.values())
    people = {key: {**user, "id": order.index(user["id"])} for key, user in found.items()}
    ledger = [{**entry, "directory": ""} for entry in site.ledger()]
    return people, ledger, site.notices()


def test_the_messiest_files_leave_the_same_users_ledger_and_notices(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    rng = random.Random(5)  # noqa: S311 # test data
    for number, format_ in enumerate([users(), every_kind()]):
        places = [tmp_path / f"sqlite{number}", tmp_path / f"postgresql{number}"]
        for place in places:
            place.mkdir()
        ours = make_site(places[0], format_)
        theirs = make_site(places[1], format_, postgresql.url())
        for turn in range(60):
            content = garbage(rng) if turn % 4 == 0 else messy_file(rng, format_=format_)
            name = rng.choice(NAMES)
            for site in (ours, theirs):
                site.drop(name, content)
                site.take(name, tokens=f"{turn:03}")
        assert stored(theirs) == stored(ours)
        assert len(ours.ledger()) == 60
        for site in (ours, theirs):
            site.engine.dispose()
