"""The metrics of the service, in the text format of Prometheus.

Names and units follow https://prometheus.io/docs/practices/naming. Labels are clients, states and codes that this
version knows; never a file's name, a cell or an address.
"""

import platform
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
from watcher.counting import (
    BOUNDS,
    FILE_OUTCOMES,
    MOST_CLIENTS,
    OTHERS,
    REFUSAL_CODES,
    ROW_CODES,
    ROW_OUTCOMES,
    Counting,
    Distribution,
)
from watcher.gauging import STATES, Gauges
from watcher.supervision import WatchState

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_EDGES = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")

_Values = Iterable[tuple[tuple[str, ...], float]]
"""The values of a metric's labels, and its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """How things stand at one moment.

    Attributes:
        clients: their directories; of more than `MOST_CLIENTS` the rest is left out.
        alerts: the kinds of those that are open.
        mails: how many are in each state; None where the database does not answer.
        mails_sent: since the service began.
    """

    version: str
    clients: tuple[Gauges, ...]
    alerts: tuple[AlertKind, ...]
    mails: Mapping[str, int] | None
    mails_sent: int
    is_ready: bool


class Metrics:
    """A registry of its own: what was counted so far, what a scrape is told, and what the kernel says of us."""

    def __init__(self, counting: Counting) -> None:
        self._registry = CollectorRegistry()
        self._source = _Source(counting)
        self._registry.register(self._source)
        ProcessCollector(registry=self._registry)

    def text(self, scrape: Scrape) -> bytes:
        """All of them."""
        self._source.scrape = scrape
        return generate_latest(self._registry)


class _Source(Collector):
    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self.scrape: Scrape | None = None

    def collect(self) -> Iterator[Metric]:
        if self.scrape is not None:
            yield from _of_service(self.scrape)
            clients = self.scrape.clients[:MOST_CLIENTS]
            yield from _of_clients(clients)
            names = {each.client for each in clients} | {client for client, _ in self._counting.files}
            yield from _of_files(self._counting, sorted(names))


def _of_service(scrape: Scrape) -> Iterator[Metric]:
    about = {"version": scrape.version, "python": platform.python_version()}
    yield InfoMetricFamily("userdrop_build", "What runs.", value=about)
    yield GaugeMetricFamily("userdrop_ready", "1 where files are found and imported, as /readyz.", scrape.is_ready)
    kinds = Counter(scrape.alerts)
    yield _gauge(
        "userdrop_alerts_open", "Conditions that last.", "kind", (((kind,), kinds[kind]) for kind in AlertKind)
    )
    yield GaugeMetricFamily("userdrop_database_up", "1 where the database answers.", float(scrape.mails is not None))
    if scrape.mails is not None:
        values = (((state,), number) for state, number in scrape.mails.items())
        yield _gauge("userdrop_mails", "Mails that are not sent: queued or dead.", "state", values)
    yield CounterMetricFamily("userdrop_mails_sent", "Mails that the mail server has taken.", scrape.mails_sent)


def _of_clients(clients: tuple[Gauges, ...]) -> Iterator[Metric]:
    numbers = (((each.client, state), each.files[state]) for each in clients for state in STATES)
    yield _gauge("userdrop_outstanding_files", "Files that are not imported yet.", "client state", numbers)
    sizes = (((each.client, state), each.bytes[state]) for each in clients for state in STATES)
    yield _gauge("userdrop_outstanding_bytes", "Their bytes, where known.", "client state", sizes)
    oldest = (((each.client,), each.oldest_seconds) for each in clients)
    yield _gauge(
        "userdrop_oldest_waiting_seconds",
        "Since when the file has not changed that waits for the service the longest; held ones wait for their sender.",
        "client",
        oldest,
    )
    ticks = (((each.client,), each.tick_seconds) for each in clients)
    yield _gauge("userdrop_last_tick_seconds", "How long ago files were last taken.", "client", ticks)
    watches = (((each.client, state), float(each.watch is state)) for each in clients for state in WatchState)
    yield _gauge("userdrop_watch_state", "1 for the state in which the watch is.", "client state", watches)


def _of_files(counting: Counting, clients: list[str]) -> Iterator[Metric]:
    """What is zero is told, too: the first of a kind would not count as an increase otherwise."""
    files = (((client, outcome), counting.files[client, outcome]) for client in clients for outcome in FILE_OUTCOMES)
    yield _counter("userdrop_files", "Files by what became of them.", "client outcome", files)
    rows = (((client, outcome), counting.rows[client, outcome]) for client in clients for outcome in ROW_OUTCOMES)
    yield _counter("userdrop_rows", "Rows of imported files.", "client outcome", rows)
    failed = (((code,), counting.failed[code]) for code in (*ROW_CODES, OTHERS))
    yield _counter("userdrop_failed_rows", "Why rows were not imported.", "reason", failed)
    refused = (((code,), counting.refused[code]) for code in (*REFUSAL_CODES, OTHERS))
    yield _counter("userdrop_refused_files", "Why whole files were not imported.", "reason", refused)
    stages = HistogramMetricFamily(
        "userdrop_stage_seconds",
        "What a file spends its time on: waiting since its last change, importing, archiving.",
        labels=["stage"],
    )
    for stage, distribution in counting.stages.items():
        stages.add_metric([stage], _buckets(distribution), distribution.total)
    yield stages
    yield HistogramMetricFamily(
        "userdrop_close_to_imported_seconds",
        "From a file's last change until its rows were users.",
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
