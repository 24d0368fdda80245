"""Bars of the last days as numbers for an SVG. Pure. One plot shows one measure of one client."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from importer.database.history import DayCounts

DAYS = 30
MOST_PLOTTED = 12
"""Clients with plots of their own; the others share one."""
WIDTH, HEIGHT = 600, 100
_GAP = 4
_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The bar of one day, from the bottom of the plot; a day of nothing has one as well, of no height."""

    day: dt.date
    value: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """The plot of one measure of one client.

    Attributes:
        top: the value at the upper edge, a round number.
        total: the sum of all bars.
    """

    bars: tuple[Bar, ...]
    top: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A day in the table that says the same as the plots."""

    day: dt.date
    files: int
    refused: int
    rows: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The plots of one client, and the table of their days, but those of nothing, for people who do not see them."""

    client: str
    rows: Plot
    failed: Plot
    table: tuple[Row, ...]


def figures(counts: Iterable[DayCounts], *, today: dt.date, others: str) -> tuple[Figure, ...]:
    """Make the figures of the clients with the most rows, and one of the rest together, by the name `others`."""
    by_client: dict[str, list[DayCounts]] = {}
    for each in counts:
        by_client.setdefault(each.client, []).append(each)
    ranked = sorted(by_client, key=lambda client: (-sum(each.rows for each in by_client[client]), client))
    days = [today - dt.timedelta(days=back) for back in reversed(range(DAYS))]
    found = [_figure(client, by_client[client], days) for client in ranked[:MOST_PLOTTED]]
    if rest := [each for client in ranked[MOST_PLOTTED:] for each in by_client[client]]:
        found.append(_figure(others, rest, days))
    return tuple(found)


def plot(values: Mapping[dt.date, int], days: Sequence[dt.date]) -> Plot:
    """Make a plot with a bar for each of the days."""
    top = round_up(max((values.get(day, 0) for day in days), default=0))
    step = WIDTH / len(days)
    bars = []
    for index, day in enumerate(days):
        height = round(HEIGHT * values.get(day, 0) / top, 1)
        bars.append(
            Bar(
                day=day,
                value=values.get(day, 0),
                x=round(index * step + _GAP / 2, 1),
                y=round(HEIGHT - height, 1),
                width=round(step - _GAP, 1),
                height=height,
            )
        )
    return Plot(bars=tuple(bars), top=top, total=sum(bar.value for bar in bars))


def round_up(value: int) -> int:
    """Round up to one of 1, 2, 5, 10, 20, 50 and so on."""
    power = int("1" + "0" * (len(str(value)) - 1))
    return next(step * power for step in _STEPS if step * power >= value)


def _figure(client: str, counts: Iterable[DayCounts], days: Sequence[dt.date]) -> Figure:
    table = _table(counts, days)
    return Figure(
        client=client,
        rows=plot({row.day: row.rows for row in table}, days),
        failed=plot({row.day: row.failed for row in table}, days),
        table=table,
    )


def _table(counts: Iterable[DayCounts], days: Sequence[dt.date]) -> tuple[Row, ...]:
    by_day: dict[dt.date, list[DayCounts]] = {}
    for each in counts:
        by_day.setdefault(each.day, []).append(each)
    return tuple(
        Row(
            day=day,
            files=sum(each.files for each in by_day[day]),
            refused=sum(each.refused for each in by_day[day]),
            rows=sum(each.rows for each in by_day[day]),
            failed=sum(each.failed for each in by_day[day]),
        )
        for day in reversed(days)
        if day in by_day
    )
