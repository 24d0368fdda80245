"""When an upload is complete: the state machine against a slow one that looks at the whole history."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from importer.model import Fingerprint
from watcher.uploads.model import Evidence, ServerVerdict, Sighting
from watcher.uploads.settling import Decision, InDoubt, Patience, Settled, Waiting, Watched, decide, look, look_again

PATIENCE = Patience(proven=3, quiet=30, long_quiet=601)
SEEN = Sighting(
    name="a.csv",
    content=Fingerprint(device=1, inode=2, size=100, modified_ns=1_000),
    changed_ns=1_000,
    is_locked=False,
)
OK, FAILED, UNCLEAR = ServerVerdict.OK, ServerVerdict.FAILED, ServerVerdict.UNCLEAR


def with_content(sighting: Sighting = SEEN, **content: int) -> Sighting:
    return replace(sighting, content=replace(sighting.content, **content))


def decided(*looks: tuple[float, Sighting], patience: Patience = PATIENCE) -> Decision:
    """What is decided at the last of several looks, each with its time."""
    watched = None
    for now, sighting in looks:
        watched = look(watched, sighting, now)
    assert watched is not None
    return decide(watched, patience, looks[-1][0])


def test_a_file_settles_when_it_lay_unchanged_for_the_quiet_time() -> None:
    assert decided((0, SEEN)) == Waiting(30)
    assert decided((0, SEEN), (29.9, SEEN)) == Waiting(30)
    assert decided((0, SEEN), (30, SEEN)) == Settled(Evidence.QUIET_AND_UNLOCKED)


def test_a_change_starts_the_quiet_time_again() -> None:
    for changed in (
        with_content(size=101),
        with_content(modified_ns=1_001),
        with_content(inode=3),
        replace(SEEN, changed_ns=1_001),
    ):
        assert decided((0, SEEN), (20, changed)) == Waiting(50)
        assert decided((0, SEEN), (20, changed), (50, changed)) == Settled(Evidence.QUIET_AND_UNLOCKED)


def test_a_lock_vetoes_whatever_else_says_that_the_file_is_complete() -> None:
    locked = replace(SEEN, is_locked=True)
    for hinted in (locked, replace(locked, verdict=OK), replace(locked, came_by_rename=True)):
        assert isinstance(decided((0, hinted), (10_000, locked)), Waiting)


def test_a_file_is_not_complete_until_its_quiet_time_has_passed_since_the_last_lock() -> None:
    locked = replace(SEEN, is_locked=True)
    assert decided((0, SEEN), (29, locked), (31, SEEN)) == Waiting(59)


def test_an_ok_in_the_log_shortens_the_wait() -> None:
    assert decided((0, replace(SEEN, verdict=OK))) == Waiting(3)
    assert decided((0, replace(SEEN, verdict=OK)), (3, SEEN)) == Settled(Evidence.SERVER_LOG)
    assert decided((0, SEEN), (10, replace(SEEN, verdict=OK))) == Settled(Evidence.SERVER_LOG)


def test_a_rename_shortens_the_wait() -> None:
    assert decided((0, replace(SEEN, came_by_rename=True)), (2.9, SEEN)) == Waiting(3)
    assert decided((0, replace(SEEN, came_by_rename=True)), (3, SEEN)) == Settled(Evidence.RENAME)


@pytest.mark.parametrize("verdict", [OK, FAILED])
@pytest.mark.parametrize("mode", [replace(SEEN, changed_ns=2_000)])
def test_a_new_mode_does_not_lose_the_verdict(verdict: ServerVerdict, mode: Sighting) -> None:
    expected = Settled(Evidence.SERVER_LOG) if verdict is OK else InDoubt()
    assert decided((0, replace(SEEN, verdict=verdict)), (1, mode), (4, mode)) == expected


def test_a_new_time_after_an_ok_does_not_lose_the_verdict() -> None:
    mdtm = with_content(replace(SEEN, changed_ns=2_000), modified_ns=5)
    assert decided((0, replace(SEEN, verdict=OK)), (1, mdtm)) == Waiting(4)
    assert decided((0, replace(SEEN, verdict=OK)), (1, mdtm), (4, mdtm)) == Settled(Evidence.SERVER_LOG)


def test_a_new_size_loses_the_verdict_and_the_rename() -> None:
    longer = with_content(size=101)
    assert decided((0, replace(SEEN, verdict=OK)), (1, longer)) == Waiting(31)
    assert decided((0, replace(SEEN, came_by_rename=True)), (1, longer)) == Waiting(31)


def test_a_failed_upload_is_held_for_ever() -> None:
    assert decided((0, replace(SEEN, verdict=FAILED))) == InDoubt()
    assert decided((0, replace(SEEN, verdict=FAILED)), (1_000_000, SEEN)) == InDoubt()


def test_a_failed_upload_is_taken_up_again_when_it_is_written_again() -> None:
    failed = replace(SEEN, verdict=FAILED)
    assert decided((0, failed), (10, with_content(size=101))) == Waiting(40)
    assert decided((0, failed), (10, with_content(modified_ns=1_001))) == Waiting(40)
    assert decided((0, failed), (10, replace(SEEN, verdict=OK))) == Settled(Evidence.SERVER_LOG)


def test_an_empty_file_waits_the_long_time_whatever_the_log_says() -> None:
    empty = with_content(size=0)
    for first in (empty, replace(empty, verdict=OK), replace(empty, came_by_rename=True)):
        assert decided((0, first), (600, empty)) == Waiting(601)
        assert decided((0, first), (601, empty)) == Settled(Evidence.LONG_QUIET)


def test_where_locks_cannot_be_asked_for_a_file_waits_the_long_time() -> None:
    unknown = replace(SEEN, is_locked=None)
    assert decided((0, unknown), (600, unknown)) == Waiting(601)
    assert decided((0, unknown), (601, unknown)) == Settled(Evidence.LONG_QUIET)


def test_silence_in_a_log_that_is_read_means_the_long_time() -> None:
    patience = replace(PATIENCE, reads_log=True)
    assert decided((0, SEEN), (600, SEEN), patience=patience) == Waiting(601)
    assert decided((0, SEEN), (601, SEEN), patience=patience) == Settled(Evidence.LONG_QUIET)


def test_an_upload_whose_end_a_log_that_tells_all_does_not_tell_is_held_after_the_long_time() -> None:
    patience = replace(PATIENCE, reads_log=True)

    def unlogged(*looks: tuple[float, Sighting]) -> Decision:
        watched = None
        for now, sighting in looks:
            watched = look(watched, sighting, now)
        assert watched is not None
        return decide(watched, patience, looks[-1][0], is_unlogged=True)

    assert unlogged((0, SEEN), (600, SEEN)) == Waiting(601)
    assert unlogged((0, SEEN), (601, SEEN)) == InDoubt()
    assert unlogged((0, SEEN), (601, replace(SEEN, is_locked=True))) == Waiting(1202)
    assert unlogged((0, with_content(size=0)), (601, with_content(size=0))) == InDoubt()
    assert unlogged((0, SEEN), (700, SEEN), (701, replace(SEEN, verdict=OK))) == Settled(Evidence.SERVER_LOG)
    assert unlogged((0, SEEN), (700, SEEN), (701, with_content(size=101))) == Waiting(1302)
    assert unlogged((0, replace(SEEN, came_by_rename=True)), (3, SEEN)) == Settled(Evidence.RENAME)
    empty = with_content(replace(SEEN, verdict=OK), size=0)
    assert unlogged((0, empty), (601, replace(empty, verdict=None))) == Settled(Evidence.LONG_QUIET)


@given(modified=st.integers(-(2**62), 2**62), changed=st.integers(-(2**62), 2**62), start=st.floats(0, 1e9))
@settings(deadline=None)
def test_the_files_own_times_do_not_matter(modified: int, changed: int, start: float) -> None:
    dated = with_content(replace(SEEN, changed_ns=changed), modified_ns=modified)
    assert decided((start, dated)) == Waiting(start + 30)
    assert decided((start, dated), (start + 31, dated)) == Settled(Evidence.QUIET_AND_UNLOCKED)


def test_a_fail_that_leaves_a_complete_file_as_it_was_is_about_another_one() -> None:
    """As another account's upload of the same name, which the server refused."""
    refused = replace(SEEN, verdict=FAILED)
    by_log = look(look(None, replace(SEEN, verdict=OK), 0), refused, 10)
    assert decide(by_log, PATIENCE, 10) == Settled(Evidence.SERVER_LOG)
    renamed = look(look(None, replace(SEEN, came_by_rename=True), 0), refused, 10, is_proven=True)
    assert decide(renamed, PATIENCE, 10) == Settled(Evidence.RENAME)
    unproven = look(look(None, SEEN, 0), refused, 700)
    assert decide(unproven, PATIENCE, 700) == InDoubt(), "its own line came late"
    again = look(by_log, with_content(refused, modified_ns=5), 11)
    assert decide(again, PATIENCE, 700) == InDoubt(), "somebody wrote"


def test_a_fail_whose_bytes_do_not_agree_says_nothing_for_certain() -> None:
    """As of an upload in ASCII mode: it is neither cut nor complete, and waits the long time."""
    patience = replace(PATIENCE, reads_log=True)
    unclear = look(None, replace(SEEN, verdict=UNCLEAR), 0)
    assert decide(unclear, patience, 600, is_unlogged=True) == Waiting(601)
    assert decide(unclear, patience, 601, is_unlogged=True) == Settled(Evidence.LONG_QUIET)
    seen_before = look(look(None, SEEN, 0), replace(SEEN, verdict=UNCLEAR), 1)
    assert decide(seen_before, patience, 601, is_unlogged=True) == Settled(Evidence.LONG_QUIET), "the line came later"
    cut = look(look(None, replace(SEEN, verdict=FAILED), 0), replace(SEEN, verdict=UNCLEAR), 1)
    assert decide(cut, patience, 9_999) == InDoubt(), "what is certain stays so"
    complete = look(look(None, replace(SEEN, verdict=OK), 0), replace(SEEN, verdict=UNCLEAR), 5)
    assert decide(complete, patience, 5) == Settled(Evidence.SERVER_LOG), "it left the file as it was"
    shorter = look(complete, with_content(replace(SEEN, verdict=UNCLEAR), size=50), 6)
    assert decide(shorter, patience, 600) == Waiting(607)


def test_silence_says_nothing_of_a_file_that_was_there_before_anybody_looked() -> None:
    patience = replace(PATIENCE, reads_log=True)
    found = look(None, replace(SEEN, was_there=True), 0)
    seen_again = look(found, SEEN, 601)
    assert decide(seen_again, patience, 601, is_unlogged=True) == Settled(Evidence.LONG_QUIET)
    written = look(found, with_content(size=101), 10)
    assert decide(written, patience, 611, is_unlogged=True) == InDoubt(), "its end should have been told"


@pytest.mark.parametrize("decided", [Settled(Evidence.RENAME), Settled(Evidence.LONG_QUIET), InDoubt()])
def test_what_was_decided_before_a_restart_stands_until_the_file_changes(decided: Settled | InDoubt) -> None:
    patience = replace(PATIENCE, reads_log=True)
    known = look_again(decided, SEEN, 5)
    assert decide(known, patience, 5, is_unlogged=True) == decided
    assert decide(look(known, SEEN, 900), patience, 900) == decided
    for changed in (with_content(size=101), with_content(modified_ns=7), replace(SEEN, is_locked=True)):
        assert isinstance(decide(look(known, changed, 6), patience, 6), Waiting)
    assert decide(look(known, replace(SEEN, verdict=OK), 9), patience, 12) == Settled(Evidence.SERVER_LOG)


def test_a_fail_that_the_log_repeats_after_a_restart_holds_no_file_whose_end_was_seen() -> None:
    refused = replace(SEEN, verdict=FAILED)
    assert decide(look_again(Settled(Evidence.RENAME), refused, 5), PATIENCE, 5) == Settled(Evidence.RENAME)
    assert decide(look_again(Settled(Evidence.LONG_QUIET), refused, 5), PATIENCE, 5) == InDoubt()


@dataclass(frozen=True)
class Looked:
    at: float
    sighting: Sighting
    is_proven: bool = False


def since_size(history: list[Looked]) -> list[Looked]:
    """The looks that saw the file as long as it is now."""
    last = history[-1].sighting.content
    kept: list[Looked] = []
    for each in reversed(history):
        content = each.sighting.content
        if (content.inode, content.size) != (last.inode, last.size):
            break
        kept.insert(0, each)
    return kept


def verdict_of(history: list[Looked]) -> ServerVerdict | None:
    found: ServerVerdict | None = None
    before: Looked | None = None
    for each in since_size(history):
        is_same = before is not None and before.sighting.content == each.sighting.content
        heard = each.sighting.verdict
        if is_same and heard is UNCLEAR and (each.is_proven or found is not None):
            heard = None
        if is_same and heard is FAILED and (each.is_proven or found is OK):
            heard = None
        wrote_again = before is not None and not is_same
        found = heard or (None if found is FAILED and wrote_again else found)
        before = each
    return found


def was_there(history: list[Looked]) -> bool:
    """Whether the file has been as it is now since before anybody looked."""
    found = False
    before: Looked | None = None
    for each in since_size(history):
        is_same = before is not None and before.sighting.content == each.sighting.content
        found = found if is_same else each.sighting.was_there
        before = each
    return found


def needed(history: list[Looked], patience: Patience) -> float:
    looks = since_size(history)
    last = looks[-1].sighting
    if last.content.size == 0:
        return patience.long_quiet
    if verdict_of(history) is OK or any(each.sighting.came_by_rename for each in looks):
        return patience.proven
    return patience.long_quiet if patience.reads_log or last.is_locked is None else patience.quiet


def is_proved_quiet(history: list[Looked], seconds: float) -> bool:
    """Whether a look that long ago saw what is seen now, with nothing else and no lock seen in between."""
    now, last = history[-1].at, history[-1].sighting
    for before, after in pairwise(reversed(history)):
        seen = after.sighting
        if before.sighting.is_locked or (seen.content, seen.changed_ns) != (last.content, last.changed_ns):
            return False
        if now >= after.at + seconds:
            return True
    return False


class Settling(RuleBasedStateMachine):
    """A sender, a server and a clock that do as they like, and somebody who looks now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.next_ns = 10_000
        self.file = SEEN
        self.watched: Watched | None = None
        self.history: list[Looked] = []
        self.decision: Decision | None = None
        self.patience = PATIENCE
        self.is_unlogged = False

    def stamp(self) -> int:
        self.next_ns += 1
        return self.next_ns

    @rule(reads_log=st.booleans(), tells_all=st.booleans())
    @precondition(lambda self: not self.history)
    def reads_the_log_or_not(self, *, reads_log: bool, tells_all: bool) -> None:
        self.patience = replace(PATIENCE, reads_log=reads_log)
        self.is_unlogged = reads_log and tells_all

    @rule(size=st.sampled_from([0, 1, 100, 101]))
    def somebody_writes(self, size: int) -> None:
        stamp = self.stamp()
        self.file = with_content(replace(self.file, changed_ns=stamp), size=size, modified_ns=stamp)

    @rule(modified=st.integers(0, 2**60))
    def somebody_sets_the_time(self, modified: int) -> None:
        self.file = with_content(replace(self.file, changed_ns=self.stamp()), modified_ns=modified)

    @rule()
    def somebody_sets_the_mode(self) -> None:
        self.file = replace(self.file, changed_ns=self.stamp())

    @rule()
    def another_file_takes_the_name(self) -> None:
        self.file = with_content(replace(self.file, changed_ns=self.stamp(), came_by_rename=True), inode=self.stamp())

    @rule(is_locked=st.sampled_from([True, False, None]))
    def the_lock_changes(self, is_locked: bool | None) -> None:  # noqa: FBT001 - hypothesis passes it by name
        self.file = replace(self.file, is_locked=is_locked)

    @rule()
    def it_is_found_there(self) -> None:
        self.file = replace(self.file, was_there=True)

    @rule(verdict=st.sampled_from([OK, FAILED, UNCLEAR]))
    def the_log_says(self, verdict: ServerVerdict) -> None:
        self.file = replace(self.file, verdict=verdict)

    @rule(seconds=st.sampled_from([0.1, 1, 3, 10, 30, 100, 601]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def it_is_looked_at(self) -> None:
        is_proven = isinstance(self.decision, Settled) and self.decision.evidence is not Evidence.LONG_QUIET
        self.watched = look(self.watched, self.file, self.now, is_proven=is_proven)
        self.history.append(Looked(self.now, self.file, is_proven))
        self.decision = decide(self.watched, self.patience, self.now, is_unlogged=self.is_unlogged)
        self.file = replace(self.file, verdict=None, came_by_rename=False, was_there=False)

    @rule()
    @precondition(lambda self: bool(self.history))
    def it_is_left_alone_until_the_stated_time(self) -> None:
        self.file = replace(self.file, is_locked=False)
        self.it_is_looked_at()
        if isinstance(self.decision, Waiting):
            stated = self.decision.until
            self.now = max(self.now, stated)
            self.it_is_looked_at()
            ends = InDoubt if self.is_cut() else Settled
            assert isinstance(self.decision, ends), f"it was to settle, or to be in doubt, at {stated}"

    def is_cut(self) -> bool:
        """Whether the file waits for a verdict that would have come."""
        is_long = needed(self.history, self.patience) == self.patience.long_quiet
        return self.is_unlogged and is_long and verdict_of(self.history) is None and not was_there(self.history)

    @rule(seconds=st.sampled_from([0, 1, 1000]))
    @precondition(lambda self: isinstance(self.decision, Settled))
    def what_is_settled_stays_settled(self, seconds: float) -> None:
        if replace(self.history[-1].sighting, was_there=False) == self.file and not self.file.is_locked:
            settled = self.decision
            self.now += seconds
            self.it_is_looked_at()
            assert self.decision == settled

    @invariant()
    def it_never_settles_early_or_locked(self) -> None:
        if isinstance(self.decision, Settled):
            assert not self.history[-1].sighting.is_locked
            assert is_proved_quiet(self.history, needed(self.history, self.patience))

    @invariant()
    def it_waits_only_for_a_reason(self) -> None:
        if isinstance(self.decision, Waiting):
            last = self.history[-1]
            assert self.decision.until <= last.at + self.patience.long_quiet
            assert last.sighting.is_locked or self.decision.until > last.at
            assert last.sighting.is_locked or not is_proved_quiet(self.history, needed(self.history, self.patience))

    @invariant()
    def it_is_held_exactly_after_a_fail_or_a_silence(self) -> None:
        if self.history:
            is_quiet = is_proved_quiet(self.history, self.patience.long_quiet)
            is_silent = self.is_cut() and is_quiet and not self.history[-1].sighting.is_locked
            assert isinstance(self.decision, InDoubt) == (verdict_of(self.history) is FAILED or is_silent)


Settling.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSettling = Settling.TestCase
