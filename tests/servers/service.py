"""The service itself, as the subprocess that systemd would start."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers import processes
from tests.servers.tools import environment, needs

Event = Mapping[str, Any]

RUN = (sys.executable, "-m", "watcher", "run")
_TAIL_LINES = 40


class Service:
    """A running service; its log lines are collected by a thread while the test goes on."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._lines: list[str] = []
        self._events: list[Event] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name=f"log of {process.pid}")
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._add(line.decode(errors="replace").rstrip("\n"))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _add(self, line: str) -> None:
        event = _parsed(line)
        with self._changed:
            self._lines.append(line)
            if event is not None:
                self._events.append(event)
            self._changed.notify_all()

    def events(self, name: str | None = None, /, **fields: object) -> list[Event]:
        """Return the events so far that have this name and these fields."""
        wanted = fields if name is None else {"event": name, **fields}
        with self._changed:
            return [event for event in self._events if _has(event, wanted)]

    def wait_for_event(self, name: str, /, timeout: float = 30, *, nth: int = 1, **fields: object) -> Event:
        """Return the nth event since the start that has this name and these fields.

        Raises:
            AssertionError: there was none within `timeout` seconds, or the service ended; the text has the log's tail.
        """
        wanted = {"event": name, **fields}
        found: list[Event] = []
        looked_at = 0

        def arrived() -> bool:
            nonlocal looked_at
            found.extend(event for event in self._events[looked_at:] if _has(event, wanted))
            looked_at = len(self._events)
            return len(found) >= nth or self._ended

        with self._changed:
            self._changed.wait_for(arrived, timeout)
            ended = self._ended
        if len(found) >= nth:
            return found[nth - 1]
        why = "the service ended" if ended else f"{timeout} s passed"
        message = f"{why} before event {name} {fields or ''} number {nth}\n{self.tail()}"
        raise AssertionError(message)

    def lines(self) -> list[str]:
        """Return every line of stdout and stderr so far."""
        with self._changed:
            return list(self._lines)

    def tail(self) -> str:
        """Return the last 40 lines of stdout and stderr."""
        with self._changed:
            return "\n".join(self._lines[-_TAIL_LINES:])

    def tick(self) -> None:
        """Ask for a run of the window at once."""
        self.process.send_signal(signal.SIGUSR1)

    def terminate(self, timeout: float = 40) -> int:
        """Ask the service to stop, as systemd does, and return its exit code.

        Raises:
            AssertionError: it still runs after `timeout` seconds; the text has the log's tail.
        """
        self.process.terminate()
        return self.wait(timeout)

    def wait(self, timeout: float = 40) -> int:
        """Return the exit code when the service has ended and its last line is read; errors as `terminate`."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            message = f"the service still runs after {timeout} s\n{self.tail()}"
            raise AssertionError(message) from None
        self._reader.join(timeout)
        return code

    def kill(self) -> None:
        """End the service as the out-of-memory killer would; its child processes have to notice by themselves.

        Raises:
            TimeoutError: a child process still runs after 10 s. It has been killed then.
        """
        with processes.handles(processes.descendants(self.process.pid)) as children:
            self.process.kill()
            self.process.wait()
            try:
                processes.wait_for_end(children)
            finally:
                processes.kill(children)
        self._reader.join()

    def close(self) -> None:
        """Kill whatever still runs, and let go of the log."""
        processes.end_tree(self.process)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def with_renames(injection: str, *options: str) -> list[str]:
    """The command of a service whose renames (the claim, the file's move to bak, its report's) strace tampers with.

    Each process has a count of its own. --seccomp-bpf is quicker, but then no signal can be injected.
    """
    tracing = [needs("strace"), "-D", "-f", "-qq", "-o", "/dev/null", *options]
    return [*tracing, "-e", "trace=renameat2", "-e", f"inject=renameat2:{injection}", *RUN]


def _has(event: Event, wanted: Mapping[str, object]) -> bool:
    return all(event.get(key) == value for key, value in wanted.items())


def _parsed(line: str) -> Event | None:
    """Return a line of JSON as a dict; None for anything else, such as a traceback on stderr."""
    with contextlib.suppress(ValueError):
        value = json.loads(line)
        if isinstance(value, dict):
            return value
    return None


@contextlib.contextmanager
def running_service(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None, command: Sequence[str] = RUN
) -> Iterator[Service]:
    """Run the service with these arguments and no environment but `env` and PATH; kill it at the end of the block.

    When the block fails, the log's tail is added to the failure.
    """
    process = subprocess.Popen(
        processes.bound_to_us([*command, *arguments]),
        env=environment(**env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    service = Service(process)
    try:
        yield service
    except BaseException as failure:
        failure.add_note(f"log of the service:\n{service.tail()}")
        raise
    finally:
        service.close()
