"""Formats to generate files for."""

from dataclasses import replace
from functools import cache

from importer.formats.columns import Column, Format, Lookup
from importer.formats.format_file import load_format

USER_TYPES = {"1": "Student", "2": "Staff", "3": "Visitor", "Staff": "an id that is also a name"}


@cache
def users() -> Format:
    """The built-in format, with user types to look up."""
    built_in = load_format(None)
    return replace(built_in, lookups={**built_in.lookups, "user_types": Lookup(noun="user type", entries=USER_TYPES)})


@cache
def every_kind() -> Format:
    """A format with a column of every kind, an empty lookup, a needed e-mail, a unique number and a default."""
    columns = (
        Column(name="badge", aliases=("Badge No",), kind="pattern", pattern="[A-Z]{1,2}[0-9]{1,4}", required=True),
        Column(name="mail", kind="email", unique=True, required=True, max_length=24),
        Column(name="born", kind="date", formats=("%Y-%m-%d", "%d.%m.%Y", "%-d %b %y"), past=True),
        Column(name="hired", kind="date", formats=("%m/%d/%Y", "%d %B %Y"), max_length=10),
        Column(name="places", kind="integer", unique=True, max_length=4),
        Column(name="fee", kind="decimal", max_length=6),
        Column(name="active", kind="boolean"),
        Column(name="colour", kind="choice", values={"R": "red", "G": "green", "red": "blue"}, required=True),
        Column(name="team", kind="lookup", lookup="teams", max_length=5),
        Column(name="site", kind="lookup", lookup="sites", max_length=5),
        Column(name="note", aliases=("remark", "Re/mark 2"), max_length=8),
    )
    lookups = {"teams": Lookup(noun="team"), "sites": Lookup(noun="site", entries={"N": "North", "S": "South side"})}
    return Format(columns=columns, key="badge", lookups=lookups, defaults={"colour": "R"})
