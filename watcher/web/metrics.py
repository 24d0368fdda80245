"""The metrics of the service, in the text format of Prometheus.

Names and units follow https://prometheus.io/docs/practices/naming. Labels are clients, states and codes that this
version knows; never a file's name, a cell or an address.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from notifier.model import AlertKind
from watcher.uploads.gauging import STATES, Gauges
from watcher.uploads.supervision import WatchState
from watcher.work.counting import (
    BOUNDS,
    MOST_CLIENTS,
    OTHERS,
    REFUSAL_CODES,
    ROW_CODES,
    Counting,
    Distribution,
    FileOutcome,
    RowOutcome,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_EDGES = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")

_Values = Iterable[tuple[tuple[str, ...], float]]
"""The values of a metric's labels, and its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """The state of the service at one moment, as a scrape tells it.

    Attributes:
        clients: the directories of at most `MOST_CLIENTS` clients; the rest is left out.
        alerts: the kinds of the alerts that are open.
        mails: how many are in each state; None where the database does not answer.
        mails_sent: how many mails were sent since the service began.
        counted: what has become of files until that moment.
    """

    version: str
    clients: tuple[Gauges, ...]
    alerts: tuple[AlertKind, ...]
    mails: Mapping[str, int] | None
    mails_sent: int
    counted: Counting
    is_ready: bool


class Metrics:
    """A registry of the metrics: what a scrape is told, and what the kernel says of this process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._source = _Source()
        self._registry.register(self._source)
        ProcessCollector(registry=self._registry)

    def text(self, scrape: Scrape) -> bytes:
        """The text of all metrics."""
        self._source.scrape = scrape
        return generate_latest(self._registry)


class _Source(Collector):
    def __init__(self) -> None:
        self.scrape: Scrape | None = None

    def collect(self) -> Iterator[Metric]:
        if self.scrape is not None:
            yield from _of_service(self.scrape)
            clients = self.scrape.clients[:MOST_CLIENTS]
            yield from _of_clients(clients)
            counted = self.scrape.counted
            names = {each.client for each in clients} | {client for client, _ in counted.files}
            yield from _of_files(counted, sorted(names))


def _of_service(scrape: Scrape) -> Iterator[Metric]:
    about = {"version": scrape.version, "python": sys.version.partition(" ")[0]}
    yield InfoMetricFamily("userdrop_build", "The version of userdrop and of the Python that runs it.", value=about)
    yield GaugeMetricFamily(
        "userdrop_ready", "1 if files are found and imported, as /readyz tells, else 0.", scrape.is_ready
    )
    kinds = Counter(scrape.alerts)
    yield _gauge(
        "userdrop_alerts_open", "Alerts that are open now.", "kind", (((kind,), kinds[kind]) for kind in AlertKind)
    )
    yield GaugeMetricFamily(
        "userdrop_database_up", "1 if the database answers, else 0.", float(scrape.mails is not None)
    )
    if scrape.mails is not None:
        values = (((state,), number) for state, number in scrape.mails.items())
        yield _gauge("userdrop_mails", "Mails that are not sent, because they wait or were given up.", "state", values)
    yield CounterMetricFamily(
        "userdrop_mails_sent", "Mails that the mail server has taken since the service started.", scrape.mails_sent
    )


def _of_clients(clients: tuple[Gauges, ...]) -> Iterator[Metric]:
    numbers = (((each.client, state), each.files[state]) for each in clients for state in STATES)
    yield _gauge(
        "userdrop_outstanding_files",
        "Files in the upload directory that are not imported yet.",
        "client state",
        numbers,
    )
    sizes = (((each.client, state), each.bytes[state]) for each in clients for state in STATES)
    yield _gauge(
        "userdrop_outstanding_bytes",
        "Bytes of the files that are not imported yet, as far as they are known.",
        "client state",
        sizes,
    )
    oldest = (((each.client,), each.oldest_seconds) for each in clients)
    yield _gauge(
        "userdrop_oldest_waiting_seconds",
        "Seconds since the last change or lock of the file that has waited for the service longest, held files aside.",
        "client",
        oldest,
    )
    ticks = (((each.client,), each.tick_seconds) for each in clients)
    yield _gauge("userdrop_last_tick_seconds", "Seconds since the last tick.", "client", ticks)
    watches = (((each.client, state), float(each.watch is state)) for each in clients for state in WatchState)
    yield _gauge(
        "userdrop_watch_state",
        "1 for the state that the watch on the directory is in, else 0.",
        "client state",
        watches,
    )


def _of_files(counting: Counting, clients: list[str]) -> Iterator[Metric]:
    """Tell zeros, too: otherwise the first of a kind would not count as an increase."""
    files = (((client, outcome), counting.files[client, outcome]) for client in clients for outcome in FileOutcome)
    yield _counter("userdrop_files", "Files that have come to an end, by outcome.", "client outcome", files)
    rows = (((client, outcome), counting.rows[client, outcome]) for client in clients for outcome in RowOutcome)
    yield _counter("userdrop_rows", "Rows of imported files, by outcome.", "client outcome", rows)
    failed = (((code,), counting.failed[code]) for code in (*ROW_CODES, OTHERS))
    yield _counter("userdrop_failed_rows", "Reasons for which rows were not imported.", "reason", failed)
    refused = (((code,), counting.refused[code]) for code in (*REFUSAL_CODES, OTHERS))
    yield _counter("userdrop_refused_files", "Files that were refused as a whole, by reason.", "reason", refused)
    stages = HistogramMetricFamily(
        "userdrop_stage_seconds",
        "Seconds that a file spends waiting since its last change, being imported, and being archived.",
        labels=["stage"],
    )
    for stage, distribution in counting.stages.items():
        stages.add_metric([stage], _buckets(distribution), distribution.total)
    yield stages
    yield HistogramMetricFamily(
        "userdrop_close_to_imported_seconds",
        "Seconds from the last change of a file until its rows are users.",
        _buckets(counting.latency),
        counting.latency.total,
    )


def _gauge(name: str, meaning: str, labels: str, values: _Values) -> Metric:
    return _filled(GaugeMetricFamily(name, meaning, labels=labels.split()), values)


def _counter(name: str, meaning: str, labels: str, values: _Values) -> Metric:
    return _filled(CounterMetricFamily(name, meaning, labels=labels.split()), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: _Values) -> Metric:
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _buckets(distribution: Distribution) -> list[tuple[str, float]]:
    return [*zip(_EDGES, accumulate(distribution.counts), strict=True)]
