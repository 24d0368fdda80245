"""What the attempts to import a file have come to, as far as its claim tells. Pure.

An attempt is written down before it begins, with the run of the service that begins it. Who finds one that has neither
ended well nor been given back knows from the run what has ended it. It is the importing process alone where that run
still goes on: then the file is at fault, and the attempt counts. Otherwise the whole service has ended without a clean
stop, by whatever: the file becomes a suspect, which is tried alone and last; only if that ends the service again, it
counts.
"""

import json
from dataclasses import asdict, dataclass, replace

MAX_ATTEMPTS = 3
"""A file whose import ends the process this often, or alone the whole service, is set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """The attempts to import one file, as its claim has them written down.

    Attributes:
        ended: how many have ended the importing process, or while the file was tried alone the service, or have filled
            the disk.
        filled: how many of those have filled the disk.
        is_suspect: whether the service has ended while the file was imported.
        begun_by: the run of the service that has begun one, of whose end nothing is known; None where there is none.
        is_alone: whether that one is of a suspect that is tried alone.
    """

    ended: int = 0
    filled: int = 0
    is_suspect: bool = False
    begun_by: str | None = None
    is_alone: bool = False


def as_found(attempts: Attempts, run: str) -> Attempts:
    """The attempts as a run of the service judges them that does not import the file at the moment."""
    if attempts.begun_by is None:
        return attempts
    is_its_own_end = attempts.begun_by == run or attempts.is_alone
    ended = attempts.ended + is_its_own_end
    is_suspect = attempts.is_suspect or attempts.begun_by != run
    return replace(given_back(attempts), ended=ended, is_suspect=is_suspect)


def begun(attempts: Attempts, run: str, *, alone: bool) -> Attempts:
    """The attempts with one more, begun by this run."""
    return replace(as_found(attempts, run), begun_by=run, is_alone=alone)


def given_back(attempts: Attempts) -> Attempts:
    """The attempts without the one that was begun, which did not end by the file's fault."""
    return replace(attempts, begun_by=None, is_alone=False)


def having_filled(attempts: Attempts) -> Attempts:
    """The one that was begun has filled the disk, which was the file's own doing."""
    return replace(given_back(attempts), ended=attempts.ended + 1, filled=attempts.filled + 1)


def written(attempts: Attempts) -> str:
    """The attempts as text, which `read` understands."""
    return json.dumps(asdict(attempts))


def read(text: str) -> Attempts:
    """From text; versions before wrote a number, of all that were begun."""
    found = json.loads(text)
    return Attempts(ended=found) if isinstance(found, int) else Attempts(**found)
