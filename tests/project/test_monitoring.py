"""The alert rules and the dashboard in deploy/ ask for what /metrics tells, in words that Prometheus understands."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from notifier.model import AlertKind
from watcher.uploads.gauging import gauges
from watcher.uploads.supervision import WatchState
from watcher.web.metrics import Metrics, Scrape
from watcher.work.counting import Counting

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus-rules.yml"
DASHBOARD = DEPLOY / "grafana-dashboard.json"
SERVERS_OWN = {"job", "instance"}
"""Labels that Prometheus itself gives to what it scrapes."""
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}
"""What Grafana puts in."""


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"])


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield expression


def scraped(*, mails: dict[str, int] | None) -> dict[str, list[dict[str, str]]]:
    """Each sample's name, and all its labels, of a service with one client that nothing has happened to."""
    directory = gauges("acme", WatchState.LIVE, seen={}, refused=(), now=0.0, last_tick=0.0)
    scrape = Scrape(
        version="1", clients=(directory,), alerts=(), mails=mails, mails_sent=0, counted=Counting(), is_ready=True
    )
    samples: dict[str, list[dict[str, str]]] = {"up": [{}]}
    for family in text_string_to_metric_families(Metrics().text(scrape).decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(dict(sample.labels))
    return samples


TOLD = scraped(mails={"queued": 0, "dead": 0})


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def note(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)

    promql_parser.walk(promql_parser.parse(expression), note)
    return found


def is_matched(matcher: promql_parser.Matcher, labels: dict[str, str]) -> bool:
    if matcher.name in SERVERS_OWN:
        return True
    if matcher.op == promql_parser.MatchOp.Re:
        return re.fullmatch(matcher.value, labels.get(matcher.name, "")) is not None
    assert matcher.op == promql_parser.MatchOp.Equal
    return labels.get(matcher.name) == matcher.value


@pytest.mark.parametrize("expression", [*expressions()])
def test_every_expression_is_understood_and_finds_something_that_is_told(expression: str) -> None:
    found = selectors(expression)
    assert found
    for selector in found:
        assert selector.name in TOLD
        matching = [
            labels
            for labels in TOLD[str(selector.name)]
            if all(is_matched(matcher, labels) for matcher in selector.matchers.matchers)
        ]
        assert matching, selector


@pytest.mark.parametrize("expression", [*expressions()])
def test_what_is_grouped_by_is_a_label_of_what_is_told(expression: str) -> None:
    named = {name for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for name in labels.split(", ")}
    labels = {name for selector in selectors(expression) for each in TOLD[str(selector.name)] for name in each}
    assert named <= labels | SERVERS_OWN


def test_everything_that_is_told_is_shown() -> None:
    shown = {str(selector.name) for expression in expressions() for selector in selectors(expression)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in TOLD if name.startswith("userdrop_")}
    assert ours - families == set()


def test_each_alert_has_a_name_of_its_own_a_severity_and_words() -> None:
    assert max(Counter(rule["alert"] for rule in rules()).values()) == 1
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_each_panel_has_a_place_and_a_number_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells
        assert all(x < 24 for x, _ in cells)  # the width of Grafana's grid
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_without_its_database_the_service_tells_no_number_of_mails() -> None:
    assert "userdrop_mails" not in scraped(mails=None)
    assert {labels["kind"] for labels in TOLD["userdrop_alerts_open"]} == {*AlertKind}
