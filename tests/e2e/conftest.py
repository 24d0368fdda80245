"""Fixtures of the end-to-end tests."""

from pathlib import Path

import pytest

from tests.e2e.house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An installation whose client directory is `tmp_path/upload`, as that of the `ftps` fixture."""
    return House(tmp_path)
