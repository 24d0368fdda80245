"""Logs: one JSON object a line, whatever is logged and whatever becomes of the stream."""

import datetime as dt
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from watcher.base.logs import LogFormat, configure_logs, place

HOSTILE = "a\nb\r\x1b[31m\u202e\u2028\x00\udcff\x85é\N{PILE OF POO}.csv"
CANARY = "ana.martin@example.edu"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = logging.root.handlers[:], logging.root.level
    logging.captureWarnings(capture=False)
    yield
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], level = before
    logging.root.setLevel(level)
    structlog.reset_defaults()


class Logged(io.StringIO):
    """A stream that a test reads back."""

    def lines(self) -> list[dict[str, Any]]:
        text = self.getvalue()
        assert text.isascii()
        assert text == "" or text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]


def configured(level: str = "info", form: LogFormat = "json") -> tuple[Logged, Any]:
    stream = Logged()
    configure_logs(level=level, form=form, stream=stream)
    return stream, structlog.get_logger()


def test_an_event_is_one_json_object_with_its_time_level_and_name() -> None:
    stream, log = configured()
    before = dt.datetime.now(dt.UTC)  # noqa: TID251 - compared with the real clock of the log
    log.info("import_finished", client="default", rows=3)
    (line,) = stream.lines()
    stamp = line.pop("timestamp")
    assert stamp.endswith("Z")
    assert abs(dt.datetime.fromisoformat(stamp) - before) < dt.timedelta(minutes=1)
    assert line == {"level": "info", "event": "import_finished", "client": "default", "rows": 3}


def test_hostile_text_stays_on_one_line_of_ascii_and_comes_back_as_it_was() -> None:
    stream, log = configured()
    log.warning("upload_seen", file=HOSTILE)
    logging.getLogger("watchdog").warning("%s", HOSTILE)
    ours, theirs = stream.lines()
    assert ours["file"] == theirs["message"] == HOSTILE


def test_levels_below_the_wanted_one_are_not_logged() -> None:
    stream, log = configured("warning")
    log.debug("one")
    log.info("two")
    log.warning("three")
    assert [line["event"] for line in stream.lines()] == ["three"]


def test_who_takes_notes_is_told_of_what_is_not_logged_too() -> None:
    stream, noted = Logged(), list[object]()
    configure_logs(level="warning", form="json", stream=stream, note=lambda event: noted.append(event["event"]))
    log = structlog.get_logger()
    log.debug("one")
    log.info("two")
    log.warning("three")
    assert noted == ["two", "three"]
    assert [line["event"] for line in stream.lines()] == ["three"]


def test_a_library_s_warning_is_an_event_of_ours() -> None:
    stream, _ = configured()
    logging.getLogger("watchdog.observers.inotify_c").warning("queue %s", "overflowed")
    logging.getLogger("watchdog").info("not of interest")
    (line,) = stream.lines()
    assert line.pop("timestamp")
    assert line == {
        "level": "warning",
        "event": "library_message",
        "message": "queue overflowed",
        "library": "watchdog.observers.inotify_c",
    }


def test_a_warning_of_python_s_own_is_an_event_of_ours() -> None:
    """multiprocessing warns like this when its resource tracker is killed, and would write two lines to stderr."""
    stream, _ = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("resource_tracker: process died unexpectedly", UserWarning, stacklevel=1)
    (line,) = stream.lines()
    assert (line["event"], line["library"]) == ("library_message", "py.warnings")
    assert "resource_tracker: process died unexpectedly" in line["message"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_text_of_an_exception_is_not_logged(form: LogFormat) -> None:
    stream, log = configured(form=form)
    try:
        raise ValueError(CANARY)  # noqa: TRY301 - the text that must not be seen
    except ValueError:
        log.exception("ours")
        log.error("ours", exc_info=True)  # noqa: G201 - this way must not show it either
        logging.getLogger("a.library").exception("theirs")
    text = stream.getvalue()
    assert len(text.splitlines()) == 3
    assert CANARY not in text
    assert "Traceback" not in text


def test_the_console_s_lines_are_for_people() -> None:
    stream, log = configured(form="console")
    log.info("import_finished", rows=3)
    assert "import_finished" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_auto_is_json_where_there_is_no_terminal() -> None:
    stream, log = configured(form="auto")
    log.info("one")
    assert len(stream.lines()) == 1


def test_a_closed_stream_loses_lines_and_nothing_else() -> None:
    stream, log = configured()
    stream.close()
    log.error("one")
    logging.getLogger("a.library").error("two")


def test_a_pipe_that_nobody_reads_any_more_loses_lines_and_nothing_else() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", buffering=1) as stream:
        configure_logs(level="info", form="json", stream=stream)
        os.close(reading)
        structlog.get_logger().error("one")
        logging.getLogger("a.library").error("two")
        with open(os.devnull, "w", encoding="ascii") as nowhere:  # noqa: PTH123 - so that closing can flush
            os.dup2(nowhere.fileno(), writing)


def test_a_standard_output_that_was_never_open_loses_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    forms: tuple[LogFormat, ...] = ("auto", "json", "console")
    for form in forms:
        configure_logs(level="info", form=form)
        structlog.get_logger().error("one")
        logging.getLogger("a.library").error("two")


def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    with open("/dev/full", "w", encoding="ascii", buffering=1) as stream:  # noqa: PTH123
        configure_logs(level="info", form="json", stream=stream)
        structlog.get_logger().error("one")
        with open(os.devnull, "w", encoding="ascii") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())


def _fail() -> None:
    raise ValueError(CANARY)


def test_the_place_of_a_bug_names_its_type_and_function_and_not_its_text() -> None:
    with pytest.raises(ValueError, match=CANARY) as caught:
        _fail()
    for error in (caught.value, ExceptionGroup("several", [caught.value])):
        assert place(error).startswith("(ValueError in _fail, line ")
        assert CANARY not in place(error)
    assert place(ValueError(CANARY)) == "(ValueError)"
