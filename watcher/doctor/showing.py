"""The doctor's findings as a table for a terminal, and as JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import PurePath

from rich.table import Table
from rich.text import Text

from watcher.doctor.findings import Finding, State

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.BROKEN: "bold red"}

MOST_NAMED = 3
"""The number of folders that are named beside the one whose finding is shown for all that are alike."""


def findings_table(found: Iterable[Finding]) -> Table:
    """A table with a row for each finding, its cure below it; what is alike for many folders is told once."""
    table = Table(box=None, pad_edge=False)
    table.add_column("state", no_wrap=True)
    table.add_column("what", overflow="fold", no_wrap=True)
    table.add_column("found", overflow="fold")
    for each in told_once(found):
        told = Text(each.what)
        if each.cure:
            told.append(f"\n→ {each.cure}", style="bold")
        table.add_row(Text(each.state.value, style=_STYLES[each.state]), Text(each.name), told)
    return table


def told_once(found: Iterable[Finding]) -> Iterator[Finding]:
    """The findings in their order, those that differ in nothing but their folder as one that says how many more."""
    alike: dict[Finding, list[Finding]] = {}
    for each in found:
        alike.setdefault(_of_any_folder(each), []).append(each)
    for first, *more in alike.values():
        yield replace(first, what=first.what + _and_more(more)) if more and first.folder else first


def _of_any_folder(finding: Finding) -> Finding:
    if not finding.folder:
        return finding
    what, cure = (text.replace(finding.folder, "\0") for text in (finding.what, finding.cure))
    return replace(finding, what=what, cure=cure, folder="\0")


def _and_more(more: Sequence[Finding]) -> str:
    names = ", ".join(PurePath(each.folder).name for each in more[:MOST_NAMED])
    rest = ", …" if len(more) > MOST_NAMED else ""
    return f" (alike for {len(more):,} more: {names}{rest})"


def summary(found: Iterable[Finding]) -> str:
    """A line that counts the findings by state, the worst first."""
    states = Counter(each.state for each in found)
    counts = [f"{states[state]:,} {state.value}" for state in reversed(State) if states[state]]
    return f"{', '.join(counts)}: " + ("nothing has to be done" if set(states) <= {State.OK} else "the cures are above")


def finding_json(finding: Finding) -> str:
    """A finding as one line of JSON."""
    return json.dumps(asdict(finding), ensure_ascii=False)
