"""Fixtures that more than one test module uses."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers.ftps import FtpsServer, reachable_directory, vsftpd
from tests.servers.smtp import SmtpServer, smtp_server


@pytest.fixture
def ftps(tmp_path: Path) -> Iterator[Callable[..., FtpsServer]]:
    """Start a vsftpd: `ftps()`, `ftps(settings={…})`, `ftps(local_user="daemon")`, `ftps(upload=…)`."""
    with contextlib.ExitStack() as stack:

        def start(
            *, upload: Path | None = None, local_user: str | None = None, settings: Mapping[str, str] | None = None
        ) -> FtpsServer:
            if upload is None:
                parent = stack.enter_context(reachable_directory()) if local_user else tmp_path
                upload = parent / "upload"
                upload.mkdir(exist_ok=True)
            return stack.enter_context(vsftpd(tmp_path, upload, local_user=local_user, settings=settings))

        yield start


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[SmtpServer]:
    """A mail server with STARTTLS and without login, whose `faults` a test may set and take away."""
    with smtp_server(tmp_path) as server:
        yield server
