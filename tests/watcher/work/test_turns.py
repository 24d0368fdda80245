"""Whose turn it is: in which order clients' files are taken, and how long one client has to wait for another."""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from importer.model import Fingerprint
from watcher.uploads.batching import SORTED_AT_ONCE, oldest_first
from watcher.uploads.model import Evidence, Sighting, Upload
from watcher.work.turns import ALONE, IN_COMPANY, Batch, Turn, Turns

CLIENTS = "abcd"


def sighting(name: str, *, size: int = 1, changed_ns: int = 0) -> Sighting:
    content = Fingerprint(device=1, inode=1, size=size, modified_ns=0)
    return Sighting(name=name, content=content, changed_ns=changed_ns, is_locked=False)


def upload(client: str, name: str, *, size: int = 1, changed_ns: int = 0) -> Upload:
    seen = sighting(name, size=size, changed_ns=changed_ns)
    return Upload(client=client, sighting=seen, evidence=Evidence.QUIET_AND_UNLOCKED)


def many(client: str, number: int) -> list[Upload]:
    return [upload(client, f"{each:05}.csv") for each in range(number)]


def taken(turns: Turns) -> list[Turn]:
    """Every turn until nobody waits."""
    found = []
    while (turn := turns.take()) is not None:
        found.append(turn)
    return found


def sizes(made: list[Turn]) -> list[tuple[str, int]]:
    return [(turn.client, len(turn.uploads)) for turn in made]


@given(st.lists(st.builds(upload, st.just("a"), st.uuids().map(str), changed_ns=st.integers(0, 5))))
def test_within_a_client_the_oldest_comes_first(uploads: list[Upload]) -> None:
    ordered = [(each.sighting.changed_ns, each.name) for each in oldest_first(uploads)]
    assert ordered == sorted(ordered)
    assert len(ordered) == len(uploads)


def test_the_oldest_comes_first_in_whichever_part_of_a_large_batch_it_is_sorted() -> None:
    number = 2 * SORTED_AT_ONCE + 1
    by_age = [upload("a", f"{at:06}.csv", changed_ns=at // 3) for at in range(number)]
    assert oldest_first([by_age[at * 7 % number] for at in range(number)]) == by_age


def test_a_purge_is_a_turn_of_its_own_that_waits_for_one_group_of_its_clients_files() -> None:
    turns = Turns()
    turns.add("a", many("a", 3 * ALONE.files))
    turns.purge("a")
    assert [(len(turn.uploads), turn.purges) for turn in taken(turns)] == [
        (ALONE.files, False),
        (0, True),
        (ALONE.files, False),
        (ALONE.files, False),
    ]
    turns.purge("a")
    assert [(turn.client, turn.purges) for turn in taken(turns)] == [("a", True)]
    assert not turns


def test_a_client_that_is_alone_has_large_groups() -> None:
    turns = Turns()
    turns.add("a", many("a", 600))
    made = taken(turns)
    assert sizes(made) == [("a", 256), ("a", 256), ("a", 88)]
    assert [turn.begins for turn in made] == [Batch(files=600, bytes=600), None, None]
    assert [turn.ends for turn in made] == [False, False, True]


def test_ten_thousand_files_of_one_client_delay_another_by_one_small_group() -> None:
    turns = Turns()
    turns.add("a", many("a", 10_000))
    turns.add("b", many("b", 3))
    made = sizes(taken(turns))
    assert made[:4] == [("a", IN_COMPANY.files), ("b", 3), ("a", ALONE.files), ("a", ALONE.files)]
    assert sum(number for client, number in made if client == "a") == 10_000


def test_a_client_that_comes_while_another_is_served_is_next() -> None:
    turns = Turns()
    turns.add("a", many("a", 1000))
    assert turns.take() is not None
    turns.add("b", many("b", 1))
    assert sizes(taken(turns))[:2] == [("b", 1), ("a", ALONE.files)]


def test_a_large_file_is_a_group_of_its_own() -> None:
    turns = Turns()
    large = upload("a", "large.csv", size=ALONE.bytes + 1)
    turns.add("a", [upload("a", "1.csv"), large, upload("a", "2.csv")])
    assert sizes(taken(turns)) == [("a", 1), ("a", 1), ("a", 1)]


def test_what_several_ticks_have_found_is_one_batch_until_that_is_begun() -> None:
    turns = Turns()
    turns.add("a", many("a", 2))
    turns.add("a", many("a", 300))
    first = turns.take()
    assert first is not None
    assert first.begins == Batch(files=302, bytes=302)
    turns.add("a", many("a", 3))
    turns.add("a", many("a", 4))
    assert [(turn.begins, len(turn.uploads), turn.ends) for turn in taken(turns)] == [
        (None, 302 - ALONE.files, True),
        (Batch(files=7, bytes=7), 7, True),
    ]


def test_who_asked_has_a_turn_without_files_and_just_one() -> None:
    turns = Turns()
    turns.ask("a")
    turns.ask("a")
    assert taken(turns) == [Turn(client="a")]


def test_a_turn_that_was_given_back_comes_again_after_the_others() -> None:
    turns = Turns()
    turns.add("a", many("a", 1))
    turns.add("b", many("b", 1))
    first = turns.take()
    assert first is not None
    turns.give_back(first)
    assert [turn.client for turn in taken(turns)] == ["b", "a"]


def test_the_rest_of_a_batch_can_be_abandoned_and_the_next_batch_stays() -> None:
    turns = Turns()
    turns.add("a", many("a", 300))
    assert turns.take() is not None
    turns.add("a", many("a", 2))
    assert len(turns.abandon("a")) == 300 - ALONE.files
    assert sizes(taken(turns)) == [("a", 2)]
    assert turns.abandon("a") == ()


def test_uploads_that_were_cut_off_are_told_in_their_clients_turn_and_never_hold_up_others() -> None:
    turns = Turns()
    for number in range(1000):
        turns.tell("a", sighting(f"{number}.csv"))
    turns.add("b", many("b", 1))
    first, second, *rest = taken(turns)
    assert (first.client, len(first.to_tell), second.client) == ("a", IN_COMPANY.files, "b")
    assert len(first.to_tell) + sum(len(turn.to_tell) for turn in rest) == 1000


def test_nobody_waits_at_the_beginning() -> None:
    assert Turns().take() is None


@dataclass
class Wait:
    """A client with something to do: whom it has seen served meanwhile."""

    passed_by: Counter[str] = field(default_factory=Counter)


class TakingTurns(RuleBasedStateMachine):
    """Turns against queues that know nothing of turns."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()
        self.queues: defaultdict[str, deque[Upload]] = defaultdict(deque)
        self.untold: Counter[str] = Counter()
        self.waits: dict[str, Wait] = {}
        self.numbers = iter(range(1_000_000))

    def wait(self, client: str) -> None:
        self.waits.setdefault(client, Wait())

    @rule(client=st.sampled_from(CLIENTS), sizes=st.lists(st.integers(0, 2 * ALONE.bytes), min_size=1, max_size=5))
    def few_files_come(self, client: str, sizes: list[int]) -> None:
        self.add(client, [upload(client, f"{next(self.numbers)}", size=size) for size in sizes])

    @rule(client=st.sampled_from(CLIENTS), number=st.integers(1, 600))
    def many_files_come(self, client: str, number: int) -> None:
        self.add(client, [upload(client, f"{next(self.numbers)}") for _ in range(number)])

    def add(self, client: str, uploads: list[Upload]) -> None:
        self.turns.add(client, uploads)
        self.queues[client].extend(uploads)
        self.wait(client)

    @rule(client=st.sampled_from(CLIENTS))
    def an_upload_is_cut_off(self, client: str) -> None:
        self.turns.tell(client, sighting("cut.csv"))
        self.untold[client] += 1
        self.wait(client)

    @precondition(lambda self: self.waits)
    @rule(gives_back=st.booleans())
    def a_turn_is_taken(self, *, gives_back: bool) -> None:
        others_wait = len(self.waits) > 1
        turn = self.turns.take()
        assert turn is not None
        waited = self.waits.pop(turn.client)
        # Whoever waited has seen each other client served at most once.
        assert max(waited.passed_by.values(), default=0) <= 1
        for waiting in self.waits.values():
            waiting.passed_by[turn.client] += 1
        bound = IN_COMPANY if others_wait else ALONE
        self.untold[turn.client] -= len(turn.to_tell)
        if gives_back:
            self.turns.give_back(Turn(client=turn.client, uploads=turn.uploads, begins=turn.begins, ends=turn.ends))
            self.wait(turn.client)
            return
        assert len(turn.uploads) <= ALONE.files
        is_small = sum(each.size for each in turn.uploads) <= bound.bytes and len(turn.uploads) <= bound.files
        assert is_small or len(turn.uploads) == 1 or self.was_given_back(turn)
        for each in turn.uploads:
            assert self.queues[turn.client].popleft() == each
        if self.queues[turn.client] or self.untold[turn.client]:
            self.wait(turn.client)

    def was_given_back(self, turn: Turn) -> bool:
        """A turn that comes again has the size it had, which is that of a client that was alone."""
        return sum(each.size for each in turn.uploads) <= ALONE.bytes

    @invariant()
    def whoever_waits_has_a_turn_to_come(self) -> None:
        assert bool(self.turns) == bool(self.waits)


TestTakingTurns = TakingTurns.TestCase
TestTakingTurns.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
