"""The demonstration's own upload over FTPS."""

from pathlib import Path

import pytest

from watcher.commands.ftps import NoServerError, upload

CONTENT = bytes(range(256)) * 2000


def test_a_file_arrives_as_it_was_sent_under_its_name_only(tmp_path: Path) -> None:
    directory, place = tmp_path / "upload", tmp_path / "server"
    directory.mkdir()
    place.mkdir()
    upload(CONTENT, "students.csv", directory, place)
    assert [path.name for path in directory.iterdir()] == ["students.csv"]
    assert (directory / "students.csv").read_bytes() == CONTENT


def test_where_the_server_does_not_do_its_work_the_reason_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoServerError, match=r"^vsftpd could not be used for it \("):
        upload(CONTENT, "students.csv", tmp_path / "missing", tmp_path)
