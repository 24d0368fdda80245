"""Faults, as they are made and ended in a house."""

import contextlib
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.servers import processes
from tests.servers.service import Service
from tests.servers.smtp import Faults
from tests.soak.house import Soaked
from tests.soak.plan import CLIENTS, Begin, End, Fault

UNAVAILABLE = 69
_HOURS = 72
_BEGIN_SECONDS = 60
_MET_SECONDS = 1.5
"""Longer than faketime's cache lasts."""

_SMTP = {
    Fault.SMTP_REFUSES: Faults(greeting="421 4.3.2 closing"),
    Fault.SMTP_BUSY: Faults(data="451 4.3.0 busy"),
    Fault.SMTP_HANGS: Faults(hang_after_data=True),
    Fault.SMTP_LOSES_MAIL: Faults(drop_after_data=True),
    Fault.SMTP_LOSES_REPLY: Faults(lose_reply=True),
}


class Breakage:
    """What is broken now in a house; each fault ends by `end`, or with all the others by `close`."""

    def __init__(self, soaked: Soaked) -> None:
        self._soaked = soaked
        self._open: dict[Fault, contextlib.ExitStack] = {}

    def begin(self, begun: Begin) -> None:
        """Make a fault."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._made(begun))
            self._open[begun.fault] = stack.pop_all()

    def end(self, ended: End) -> None:
        """End a fault, if it was not ended before."""
        stack = self._open.pop(ended.fault, None)
        if stack is not None:
            stack.close()

    def close(self) -> None:
        """End them all."""
        for fault in [*self._open]:
            self.end(End(fault=fault))

    def _made(self, begun: Begin) -> contextlib.AbstractContextManager[None]:
        soaked, fault = self._soaked, begun.fault
        if fault in _SMTP:
            return _mail_fault(soaked, _SMTP[fault])
        upload = soaked.house.upload
        folder = upload / CLIENTS[int(begun.size * len(CLIENTS))]
        makers: dict[Fault, Callable[[], contextlib.AbstractContextManager[None]]] = {
            Fault.KILL_PARENT: lambda: _killed(soaked, Service.kill),
            Fault.KILL_CHILD: lambda: _killed(soaked, _kill_children),
            Fault.KILL_BOTH: lambda: _killed(soaked, _kill_all),
            Fault.STOP_PARENT: lambda: _stopped([soaked.service.process.pid]),
            Fault.STOP_CHILD: lambda: _stopped(processes.descendants(soaked.service.process.pid)),
            Fault.STOP_BOTH: lambda: _stopped(_tree(soaked.service)),
            Fault.RESTART: lambda: _restarted(soaked),
            Fault.DATABASE: lambda: _database_out(soaked),
            Fault.CLIENT_DISK_FULL: lambda: _full(soaked, soaked.house.upload.parent),
            Fault.STATE_DISK_FULL: lambda: _full(soaked, soaked.house.state),
            Fault.CLIENT_AWAY: lambda: _away(folder, upload / f".away-{folder.name}"),
            Fault.ALL_AWAY: lambda: _away(upload, upload.with_name("away")),
            Fault.CLOCK: lambda: _clock_wrong(soaked, begun.size),
            Fault.ROTATION: lambda: _rotated(soaked.ftps.log),
        }
        return makers[fault]()


def _tree(service: Service) -> list[int]:
    return [service.process.pid, *processes.descendants(service.process.pid)]


@contextlib.contextmanager
def _killed(soaked: Soaked, how: Callable[[Service], object]) -> Iterator[None]:
    soaked.killed(how)
    yield


def _kill_children(service: Service) -> None:
    with processes.handles(processes.descendants(service.process.pid)) as children:
        processes.kill(children)


def _kill_all(service: Service) -> None:
    with processes.handles(_tree(service)) as all_:
        for handle in all_:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        service.process.wait()
        processes.wait_for_end(all_)


@contextlib.contextmanager
def _stopped(pids: Sequence[int]) -> Iterator[None]:
    with processes.handles(pids) as handles:
        for handle in handles:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGSTOP)
        try:
            yield
        finally:
            for handle in handles:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGCONT)


@contextlib.contextmanager
def _restarted(soaked: Soaked) -> Iterator[None]:
    soaked.stop()
    soaked.start()
    yield


@contextlib.contextmanager
def _database_out(soaked: Soaked) -> Iterator[None]:
    if soaked.postgresql is not None:
        soaked.postgresql.stop_at_once()
        try:
            yield
        finally:
            soaked.postgresql.start()
        return
    with contextlib.closing(sqlite3.connect(soaked.house.database, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def _excused(soaked: Soaked, *codes: int) -> Iterator[None]:
    soaked.excused.update(codes)
    try:
        yield
        soaked.live()  # who ended meanwhile is started again
    finally:
        soaked.excused.difference_update(codes)


@contextlib.contextmanager
def _full(soaked: Soaked, directory: Path) -> Iterator[None]:
    filler = directory / ".filler"
    with _excused(soaked, UNAVAILABLE):
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
        try:
            yield
        finally:
            filler.unlink()


@contextlib.contextmanager
def _away(directory: Path, elsewhere: Path) -> Iterator[None]:
    directory.rename(elsewhere)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            directory.rmdir()  # a service that was started meanwhile has made one
        elsewhere.rename(directory)


@contextlib.contextmanager
def _clock_wrong(soaked: Soaked, size: float) -> Iterator[None]:
    """It jumps by up to three days, forwards or backwards, under a running service, and then back.

    The service is started anew before and after, as it is much slower under faketime.
    """
    _start_again(soaked, fakes_time=True)
    _set_clock(soaked.clock, round((size * 2 - 1) * _HOURS * 3600))
    try:
        yield
    finally:
        _set_clock(soaked.clock, 0)
        _start_again(soaked, fakes_time=False)


def _start_again(soaked: Soaked, *, fakes_time: bool) -> None:
    """Start the service anew once it has met its clock, and wait until it has begun."""
    soaked.live_until(soaked.has_begun, _BEGIN_SECONDS)
    soaked.live_until(lambda: False, _MET_SECONDS)
    soaked.stop()
    soaked.fakes_time = fakes_time
    soaked.start()
    soaked.live_until(soaked.has_begun, _BEGIN_SECONDS)


def _set_clock(clock: Path, seconds: int) -> None:
    draft = clock.with_suffix(".draft")
    draft.write_text(f"{seconds:+}\n")
    draft.replace(clock)


@contextlib.contextmanager
def _rotated(log: Path) -> Iterator[None]:
    """As logrotate does it: the old one has another name, and there is a new one."""
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    os.close(os.open(log, os.O_CREAT | os.O_WRONLY, 0o640))
    yield


@contextlib.contextmanager
def _mail_fault(soaked: Soaked, faults: Faults) -> Iterator[None]:
    soaked.smtp.faults = faults
    try:
        yield
    finally:
        soaked.smtp.faults = Faults()
        soaked.smtp.hang_up()
