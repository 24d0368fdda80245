"""Names in bak, bak itself, and the move that never overwrites and can be repeated after any crash."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from importer.files.anchoring import NotOursError
from importer.files.archiving import ForBak, archive_names, opened_bak, put_into_bak
from importer.model import Claim
from tests.importing import NOW, mounted

DATA, REPORT = b"uid\nU1\n", b"report"
SHA256 = hashlib.sha256(DATA).hexdigest()
NAMES = "people.Z.csv", "people.Z.failed.csv"


def names_in_bak(name: str, is_taken: Callable[[str], bool] = lambda _: False) -> tuple[str, str]:
    (pair,) = archive_names([name], NOW, lambda pairs: {each for pair in pairs for each in pair if is_taken(each)})
    return pair


def make_bak(directory: Path) -> Path:
    with opened_bak(directory):
        return directory / "bak"


@pytest.fixture
def claim(tmp_path: Path) -> Claim:
    directory = tmp_path / "upload"
    made = Claim(id="20261122T101013Z-a", client="acme", directory=directory, name="people.csv")
    made.work.mkdir(parents=True)
    made.original.write_bytes(DATA)
    made.copy.write_bytes(DATA)
    made.report.write_bytes(REPORT)
    return made


def move(file: ForBak) -> None:
    (hindrance,) = put_into_bak([file])
    if hindrance is not None:
        raise hindrance


def put(claim: Claim) -> None:
    move(ForBak(claim=claim, archive=NAMES[0], report=NAMES[1], sha256=SHA256))


def in_bak(claim: Claim) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((claim.directory / "bak").iterdir())}


EVERYTHING = {NAMES[0]: DATA, NAMES[1]: REPORT}


@pytest.mark.parametrize(
    ("name", "archive", "report"),
    [
        ("people.csv", "people.20261122T101013Z.csv", "people.20261122T101013Z.failed.csv"),
        ("people.CSV.GZ", "people.20261122T101013Z.CSV.GZ", "people.20261122T101013Z.failed.csv"),
        ("a.b.txt", "a.b.20261122T101013Z.txt", "a.b.20261122T101013Z.failed.csv"),
        ("people.failed.csv", "people.failed.20261122T101013Z.csv", "people.failed.20261122T101013Z.failed.csv"),
        ("people", "people.20261122T101013Z", "people.20261122T101013Z.failed.csv"),
        (
            "caf\udce9\n\u202e.csv",
            "caf_xe9_n_u202e.20261122T101013Z.csv",
            "caf_xe9_n_u202e.20261122T101013Z.failed.csv",
        ),
    ],
)
def test_names_in_bak_are_the_senders_stem_and_the_second(name: str, archive: str, report: str) -> None:
    assert names_in_bak(name) == (archive, report)


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "é" * 125 + ".csv", "x" * 248 + ".csv.gz", "日" * 83 + ".txt"])
def test_long_names_are_cut_at_a_whole_character(name: str) -> None:
    archive, report = names_in_bak(name, lambda taken: ".1." not in taken)
    assert max(len(archive.encode()), len(report.encode())) in range(252, 256)
    assert ".20261122T101013Z.1." in archive
    assert archive.startswith(name[0] * 70)


def test_a_number_is_added_until_both_names_are_free() -> None:
    taken = {"a.20261122T101013Z.csv", "a.20261122T101013Z.1.failed.csv"}
    assert names_in_bak("a.csv", taken.__contains__)[0] == "a.20261122T101013Z.2.csv"


def test_files_of_equal_names_get_each_its_own_and_few_questions_are_asked() -> None:
    asked: list[int] = []
    taken = {f"{'x' * 200}.20261122T101013Z.{number}.csv" for number in range(1, 5_000)}

    def taken_of(pairs: Sequence[tuple[str, str]]) -> set[str]:
        asked.append(len(pairs))
        return taken & {name for pair in pairs for name in pair}

    names = [f"{'x' * 200}.csv"] * 200 + ["a.csv"]
    pairs = archive_names(names, NOW, taken_of)
    assert len({name for pair in pairs for name in pair}) == 2 * len(names)
    assert not {name for pair in pairs for name in pair} & taken
    assert pairs[-1] == ("a.20261122T101013Z.csv", "a.20261122T101013Z.failed.csv")
    assert asked[0] == len(names)
    assert max(asked) <= 4_096


def test_bak_has_the_directorys_group_and_lets_the_client_look(claim: Claim) -> None:
    gid = 65534 if os.geteuid() == 0 else claim.directory.stat().st_gid
    os.chown(claim.directory, -1, gid)
    put(claim)
    bak = claim.directory / "bak"
    assert (stat.S_IMODE(bak.stat().st_mode), bak.stat().st_gid) == (0o2750, gid)
    for path in bak.iterdir():
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (0o640, gid)


def test_bak_is_finished_when_a_crash_came_before_its_mode(claim: Claim) -> None:
    (claim.directory / "bak").mkdir(mode=0o700)
    assert stat.S_IMODE(make_bak(claim.directory).stat().st_mode) == 0o2750


def test_a_mode_that_somebody_gave_bak_stays(claim: Claim) -> None:
    make_bak(claim.directory).chmod(0o2755)
    assert stat.S_IMODE(make_bak(claim.directory).stat().st_mode) == 0o2755


@pytest.mark.parametrize("kind", ["link", "file", "foreign"])
def test_a_bak_that_is_not_ours_takes_nothing(claim: Claim, tmp_path: Path, kind: str) -> None:
    bak = claim.directory / "bak"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if kind == "link":
        bak.symlink_to(elsewhere)
    elif kind == "file":
        bak.touch()
    elif os.geteuid() == 0:
        bak.mkdir()
        os.chown(bak, 65534, -1)
    else:
        pytest.skip("only root can give a directory away")
    with pytest.raises(NotOursError):
        put(claim)
    assert list(elsewhere.iterdir()) == []
    assert claim.copy.read_bytes() == DATA


def test_the_copy_and_the_report_go_to_bak_and_the_original_goes(claim: Claim) -> None:
    inode = claim.copy.stat().st_ino
    put(claim)
    assert in_bak(claim) == EVERYTHING
    assert (claim.directory / "bak" / NAMES[0]).stat().st_ino == inode
    assert not claim.work.exists()


def test_a_file_that_was_never_copied_goes_itself(claim: Claim) -> None:
    claim.copy.unlink()
    move(ForBak(claim=claim, archive=NAMES[0], report=None, sha256=""))
    assert in_bak(claim) == {NAMES[0]: DATA}


@pytest.mark.parametrize("taken", NAMES)
@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_is_overwritten_and_nothing_is_moved_when_a_name_is_taken(claim: Claim, taken: str, kind: str) -> None:
    path = make_bak(claim.directory) / taken
    if kind == "link":
        path.symlink_to("nowhere")
    else:
        path.write_bytes(b"foreign")
    with pytest.raises(FileExistsError):
        put(claim)
    assert list(path.parent.iterdir()) == [path]
    assert (claim.original.exists(), claim.copy.exists(), claim.report.exists()) == (True, True, True)
    move(ForBak(claim=claim, archive="other.csv", report="other.failed.csv", sha256=SHA256))
    path.unlink()
    assert in_bak(claim) == {"other.csv": DATA, "other.failed.csv": REPORT}


@pytest.mark.parametrize("step", range(6))
def test_a_crash_after_any_step_is_finished_by_doing_it_again(claim: Claim, step: int) -> None:
    bak = make_bak(claim.directory)
    steps: list[Callable[[], object]] = [
        lambda: claim.copy.rename(bak / NAMES[0]),
        lambda: claim.report.rename(bak / NAMES[1]),
        claim.original.unlink,
        claim.work.rmdir,
        claim.work.parent.rmdir,
    ]
    for do in steps[:step]:
        do()
    for _ in range(2):
        put(claim)
        assert in_bak(claim) == EVERYTHING
        assert not claim.work.exists()


def test_an_original_that_was_changed_after_the_copy_went_to_bak_is_not_archived(claim: Claim) -> None:
    claim.copy.rename(make_bak(claim.directory) / NAMES[0])
    claim.original.write_bytes(b"changed since")
    put(claim)
    assert in_bak(claim) == EVERYTHING


def test_a_file_that_is_nowhere_is_an_error_not_an_empty_archive(claim: Claim) -> None:
    claim.copy.unlink()
    claim.original.unlink()
    with pytest.raises(FileNotFoundError):
        put(claim)
    assert in_bak(claim) == {}


@pytest.fixture
def elsewhere(claim: Claim) -> Iterator[Path]:
    """A bak that is another file system."""
    bak = make_bak(claim.directory)
    with mounted(bak, "-t", "tmpfs", "-o", "size=64k,mode=2750", "tmpfs"):
        yield bak


def test_a_bak_on_another_mount_gets_a_copy(claim: Claim, elsewhere: Path) -> None:
    claim.original.chmod(0o600)
    put(claim)
    assert in_bak(claim) == EVERYTHING
    assert {stat.S_IMODE(path.stat().st_mode) for path in elsewhere.iterdir()} == {0o640}
    assert not claim.work.exists()


def test_a_bind_mount_of_the_same_file_system_is_another_mount(claim: Claim, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with mounted(make_bak(claim.directory), "--bind", str(other)):
        put(claim)
        assert in_bak(claim) == EVERYTHING


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("draft", [b"", b"half", DATA])
def test_a_draft_that_a_crash_left_on_another_mount_is_replaced(claim: Claim, draft: bytes) -> None:
    (claim.directory / "bak" / f".userdrop-{claim.id}").write_bytes(draft)
    put(claim)
    assert in_bak(claim) == EVERYTHING


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("there", [NAMES[:1], NAMES])
def test_a_crash_before_the_source_goes_on_another_mount_is_finished(claim: Claim, there: tuple[str, ...]) -> None:
    for name in there:
        (claim.directory / "bak" / name).write_bytes(EVERYTHING[name])
    put(claim)
    assert in_bak(claim) == EVERYTHING


def test_the_longest_name_fits_another_mount(claim: Claim, elsewhere: Path) -> None:
    long = Claim(id=claim.id, client="acme", directory=claim.directory, name="x" * 251 + ".csv")
    claim.original.rename(long.original)
    long.copy.unlink()
    archive, _ = names_in_bak(long.name)
    move(ForBak(claim=long, archive=archive, report=None, sha256=""))
    assert [path.name for path in elsewhere.iterdir()] == [archive]


def test_a_bak_that_is_full_keeps_everything_and_can_be_tried_again(claim: Claim, elsewhere: Path) -> None:
    (elsewhere / "filler").write_bytes(b"x" * (64 << 10))
    with pytest.raises(OSError, match="No space"):
        put(claim)
    assert claim.copy.read_bytes() == DATA
    assert claim.original.exists()
    (elsewhere / "filler").unlink()
    put(claim)
    assert in_bak(claim) == EVERYTHING
