"""One import as a process of its own: `python -m tests.bench.storing URL DIRECTORY FILE RESULT`.

What it costs is everything between the claim and the archive: copy, reading, validation, storing. Only the second
that the protocol waits for writers is left out, and the start of the process, which the service keeps warm.
"""

import datetime as dt
import gc
import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from importer.clock import Clock
from importer.database.engines import make_engine
from importer.files.anchoring import opened_folder
from importer.files.claiming import fingerprint
from importer.formats.format_file import load_format
from importer.importing import Importer
from importer.model import Imported
from importer.reading.user_file import Limits

CLIENT = "acme"
_ANY_SIZE = Limits(max_bytes=1 << 40, max_expanded_bytes=1 << 40)


def main(url: str, directory: Path, file: Path, result: Path) -> None:
    """Import a file as the client's next upload; seconds and counts are written as JSON."""
    clock = Clock(
        now=lambda: dt.datetime(2026, 11, 22, 10, 10, tzinfo=dt.UTC),
        elapsed=perf_counter,
        pause=lambda: None,
        token=lambda: f"{os.getpid():08x}",
    )
    importer = Importer(make_engine(url), load_format(None), _ANY_SIZE, clock)
    importer.prepare()
    gc.freeze()  # as the service's own process for imports does
    upload = Path(shutil.copy(file, directory / "users.csv"))
    start = perf_counter()
    with opened_folder(directory) as folder:
        outcomes = [*importer.import_files(CLIENT, folder, [(upload.name, fingerprint(upload.lstat()))])]
    seconds = perf_counter() - start
    (counts,) = (asdict(outcome.counts) for outcome in outcomes if isinstance(outcome, Imported))
    result.write_text(json.dumps({"seconds": seconds, **counts}))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
