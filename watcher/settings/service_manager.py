"""What the manager of services, systemd, tells a service through its environment."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """The wishes of systemd to a service with Type=notify. Sources: sd_notify(3), sd_watchdog_enabled(3).

    Attributes:
        socket: where it listens; None where nobody does.
        watchdog_seconds: how long it waits for a sign of life; None for ever.
    """

    socket: str | None = None
    watchdog_seconds: float | None = None


def service_manager() -> ServiceManager:
    """Read from the environment what the manager of services wants to be told; None where none has started us."""
    environment = os.environ  # noqa: TID251 - the one room that reads it
    microseconds = environment.get("WATCHDOG_USEC", "")
    is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return ServiceManager(
        socket=environment.get("NOTIFY_SOCKET") or None,
        watchdog_seconds=int(microseconds) / 1e6 if is_ours and microseconds.isdecimal() else None,
    )
