"""The slow oracle: a sequential reader and a row-by-row validator, written from the rules alone.

It shares no code with the importer but the format's own vocabulary (`importer.formats.columns`), uses the standard
library only, and is meant to be read: where the importer and this package differ, one of them misreads the rules.

    bytes ─text─► lines ─records─► records ─file─► Reading ─verdict, kinds─► Verdict
"""

from tests.reference.file import read
from tests.reference.nouns import Blank, Failure, Good, Reading, Record, Refused, Rejected, Verdict
from tests.reference.verdict import check

__all__ = ["Blank", "Failure", "Good", "Reading", "Record", "Refused", "Rejected", "Verdict", "check", "read"]
