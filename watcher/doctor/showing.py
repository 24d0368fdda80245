"""What the doctor's findings look like on a terminal, and as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from watcher.doctor.findings import Finding, State

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.BROKEN: "bold red"}


def findings_table(found: Iterable[Finding]) -> Table:
    """A row for each finding, its cure below it."""
    table = Table(box=None, pad_edge=False)
    table.add_column("state", no_wrap=True)
    table.add_column("what", overflow="fold", no_wrap=True)
    table.add_column("found", overflow="fold")
    for each in found:
        told = Text(each.what)
        if each.cure:
            told.append(f"\n→ {each.cure}", style="bold")
        table.add_row(Text(each.state.value, style=_STYLES[each.state]), Text(each.name), told)
    return table


def finding_json(finding: Finding) -> str:
    """One line."""
    return json.dumps(asdict(finding), ensure_ascii=False)
