"""Logs: one JSON object a line on stdout, or text, coloured on a terminal. The events are in `log_events`."""

import io
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, Literal, TextIO

import structlog

LogFormat = Literal["auto", "json", "console"]


class _Nowhere(io.StringIO):
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)


class _Tolerant:
    """A stream whose end does not end the service: a closed log pipe loses lines, not imports."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


def configure_logs(
    *,
    level: str,
    form: LogFormat,
    stream: TextIO | None = None,
    note: Callable[[Mapping[str, Any]], None] | None = None,
) -> None:
    """Send structlog's events, and warnings of libraries, to the stream.

    Args:
        level: debug, info, warning or error.
        form: json; console for people; auto for console on a terminal.
        stream: standard output by default, and nowhere where that is closed.
        note: is told of each event of level info and above, whether that is logged or not.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    stream = stream or sys.stdout or _Nowhere()
    is_console = form == "console" or (form == "auto" and stream.isatty())
    renderers = partial(_renderers, is_console=is_console, stream=stream)
    tolerant: Any = _Tolerant(stream)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, _without_trace, _noted(note, least), *renderers()],
        wrapper_class=structlog.make_filtering_bound_logger(least if note is None else min(least, logging.INFO)),
        logger_factory=structlog.PrintLoggerFactory(tolerant),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(tolerant)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _as_library_event],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers()],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def _noted(note: Callable[[Mapping[str, Any]], None] | None, least: int) -> structlog.typing.Processor:
    def noted(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if note is not None:
            note(event)
        if logging.getLevelNamesMapping()[event["level"].upper()] < least:
            raise structlog.DropEvent
        return event

    return noted


def _renderers(*, is_console: bool, stream: TextIO) -> list[structlog.typing.Processor]:
    if not is_console:
        return [structlog.processors.JSONRenderer()]
    from rich.console import Console  # noqa: PLC0415 - the service does without it wherever its log is JSON

    shown = Console(file=stream)  # it knows terminals, and NO_COLOR
    colors = shown.is_terminal and not shown.no_color
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]


def _without_trace(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave out tracebacks, as the text of exceptions may hold customers' data; an error's type must do."""
    event.pop("exc_info", None)
    return event


def _as_library_event(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record: logging.LogRecord | None = event.get("_record")
    event["message"] = event["event"]
    event["event"] = "library_message"
    event["library"] = record.name if record is not None else ""
    return _without_trace(_, __, event)


def place(error: BaseException) -> str:
    """The place where a bug showed: the error's type, function and line, not its text, which may be customers' data."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}"
    return f"({type(error).__name__}{where})"
