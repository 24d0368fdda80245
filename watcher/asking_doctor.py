"""The doctor, asked by the service at its start, in a process of its own.

What the doctor tries may hang (a mail server, a dead mount) and takes memory; the service must suffer from neither.
"""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress

import structlog

from watcher.doctor.findings import Finding, State
from watcher.doctor.service import ACCOUNT

_DOCTOR = (sys.executable, "-m", "watcher", "doctor", "--json")

log = structlog.get_logger()


async def tell_findings() -> None:
    """Log what the doctor finds that is not well; cancelling this ends the doctor."""
    doctor = await asyncio.create_subprocess_exec(*_DOCTOR, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    try:
        if doctor.stdout is not None:
            async for line in doctor.stdout:
                _tell(_finding(line))
        await doctor.wait()
    finally:
        if doctor.returncode is None:
            with suppress(ProcessLookupError):
                doctor.kill()
            await doctor.wait()


def _tell(finding: Finding) -> None:
    if finding.state is not State.OK and finding.name != ACCOUNT:  # who asks is the service itself
        log.warning("doctor_found", about=finding.name, state=finding.state.value, what=finding.what, cure=finding.cure)


def _finding(line: bytes) -> Finding:
    found = json.loads(line)
    return Finding(name=found["name"], state=State(found["state"]), what=found["what"], cure=found["cure"])
