"""Who may claim a client's files, on a real PostgreSQL, and what becomes of an import whose connection is lost."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError

from importer.client_lock import ClientLocks, LockedElsewhereError
from importer.database.engines import make_engine
from importer.database.failures import is_outage
from importer.importing import Importer
from importer.model import Imported, Outcome, Refused
from importer.storing.repeats import MANY_ROWS
from tests.importing import LIMITS, PEOPLE, Site, asking_for_users, clock, large_roster, make_site
from tests.servers.postgresql import PostgresqlServer, postgresql_server
from tests.servers.proxy import proxy
from tests.servers.tools import wait_until

FILE = "uid,email,city\nU1,a@b.ca,Hull\nU2,x,\n"
NODES = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
)
END_NODES = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'userdrop'"
)


class Node:
    """An importing process of its own, as far as the database can tell."""

    def __init__(self, url: str, tokens: str) -> None:
        self.engine = make_engine(url, single=True)
        self.locks = ClientLocks(self.engine)
        self.importer = Importer(self.engine, PEOPLE, LIMITS, clock(tokens=tokens))

    def work(self, site: Site, *names: str) -> list[Outcome]:
        """Finish what was left, then import these files."""
        done: list[Outcome] = []
        with self.locks.locked("acme", site.directory):
            done += self.importer.recover("acme", site.folder)
            done += self.importer.import_files("acme", site.folder, [site.seen(name) for name in names])
        return done


@pytest.fixture
def site(tmp_path: Path, postgresql: PostgresqlServer) -> Site:
    """A client's directory and a database, looked at from outside: each question has a connection of its own."""
    url = postgresql.url()
    made = make_site(tmp_path, url=url)
    made.engine.dispose()
    return Site(directory=made.directory, engine=create_engine(url, poolclass=NullPool), format=PEOPLE)


@pytest.fixture
def node(site: Site) -> Iterator[Callable[..., Node]]:
    with ExitStack() as stack:

        def start(tokens: str, url: str | None = None) -> Node:
            made = Node(url or site.engine.url.render_as_string(hide_password=False), tokens)
            stack.callback(made.engine.dispose)
            return made

        yield start


def test_the_one_connection_hands_out_users_while_a_roster_is_copied(site: Site, node: Callable[..., Node]) -> None:
    one = node("abc")
    site.drop("people.csv", large_roster("Hull"))
    one.work(site, "people.csv")
    site.drop("people.csv", large_roster("Ottawa"))
    with asking_for_users(one.engine) as threads:
        one.work(site, "people.csv")
    assert threads == ["foreknow_0"]
    assert [(entry["inserted"], entry["updated"]) for entry in site.ledger()] == [(MANY_ROWS, 0), (0, 1)]


def ask(engine: Engine, question: str) -> list[object]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return list(connection.execute(text(question)).scalars())


def assert_done_once(site: Site) -> None:
    assert list(site.users()) == ["U1"]
    (entry,) = site.ledger()
    assert (entry["status"], entry["inserted"], entry["failed"]) == ("imported", 1, 1)
    assert entry["archived_at"] is not None
    assert site.notices() == [("imported", "client")]
    assert sorted(site.archived()) == sorted([entry["archive"], entry["report"]])
    assert site.left() == [".importing", ".importing/.lock"]


def test_one_node_holds_a_client_until_it_is_gone(site: Site, node: Callable[..., Node]) -> None:
    site.drop("people.csv", FILE)
    one, two = node("a"), node("b")
    with one.locks.locked("acme", site.directory) as is_new:
        assert is_new
    with pytest.raises(LockedElsewhereError):
        two.work(site, "people.csv")
    assert site.left() == [".importing", ".importing/.lock", "people.csv"]
    with one.locks.locked("acme", site.directory) as is_new:
        assert not is_new
    one.engine.dispose()
    wait_until(lambda: ask(site.engine, NODES) == [0], "the lock to be freed")
    two.work(site, "people.csv")
    assert_done_once(site)


def test_nodes_with_directories_of_their_own_work_side_by_side(
    site: Site, node: Callable[..., Node], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Site(directory=tmp_path / "other", engine=site.engine, format=PEOPLE)
    one, two = node("a"), node("b")
    site.drop("people.csv", "uid,city\nU1,Hull\nU2,\n")
    other.drop("people.csv", "uid,city\nU1,\nU3,Oka\n")
    one.work(site, "people.csv")
    two.work(other, "people.csv")
    one.work(site)
    assert {key: user["city"] for key, user in site.users().items()} == {"U1": "Hull", "U2": None, "U3": "Oka"}
    assert [entry["directory"] for entry in site.ledger()] == [str(site.directory), str(other.directory)]
    assert len(site.archived()) == len(other.archived()) == 1


def test_a_node_leaves_what_lies_half_done_in_another_nodes_directory(
    site: Site, node: Callable[..., Node], tmp_path: Path
) -> None:
    site.drop("people.csv", FILE)
    site.bak.write_bytes(b"in the way")
    node("a").work(site, "people.csv")
    site.bak.unlink()
    (tmp_path / "other").mkdir()
    node("b").work(Site(directory=tmp_path / "other", engine=site.engine, format=PEOPLE))
    assert site.archived() == {}
    ask(site.engine, END_NODES)
    node("c").work(site)
    assert_done_once(site)


def test_the_same_directory_by_another_path_is_the_same_client(
    site: Site, node: Callable[..., Node], tmp_path: Path
) -> None:
    (tmp_path / "alias").symlink_to(site.directory)
    one, two = node("a"), node("b")
    one.work(site)
    with pytest.raises(LockedElsewhereError):
        two.work(Site(directory=tmp_path / "alias", engine=site.engine, format=PEOPLE))


def test_services_of_different_databases_take_turns_in_one_directory(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}" for name in ("one.db", "two.db")]
    one, two = (ClientLocks(make_engine(url, single=True)) for url in urls)
    with one.locked("acme", tmp_path), pytest.raises(LockedElsewhereError), two.locked("acme", tmp_path):
        raise AssertionError
    with two.locked("acme", tmp_path) as is_new:
        assert not is_new


def test_who_has_lost_the_connection_writes_nothing_more_and_moves_no_file_at_the_same_time_as_its_successor(
    site: Site, node: Callable[..., Node]
) -> None:
    one, two = node("a"), node("b")
    with one.locks.locked("acme", site.directory):
        assert ask(site.engine, END_NODES)
        with pytest.raises(OperationalError, match="lock was lost") as lost:
            list(one.importer.recover("acme", site.folder))
        assert is_outage(lost.value)
        with pytest.raises(LockedElsewhereError):
            two.work(site)
    two.work(site)
    with pytest.raises(LockedElsewhereError):
        one.work(site)


def before_commit(engine: Engine, act: Callable[[Connection], object]) -> None:
    """Act once, when an import is about to be committed."""
    acts = [act]

    def on_commit(connection: Connection) -> None:
        if acts and connection.execute(text("SELECT count(*) FROM imports")).scalar_one():
            acts.pop()(connection)

    event.listen(engine, "commit", on_commit)


@contextmanager
def held_in_commit(engine: Engine) -> Iterator[None]:
    """Have every commit of an import wait within itself until the block is left."""
    making = text(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END $$;"
        " CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON imports DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION hold()"
    )
    with engine.begin() as connection:
        connection.execute(making)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(42)"))
        yield


def test_a_backend_that_is_terminated_before_the_commit_has_imported_nothing(
    site: Site, node: Callable[..., Node]
) -> None:
    site.drop("people.csv", FILE)
    one = node("a")

    before_commit(one.engine, lambda _: ask(site.engine, END_NODES))
    with pytest.raises(OperationalError):
        one.work(site, "people.csv")
    assert site.ledger() == []
    node("b").work(site)
    assert_done_once(site)


def test_a_backend_that_is_terminated_in_the_commit_has_imported_nothing(site: Site, node: Callable[..., Node]) -> None:
    site.drop("people.csv", FILE)
    one, two = node("a"), node("b")
    waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 42"
    with held_in_commit(site.engine):
        in_commit: list[object] = []

        def terminate() -> None:
            wait_until(lambda: bool(ask(site.engine, waiting)), "the commit", timeout=20)
            in_commit.extend(ask(site.engine, END_NODES))

        with beside(terminate), pytest.raises(OperationalError):
            one.work(site, "people.csv")
    assert in_commit
    assert site.ledger() == []
    two.work(site)
    assert_done_once(site)


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(work)
        yield
        ending.result(30)


@pytest.mark.parametrize(("where", "committed"), [("before", 0), ("after", 1)])
def test_a_connection_that_is_cut_at_the_commit_leads_to_no_second_import(
    site: Site, node: Callable[..., Node], where: str, committed: int
) -> None:
    site.drop("people.csv", FILE)
    url = make_url(site.engine.url)
    with proxy(Path(str(url.query["host"]))) as cutting:
        through = url.set(query={"host": str(cutting.directory)}).render_as_string(hide_password=False)
        one = node("a", through)

        before_commit(one.engine, lambda _: setattr(cutting, f"cut_{where}", b"COMMIT"))
        with pytest.raises(OperationalError):
            one.work(site, "people.csv")
        assert cutting.cuts == 1
        cutting.cut_before = cutting.cut_after = None
        wait_until(lambda: ask(site.engine, NODES) == [0], "the server to notice")
        assert len(site.ledger()) == committed
        done = one.work(site)
        one.engine.dispose()
    assert len([outcome for outcome in done if isinstance(outcome, Imported)]) == 1 - committed
    assert_done_once(site)


@pytest.fixture(scope="module")
def failing_over() -> Iterator[PostgresqlServer]:
    """A server of its own that tests stop and start; who asks for it waits in COMMIT for a standby that never comes."""
    with postgresql_server(synchronous_standby_names="nobody", synchronous_commit="local") as server:
        yield server


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """A node at work on a server that is about to stop."""

    server: PostgresqlServer
    site: Site
    node: Node

    def stop(self, *_: object) -> None:
        self.server.stop_at_once()


@pytest.fixture
def failover(tmp_path: Path, failing_over: PostgresqlServer) -> Iterator[Failover]:
    url = failing_over.url()
    made = make_site(tmp_path, url=url)
    made.engine.dispose()
    site = Site(directory=made.directory, engine=create_engine(url, poolclass=NullPool), format=PEOPLE)
    with site.engine.begin() as connection:
        connection.execute(text(SLOW_COMMIT))
    node = Node(url, "a")
    yield Failover(server=failing_over, site=site, node=node)
    node.engine.dispose()
    failing_over.start()


SLOW_COMMIT = (
    "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF current_setting('test.wait', true) = 'on' THEN PERFORM pg_sleep(60); END IF; RETURN NULL; END $$;"
    " CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON imports DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION wait()"
)
WAITS_IN_COMMIT = "SELECT pid FROM pg_stat_activity WHERE wait_event IN ('PgSleep', 'SyncRep')"
BEFORE_IT_IS_DURABLE = "SET LOCAL test.wait TO 'on'"
WHEN_IT_IS_DURABLE = "SET LOCAL synchronous_commit TO on"
Stopping = Callable[[Failover], AbstractContextManager[object]]


def before(failover: Failover) -> AbstractContextManager[object]:
    before_commit(failover.node.engine, failover.stop)
    return nullcontext()


def within(how: str) -> Stopping:
    def stopping(failover: Failover) -> AbstractContextManager[object]:
        def stop() -> None:
            wait_until(lambda: bool(ask(failover.site.engine, WAITS_IN_COMMIT)), "the commit", timeout=20)
            failover.stop()

        before_commit(failover.node.engine, lambda connection: connection.execute(text(how)))
        return beside(stop)

    return stopping


def after(failover: Failover) -> AbstractContextManager[object]:
    """When the next transaction begins."""
    acts = [failover.stop]

    def on_begin(_: Connection) -> None:
        if acts and ask(failover.site.engine, "SELECT count(*) FROM imports") != [0]:
            acts.pop()()

    event.listen(failover.node.engine, "begin", on_begin)
    return nullcontext()


@pytest.mark.postgresql
@pytest.mark.parametrize("names", [["people.csv"], ["people.csv", "more.csv", "empty.csv"]], ids=["one", "group"])
@pytest.mark.parametrize(
    ("stopping", "is_committed"),
    [
        pytest.param(before, False, id="before the commit"),
        pytest.param(within(BEFORE_IT_IS_DURABLE), False, id="in the commit"),
        pytest.param(within(WHEN_IT_IS_DURABLE), True, id="in the commit that is durable"),
        pytest.param(after, True, id="after the commit"),
    ],
)
def test_a_server_that_fails_over_in_mid_import_leads_to_no_second_import_and_no_lost_file(
    failover: Failover,
    names: list[str],
    stopping: Stopping,
    is_committed: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    place, one = failover.site, failover.node
    contents = {"people.csv": FILE, "more.csv": "uid,city\nU1,Oka\nU3,Hull\n", "empty.csv": ""}
    for name in names:
        place.drop(name, contents[name])
    with stopping(failover), pytest.raises(OperationalError) as lost:
        one.work(place, *names)
    assert is_outage(lost.value)
    with pytest.raises(OperationalError):
        one.work(place)
    failover.server.start()
    assert len(place.ledger()) == (len(names) if is_committed else 0)

    done = one.work(place)
    assert [type(outcome) for outcome in done if isinstance(outcome, Imported | Refused)] == (
        [] if is_committed else [Imported, Imported, Refused][: len(names)]
    )
    assert one.work(place) == []
    if names == ["people.csv"]:
        assert_done_once(place)
        return
    assert {key: user["city"] for key, user in place.users().items()} == {"U1": "Oka", "U3": "Hull"}
    entries = place.ledger()
    assert [(entry["file"], entry["inserted"], entry["updated"], entry["failed"]) for entry in entries] == [
        ("people.csv", 1, 0, 1),
        ("more.csv", 1, 1, 0),
        ("empty.csv", 0, 0, 0),
    ]
    assert place.notices() == [("imported", "client"), ("refused", "client"), ("refused", "admin")]
    archived = place.archived()
    assert [archived[entry["archive"]].decode() for entry in entries] == [contents[name] for name in names]
    assert len(archived) == 4
    assert place.left() == [".importing", ".importing/.lock"]
