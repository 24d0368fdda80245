"""The doctor, asked by the service at its start, in a process of its own.

What the doctor tries may hang (a mail server, a dead mount) and takes memory; neither is to be the service's.
"""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress

import structlog

from watcher.doctor.findings import State
from watcher.doctor.service import ACCOUNT

_DOCTOR = (sys.executable, "-m", "watcher", "doctor", "--json")

log = structlog.get_logger()


async def tell_findings() -> None:
    """Log what is not well; who cancels this ends the doctor."""
    doctor = await asyncio.create_subprocess_exec(*_DOCTOR, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    try:
        if doctor.stdout is not None:
            async for line in doctor.stdout:
                _tell(json.loads(line))
        await doctor.wait()
    finally:
        if doctor.returncode is None:
            with suppress(ProcessLookupError):
                doctor.kill()
            await doctor.wait()


def _tell(finding: dict[str, str]) -> None:
    if finding["state"] != State.OK and finding["name"] != ACCOUNT:  # who asks is the service itself
        facts = {"about": finding["name"], "state": finding["state"], "what": finding["what"], "cure": finding["cure"]}
        log.warning("doctor_found", **facts)
