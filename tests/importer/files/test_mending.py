"""Directories of the service's own, whose modes and groups somebody has changed, are put right."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.files.anchoring import NotOursError, own_directory
from importer.files.archiving import BAK, opened_bak
from importer.files.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY
from tests.rights import obeying_file_modes
from tests.servers.tools import run, unavailable

ID = "20261122T101013Z-a"
DAEMON = 1


def made(upload: Path, name: str = WORK_DIRECTORY) -> Path:
    """A directory of the service's own with a claim in it."""
    upload.mkdir(exist_ok=True)
    upload.chmod(0o3770)
    with own_directory(upload, name) as path:
        claim = path / ID
        claim.mkdir(mode=0o700)
        (claim / ".copy").write_bytes(b"ours")
        (claim / "people.csv").write_bytes(b"theirs")
    return upload / name


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", [WORK_DIRECTORY, QUARANTINE_DIRECTORY])
@pytest.mark.parametrize("change", ["g+rwX", "a+rX", "640", "u-w", "000"])
def test_after_a_chmod_of_the_whole_upload_directory_the_claims_are_closed_again(
    tmp_path: Path, name: str, change: str
) -> None:
    place = made(tmp_path / "upload", name)
    run(["chmod", "-R", change, str(tmp_path / "upload")], env={"PATH": os.defpath})
    (tmp_path / "upload").chmod(0o3770)
    with obeying_file_modes(), own_directory(tmp_path / "upload", name) as path:
        assert (path / ID / "people.csv").exists()
    assert (mode(place), mode(place / ID)) == (0o2700, 0o2700)


def link(claim: Path) -> None:
    (claim / ".failed.csv").symlink_to("/etc/passwd")


def link_with_a_files_name(claim: Path) -> None:
    (claim / "REASON").symlink_to("/etc/passwd")


def claim_of_theirs(claim: Path) -> None:
    theirs = claim.with_name("theirs")
    theirs.mkdir()
    os.chown(theirs, DAEMON, -1)


def file_beside(claim: Path) -> None:
    claim.with_name("people.csv").write_bytes(b"theirs")


def note_of_theirs(claim: Path) -> None:
    os.chown(claim / ".copy", DAEMON, -1)


@pytest.mark.parametrize("act", [link, link_with_a_files_name, claim_of_theirs, file_beside, note_of_theirs])
def test_what_somebody_has_put_among_the_claims_while_they_were_open_is_not_trusted_and_stays(
    tmp_path: Path, act: Callable[[Path], None]
) -> None:
    if os.geteuid() != 0:
        unavailable("only root can give something away")
    place = made(tmp_path / "upload")
    place.chmod(0o2770)
    act(place / ID)
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):
        with pytest.raises(NotOursError), own_directory(tmp_path / "upload", WORK_DIRECTORY):
            pass
    assert mode(place) == 0o2770
    assert sorted(tmp_path.rglob("*")) == before


@given(given_=st.integers(0, 0o7777))
def test_whatever_mode_bak_was_given_the_client_may_not_write_there_and_the_service_may(given_: int) -> None:
    with TemporaryDirectory() as directory:
        upload = Path(directory)
        bak = upload / BAK
        bak.mkdir()
        bak.chmod(given_)
        with obeying_file_modes(), opened_bak(upload) as path:
            (path / "probe").touch()
        now = mode(bak)
        assert not now & 0o022
        assert now & 0o2700 == 0o2700
        assert now & 0o044 == (given_ & 0o044 if given_ & 0o5777 != 0o700 else 0o040), "who may read is not changed"


def test_a_group_that_somebody_has_given_bak_stays_and_the_services_own_does_not(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unavailable("only root can give groups")
    os.chown(tmp_path, -1, DAEMON)
    with opened_bak(tmp_path):
        pass
    bak = tmp_path / BAK
    for group, then in ((os.getegid(), DAEMON), (2, 2)):
        os.chown(bak, -1, group)
        with opened_bak(tmp_path):
            pass
        assert bak.stat().st_gid == then
