"""The settings of `userdrop check`, which another process loads."""

from pathlib import Path

import pytest

from tests.importing import BUILT_IN
from watcher.settings.check_settings import CheckSettings, loading


def test_another_process_loads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERDROP_MAX_FILE_MB", "7")
    monkeypatch.setenv("USERDROP_LANGUAGE", "fr")
    with loading() as loaded:
        assert loaded() == CheckSettings(format_=BUILT_IN, max_bytes=7 << 20, language="fr")


@pytest.mark.parametrize("name", ["USERDROP_MAX_FILE_MB", "USERDROP_NO_SUCH_SETTING"])
def test_mistakes_are_left_to_whoever_asks_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv(name, "x")
    with loading() as loaded:
        assert loaded() is None
    assert capfd.readouterr() == ("", "")


def test_without_another_process_they_are_left_to_this_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "missing"))
    with loading() as loaded:
        assert loaded() is None


def test_nothing_of_the_directory_in_which_it_is_called_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    with loading() as loaded:
        assert loaded() is not None
