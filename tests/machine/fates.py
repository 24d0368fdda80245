"""What goes wrong while files are imported, at a chosen step of the importer.

Its steps are the questions to its clock, the statements it sends, and its commits, before and after they took effect.
"""

import datetime as dt
import errno
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from importer.clock import Clock
from tests.importing import NOW


class Crash(BaseException):
    """The importing process is gone, or the whole service with it."""


class Kind(StrEnum):
    """What goes wrong."""

    CRASH = "crash"
    SERVICE = "the whole service is gone"
    CONNECTION = "the connection is lost"
    OUTAGE = "the database goes down"
    DISK = "the disk is full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something goes wrong at a step; only steps at which it can are counted, from 1."""

    kind: Kind
    step: int


class Fate:
    """Counts the steps of an importer and ends it where that is due; knows its time and its tokens."""

    def __init__(self) -> None:
        self.now = NOW
        self.is_down = False
        self.has_struck = False
        self._fault: Fault | None = None
        self._left = 0
        self._tokens = 0

    def start_again(self) -> None:
        """All is well, and it is early."""
        self.now = NOW
        self.is_down = False
        self.arm(None)

    def arm(self, fault: Fault | None) -> None:
        """From now on the steps are counted."""
        self._fault = fault
        self._left = fault.step if fault else 0
        self.has_struck = False

    def pass_time(self, seconds: int) -> None:
        """Later."""
        self.now += dt.timedelta(seconds=seconds)

    def clock(self) -> Clock:
        """The clock of the importer."""
        return Clock(now=self._time, elapsed=self._elapsed, pause=self._step, token=self._token)

    def rule(self, engine: Engine) -> None:
        """Have the engine ask at each step."""
        event.listen(engine, "before_cursor_execute", self._statement)
        event.listen(engine, "commit", self._commit)

    def _time(self) -> dt.datetime:
        self._step()
        return self.now

    def _elapsed(self) -> float:
        self._step()
        return 7.5

    def _token(self) -> str:
        self._step()
        self._tokens += 1
        return f"{self._tokens:09}"

    def _statement(self, _connection: Connection, cursor: Any, *_: object) -> None:  # noqa: ANN401 - the driver's own
        try:
            self._database_step()
        except BaseException:
            cursor.close()  # SQLAlchemy would after an error of the driver
            raise

    def _commit(self, connection: Connection) -> None:
        self._database_step()
        if self._left == 1 and self._fault and self._fault.kind is not Kind.DISK:
            driver: Any = connection.connection.dbapi_connection
            driver.commit()
        self._database_step()

    def _step(self) -> None:
        if self._fault and self._fault.kind in {Kind.CRASH, Kind.SERVICE, Kind.DISK}:
            self._count(self._fault)

    def _database_step(self) -> None:
        if self.is_down:
            raise _lost()
        if self._fault and self._fault.kind is not Kind.DISK:
            self._count(self._fault)

    def _count(self, fault: Fault) -> None:
        self._left -= 1
        if self._left:
            return
        self._fault = None
        self.has_struck = True
        self.is_down = fault.kind is Kind.OUTAGE
        match fault.kind:
            case Kind.CRASH | Kind.SERVICE:
                raise Crash
            case Kind.DISK:
                raise OSError(errno.ENOSPC, "no space left")
            case _:
                raise _lost()


def _lost() -> OperationalError:
    return OperationalError("a statement", None, ConnectionError("the server closed the connection"))
