"""Which folders are clients, and which settings are theirs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.uploads.folders import find, key_of


def make(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).mkdir()


@pytest.mark.parametrize(
    ("folder", "key"),
    [("acme", "ACME"), ("acme-co", "ACME_CO"), ("Acme Co.", "ACME_CO_"), ("3m", "3M"), ("öster", "_STER"), ("ß", "SS")],
)
def test_a_key_is_the_name_in_capitals_with_all_else_as_underscores(folder: str, key: str) -> None:
    assert key_of(folder) == key


@given(st.text(min_size=1))
def test_a_key_can_be_part_of_a_variables_name(folder: str) -> None:
    assert set(key_of(folder)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def test_first_level_folders_are_clients_and_nothing_else_is(tmp_path: Path) -> None:
    make(tmp_path, "acme", "north shore", "bak", ".importing", "lost+found", "acme/inner")
    (tmp_path / "students.csv").touch()
    found = find(tmp_path, ())
    assert found.clients == {"acme": tmp_path / "acme", "north shore": tmp_path / "north shore"}
    assert found.odd == ("students.csv",)
    assert found.complaints == ()


def test_a_link_is_no_client(tmp_path: Path) -> None:
    make(tmp_path, "acme")
    (tmp_path / "evil").symlink_to("acme")
    found = find(tmp_path, ())
    assert list(found.clients) == ["acme"]
    assert [*map(str, found.complaints)] == ["evil is a link"]


def test_a_name_that_cannot_be_stored_as_it_is_is_no_client(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"two\nlines"):
        (tmp_path / name.decode(errors="surrogateescape")).mkdir()
    found = find(tmp_path, ())
    assert not found.clients
    assert len(found.complaints) == 2
    assert all(str(complaint).endswith("is no name for a client") for complaint in found.complaints)
    assert all(str(complaint).isprintable() for complaint in found.complaints)


def test_folders_that_share_a_key_are_named_where_there_are_settings_for_it(tmp_path: Path) -> None:
    make(tmp_path, "acme-co", "acme_co", "other")
    assert find(tmp_path, ["OTHER"]).complaints == ()
    found = find(tmp_path, ["ACME_CO", "OTHER"])
    assert found.shared == {"ACME_CO"}
    assert [*map(str, found.complaints)] == ["acme-co / acme_co share USERDROP_CLIENTS__ACME_CO__*"]
    assert len(found.clients) == 3


def test_settings_without_a_folder_are_named_with_the_nearest_folder(tmp_path: Path) -> None:
    make(tmp_path, "acme")
    assert [*map(str, find(tmp_path, ["ACMEE", "ZZZ"]).complaints)] == [
        "USERDROP_CLIENTS__ACMEE__* has no folder (did you mean USERDROP_CLIENTS__ACME__*?)",
        "USERDROP_CLIENTS__ZZZ__* has no folder",
    ]


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        find(tmp_path / "missing", ())
