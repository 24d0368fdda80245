"""One run of the service, from its directories to its end; every way of ending has a sentence and a code."""

import asyncio
import gc
import signal

from importer.client_lock import LockedElsewhereError
from importer.formats.columns import Format
from watcher.app import Service, UnusableAddressError
from watcher.asking_doctor import tell_findings
from watcher.base.exit_codes import ExitCode
from watcher.base.instance import AlreadyRunningError, InstanceLocks
from watcher.base.journal import Journal
from watcher.base.logs import configure_logs, place
from watcher.settings.privacy import Private, close_to_others, closed_to_others
from watcher.settings.variables import Settings, service_manager
from watcher.wiring import make_directories
from watcher.work.jobs import OutageError, UnusableSetupError


class EndedError(Exception):
    """The service could not start, or ended otherwise than by a signal."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def serve(settings: Settings, format_: Format, *, once: bool) -> list[str]:
    """Run the service until a signal ends it, or once; returns what it could not mail, for the operator.

    Raises:
        EndedError: the service ended, with what to tell the operator.
    """
    journal = Journal()
    configure_logs(level=settings.log_level, form=settings.log_format, note=journal.note)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until it asks for a tick: who sees the lock may send it already
    _make_directories(settings)
    try:
        with closed_to_others():
            return _serve(settings, format_, journal, once=once)
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # at its end the interpreter has handled signals end the process


def _serve(settings: Settings, format_: Format, journal: Journal, *, once: bool) -> list[str]:
    locks = _lock(settings)
    try:
        close_to_others(Private.of(settings))
        return asyncio.run(_run(settings, format_, journal, once=once))
    except UnusableSetupError as error:
        raise EndedError("\n".join(error.mistakes), ExitCode.USAGE) from None
    except UnusableAddressError as error:
        message = f"USERDROP_HTTP_LISTEN: {error.address} cannot be listened at: {error.why}"
        raise EndedError(message, ExitCode.UNAVAILABLE) from None
    except LockedElsewhereError as held:
        message = f"another userdrop imports the files of {held.client}; they were left to it"
        raise EndedError(message, ExitCode.ALREADY_RUNNING) from None
    except OutageError as outage:
        message = f"the {outage.kind.value} cannot be used: {outage.detail}; nothing is lost, run it again"
        raise EndedError(message, ExitCode.UNAVAILABLE) from None
    except Exception as error:  # noqa: BLE001 - its text may hold customers' data, so only its place is told
        message = f"a bug has ended the service {place(error)}; nothing is lost, start it again"
        raise EndedError(message, ExitCode.BUG) from None
    finally:
        locks.release()


def collect_rarely() -> None:
    """Keep the garbage collector from stopping the event loop for 0.2 s when 100,000 files wait, as it does by default.

    What is there now stays, so it need not be looked at; of the rest a full collection is made a tenth as often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 100)


def _make_directories(settings: Settings) -> None:
    try:
        make_directories(settings)
    except OSError as error:
        raise _unusable(error) from None


def _lock(settings: Settings) -> InstanceLocks:
    try:
        return InstanceLocks(settings.state_dir, settings.database)
    except AlreadyRunningError as error:
        raise EndedError(str(error), ExitCode.ALREADY_RUNNING) from None
    except OSError as error:
        raise _unusable(error) from None


def _unusable(error: OSError) -> EndedError:
    return EndedError(f"{error.filename}: {error.strerror}", ExitCode.USAGE)


async def _run(settings: Settings, format_: Format, journal: Journal, *, once: bool) -> list[str]:
    service = Service(settings, format_, journal, service_manager())
    collect_rarely()
    if once:
        await service.run_once()
        return service.unmailed()
    asked: list[asyncio.Task[None]] = []
    try:
        await service.run(begun=lambda: asked.append(asyncio.create_task(tell_findings())))
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return service.unmailed()
