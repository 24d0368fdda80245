"""Programs the tests need, and waiting for what other processes do."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"  # noqa: TID251 # vsftpd is not on a user's PATH
_POLL_SECONDS = 0.005


def needs(program: str) -> str:
    """Return the path of a program; without it the test is skipped, or fails where CI=true."""
    return shutil.which(program, path=_PATH) or unavailable(f"{program} is not installed")


def unavailable(reason: str) -> str:
    """Skip the test for a reason, or fail it where CI=true: there, everything must be installed."""
    if os.environ.get("CI") == "true":  # noqa: TID251 # a fact about the machine, not a setting of the service
        pytest.fail(f"{reason}, and CI must run this test")
    pytest.skip(reason)


def environment(**values: str) -> Mapping[str, str]:
    """Return an environment of PATH and the given values only, so that nobody's own settings reach a test."""
    return {"PATH": _PATH, **values}


def run(command: Sequence[str], *, env: Mapping[str, str], timeout: float = 60) -> bytes:
    """Run a program to its end and return its stdout.

    Raises:
        RuntimeError: it ended with another code than 0; the text has its stderr.
    """
    done = subprocess.run(command, env=env, capture_output=True, timeout=timeout, check=False)
    if done.returncode:
        message = f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
        raise RuntimeError(message)
    return done.stdout


def wait_until(condition: Callable[[], bool], what: str, *, timeout: float = 10) -> None:
    """Return as soon as the condition holds; for another process's files, of which nobody notifies us.

    Raises:
        TimeoutError: it does not hold after about `timeout` seconds.
    """
    pause = threading.Event()
    for _ in range(max(1, round(timeout / _POLL_SECONDS))):
        if condition():
            return
        pause.wait(_POLL_SECONDS)
    message = f"after {timeout} s still waiting for: {what}"
    raise TimeoutError(message)
