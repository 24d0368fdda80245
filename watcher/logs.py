"""Logs: one JSON object a line on stdout, or coloured text on a terminal. The events are in `watcher.catalogue`."""

import io
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog

Format = Literal["auto", "json", "console"]


class _Nowhere(io.StringIO):
    """Keeps nothing."""

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
    *, level: str, form: Format, stream: TextIO | None = None, note: Callable[[Mapping[str, Any]], None] | None = None
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
    tolerant: Any = _Tolerant(stream)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, _without_trace, _noted(note, least), *_renderers(is_console=is_console)],
        wrapper_class=structlog.make_filtering_bound_logger(least if note is None else min(least, logging.INFO)),
        logger_factory=structlog.PrintLoggerFactory(tolerant),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(tolerant)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _as_library_event],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(is_console=is_console)],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _noted(note: Callable[[Mapping[str, Any]], None] | None, least: int) -> structlog.typing.Processor:
    def noted(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if note is not None:
            note(event)
        if logging.getLevelNamesMapping()[event["level"].upper()] < least:
            raise structlog.DropEvent
        return event

    return noted


def _renderers(*, is_console: bool) -> list[structlog.typing.Processor]:
    if is_console:
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.JSONRenderer()]


def _without_trace(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Tracebacks show the text of exceptions, which may hold customers' data: an error's type must do."""
    event.pop("exc_info", None)
    return event


def _as_library_event(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record: logging.LogRecord | None = event.get("_record")
    event["message"] = event["event"]
    event["event"] = "library_message"
    event["library"] = record.name if record is not None else ""
    return _without_trace(_, __, event)


def place(error: BaseException) -> str:
    """Where a bug showed: the error's type, function and line, and not its text, which may hold customers' data."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}"
    return f"({type(error).__name__}{where})"
