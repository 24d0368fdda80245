"""`userdrop run`: one instance, from its directories to its end, every way of ending with a sentence and a code."""

import asyncio
import gc
import signal

from importer.format import Format
from importer.holding import HeldElsewhereError
from watcher.app import Service, UnusableAddressError, make_directories
from watcher.asking_doctor import tell_findings
from watcher.instance import AlreadyRunningError, InstanceLocks
from watcher.journal import Journal
from watcher.logs import configure_logs, place
from watcher.settings import Settings, service_manager
from watcher.worker import OutageError, UnusableSetupError

USAGE, UNAVAILABLE, BUG, ALREADY_RUNNING = 3, 69, 70, 75
"""Exit codes; the last three are those of sysexits.h."""


class EndedError(Exception):
    """The service could not start, or ended otherwise than by a signal."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def serve(settings: Settings, format_: Format, *, once: bool) -> list[str]:
    """Run the service until a signal ends it, or once; returns what it could not mail, for the operator.

    Raises:
        EndedError: with what to tell the operator.
    """
    journal = Journal()
    configure_logs(level=settings.log_level, form=settings.log_format, note=journal.note)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until it asks for a tick: who sees the lock may send it already
    locks = _lock(settings)
    try:
        return asyncio.run(_run(settings, format_, journal, once=once))
    except UnusableSetupError as error:
        raise EndedError("\n".join(error.mistakes), USAGE) from None
    except UnusableAddressError as error:
        message = f"USERDROP_HTTP_LISTEN: {error.address} cannot be listened at: {error.why}"
        raise EndedError(message, UNAVAILABLE) from None
    except HeldElsewhereError as held:
        message = f"another userdrop imports the files of {held.client}; they were left to it"
        raise EndedError(message, ALREADY_RUNNING) from None
    except OutageError as outage:
        message = f"the {outage.kind.value} cannot be used: {outage.detail}; nothing is lost, run it again"
        raise EndedError(message, UNAVAILABLE) from None
    except Exception as error:  # noqa: BLE001 - its text may hold customers' data, so only its place is told
        message = f"a bug has ended the service {place(error)}; nothing is lost, start it again"
        raise EndedError(message, BUG) from None
    finally:
        locks.release()


def collect_rarely() -> None:
    """Keep the garbage collector from stopping the event loop for 0.2 s when 100,000 files wait, as it does by default.

    What is there now stays, so it need not be looked at; of the rest a full collection is made a tenth as often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 100)


def _lock(settings: Settings) -> InstanceLocks:
    try:
        make_directories(settings)
        return InstanceLocks(settings.state_dir, settings.database)
    except AlreadyRunningError as error:
        raise EndedError(str(error), ALREADY_RUNNING) from None
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise EndedError(message, USAGE) from None


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
