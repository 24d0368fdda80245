"""The command line. Exit codes are in the help of each command."""

import gc
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from importer.format import Format
from importer.model import shown_name
from watcher.clock import utc_now
from watcher.model import CLIENT

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from importer.model import Progress
    from watcher.overview import Overview
    from watcher.settings import Settings

SOME_FAILED, REFUSED, USAGE, UNAVAILABLE, BUG = 1, 2, 3, 69, 70
DOCTOR_CODES = {"ok": 0, "warning": 1, "broken": 2}
_PROGRESS_BYTES = 8 << 20
STATUS_SECONDS = 2.0
"""From one `status --watch` to the next."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUTPUT = click.Path(dir_okay=False, writable=True, path_type=Path)


def _utf8(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """What a database can be asked for."""
    try:
        value.encode()
    except UnicodeEncodeError:
        message = "is not UTF-8"
        raise click.BadParameter(message, context, parameter) from None
    return value


_CLIENT = click.option("--client", default=CLIENT, show_default=True, callback=_utf8, help="Whose.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line, instead of a table.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="userdrop", prog_name="userdrop")
def userdrop() -> None:
    """Managed user import: clients drop a CSV of users over FTPS, userdrop does the rest.

    Settings come from environment variables; `userdrop settings` shows them.

    Exit codes: 0 done, 3 wrong usage or settings, 69 database or disk out, 70 a bug, 75 another instance is running.
    """


@userdrop.command()
@click.option("--once", is_flag=True, help="Import what is there, once it is complete, deliver the mail, and end.")
def run(*, once: bool) -> None:
    """Watch the upload directory and import at every tick.

    SIGUSR1 has a tick at once; SIGTERM finishes the file in hand and ends within 30 seconds.
    """
    from watcher.running import EndedError, serve  # noqa: PLC0415 - the other commands start faster without the service

    settings, format_ = _loaded()
    try:
        unmailed = serve(settings, format_, once=once)
    except EndedError as end:
        _fail(str(end), end.exit_code)
    _tell(unmailed)


@userdrop.command()
def demo() -> None:
    """Show the whole job on an example file, in ./var/demo."""
    from watcher.demo import show  # noqa: PLC0415 - only this command needs it

    _loaded()
    show(Path("var/demo"))


@userdrop.command()
@_JSON
@click.option("--send", is_flag=True, help="Send a test mail to USERDROP_REPLY_TO_ADMIN_EMAIL, too.")
def doctor(*, as_json: bool, send: bool) -> NoReturn:
    """Find out what is wrong, by trying it, and say what to do; also while the service runs.

    Exit codes: 0 all is well, 1 there are warnings, 2 something is broken, 3 wrong usage.
    """
    from rich.console import Console  # noqa: PLC0415 - see check

    from watcher.app import transport  # noqa: PLC0415 - see run
    from watcher.configuration import MISTAKES, load  # noqa: PLC0415
    from watcher.doctor.examining import examined, mistaken  # noqa: PLC0415 - only this command needs it
    from watcher.doctor.findings import worst  # noqa: PLC0415
    from watcher.doctor.showing import finding_json, findings_table  # noqa: PLC0415

    logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # it would write between the findings
    try:
        loaded, format_ = load()
        found = [*examined(loaded, format_, make_transport=lambda: transport(loaded), send=send)]
    except MISTAKES as error:
        found = mistaken(error.mistakes)
    if as_json:
        for each in found:
            click.echo(finding_json(each))
    else:
        Console().print(findings_table(found))
    sys.exit(DOCTOR_CODES[worst(found).value])


@userdrop.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option("--watch", is_flag=True, help=f"Show it again every {STATUS_SECONDS:.0f} seconds, until Ctrl-C.")
def status(*, as_json: bool, watch: bool) -> None:
    """Show the running service: what it imports, the files that wait and why, open alerts, last imports, mails.

    `userdrop why FILE` tells the story of one file, `userdrop history` what was imported, `userdrop mail list` the
    mails that wait.

    Exit codes: 0 done, 1 no service runs, 3 wrong usage or settings, or the service does not answer.
    """
    loaded, _ = _loaded()
    show = _show_status_json if as_json else _show_status
    show(loaded)
    while watch:
        Event().wait(STATUS_SECONDS)
        if not as_json:
            click.clear()
        show(loaded)


def _show_status_json(loaded: "Settings") -> None:
    from watcher.answering import status_json  # noqa: PLC0415 - see history

    click.echo(status_json(*_status(loaded)))


def _show_status(loaded: "Settings") -> None:
    from rich.console import Console  # noqa: PLC0415 - see check

    from watcher.answering import overview_line, overview_table, status_line, status_tables  # noqa: PLC0415

    answer, stored = _status(loaded)
    click.echo(status_line(answer))
    click.echo(overview_line(stored))
    for table in (*status_tables(answer), *([overview_table(stored)] if stored.imports else [])):
        click.echo()
        Console().print(table)


def _status(loaded: "Settings") -> tuple[dict[str, Any], "Overview"]:
    """What the running service says of itself, and what its database adds, or the end where none answers."""
    from watcher.overview import overview  # noqa: PLC0415 - see history

    answer = _answer(loaded, "status")
    if answer is None:
        _fail(f"no userdrop runs with the state directory {loaded.state_dir}; `userdrop run` starts it", SOME_FAILED)
    return answer, overview(loaded.database, utc_now())


def _answer(loaded: "Settings", *request: str) -> dict[str, Any] | None:
    """The running service's answer, None where none runs, or the end where it cannot be asked."""
    from watcher.control import asked  # noqa: PLC0415 - see history

    try:
        answer = asked(loaded.state_dir, *request)
    except FileNotFoundError:
        return None
    except OSError as error:
        _fail(
            f"userdrop's socket in {loaded.state_dir} cannot be asked: {error.strerror or 'no answer in time'}", USAGE
        )
    return answer if isinstance(answer, dict) else None


@userdrop.command()
@click.argument("file", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a summary.")
@click.option("--accepted", type=_OUTPUT, help="Write the accepted rows there: canonical columns, normalised values.")
@click.option("--failed", type=_OUTPUT, help="Write the failed-users CSV there.")
def check(*, file: Path, as_json: bool, accepted: Path | None, failed: Path | None) -> NoReturn:
    """Validate FILE without importing it.

    Exit codes: 0 every row would be accepted, 1 some failed, 2 the file would be refused, 3 wrong usage or settings.
    """
    from watcher.check_settings import CheckSettings, loading  # noqa: PLC0415 - only this command needs it
    from watcher.confining import forgo_algebra  # noqa: PLC0415

    forgo_algebra()
    with _collecting_nothing(), loading() as loaded:
        from rich.console import Console  # noqa: PLC0415 - polars, which checking needs, is not for `run`

        from importer import checking  # noqa: PLC0415
        from importer.patterns import pattern_mistakes  # noqa: PLC0415
        from watcher.presenting import checked_summary  # noqa: PLC0415

        settings = loaded() or CheckSettings.of(*_loaded())
    if mistakes := [*_mistaken_paths(file, accepted, failed), *pattern_mistakes(settings.format_)]:
        _fail("\n".join(mistakes), USAGE)
    try:
        with _progress(file) as progress:
            checked = checking.check(
                file,
                format_=settings.format_,
                max_bytes=settings.max_bytes,
                today=utc_now().date(),
                accepted=accepted,
                failed=failed,
                json_to=sys.stdout if as_json else None,
                language=settings.language,
                progress=progress,
            )
    except OSError as error:
        _fail(f"{error.filename or file}: {error.strerror or error}", USAGE)
    if not as_json:
        Console(soft_wrap=False).print(checked_summary(checked))
    sys.exit(REFUSED if checked.refused else SOME_FAILED if checked.counts.failed else 0)


@userdrop.command()
@click.option("--file", help="Only files of this name.")
@_CLIENT
@click.option("--since", type=click.IntRange(1, 36_500), metavar="DAYS", help="Only the last DAYS days.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Only that day, UTC.")
@click.option("--failed", is_flag=True, help="Only files of which a row failed or nothing was imported.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many at most.")
@_JSON
def history(
    *,
    file: str | None,
    client: str,
    since: int | None,
    day: datetime | None,
    failed: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show what happened to files, the newest first; also while the service runs.

    Exit codes: 0 done, 3 wrong usage or settings or no usable database, 69 database out.
    """
    from rich.console import Console  # noqa: PLC0415 - see check

    from importer.history import past_imports  # noqa: PLC0415 - the other commands start faster without a database
    from watcher.answering import import_json, imports_table  # noqa: PLC0415

    loaded, _ = _loaded()
    start, end = None if since is None else utc_now() - timedelta(days=since), None
    if day is not None:
        start = day.replace(tzinfo=UTC)
        end = start + timedelta(days=1)
    with _history(loaded) as connection:
        found = past_imports(
            connection, client, file=file, since=start, until=end, only_failures=failed, limit=limit + 1
        )
    shown = found[:limit]
    if as_json:
        for each in shown:
            click.echo(import_json(each))
    elif shown:
        Console().print(imports_table(shown))
    else:
        click.echo("there is nothing like that in the ledger", err=True)
    if len(found) > limit:
        click.echo(f"these are the newest {limit:,}; there are more: see --limit", err=True)


@userdrop.command()
@click.argument("file")
@_CLIENT
@click.option("--log", type=click.File(encoding="utf-8", errors="replace"), help="A log of the service, - for stdin.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def why(*, file: str, client: str, log: TextIO | None, as_json: bool) -> None:
    """Tell the story of FILE: seen, found complete by what, imported, archived, mailed; and what was not done, and why.

    FILE is the name by which it was uploaded. The running service knows what it saw lately; what was seen before it
    began is in its log: journalctl -u userdrop -o cat | userdrop why FILE --log -

    Exit codes: 0 done, 1 nothing is known of such a file, 3 wrong usage or settings.
    """
    from watcher.answering import story_json, story_lines  # noqa: PLC0415 - see history
    from watcher.overview import file_history  # noqa: PLC0415
    from watcher.story import events_of, now_told, story  # noqa: PLC0415
    from watcher.whereabouts import whereabouts  # noqa: PLC0415

    loaded, _ = _loaded()
    directory = _directory_of(loaded, client)
    where = whereabouts(directory, file)
    stored = file_history(loaded.database, client, file, utc_now())
    answer = _answer(loaded, "file", client, file)
    events = [*events_of(log or (), client, shown_name(file)), *(answer["events"] if answer else ())]
    told, now = story(events, stored.past), [*now_told(file, where, answer)]
    if stored.error is not None:
        now.append(f"the ledger and the mails cannot be read: {stored.error}")
    if not told and not now:
        _fail(f"nothing is known of {shown_name(file)}: it is not in {directory}, nor in the ledger", SOME_FAILED)
    if as_json:
        click.echo(story_json(told, now))
    else:
        click.echo("\n".join(story_lines(told, now)))


@userdrop.command()
@click.argument("key", callback=_utf8)
@_CLIENT
@_JSON
def user(*, key: str, client: str, as_json: bool) -> None:
    """Show which file brought the user with this KEY, and which changed the user last.

    Files between the two are not known, nor those that only repeated what was stored.

    Exit codes: 0 done, 1 there is no such user, 3 wrong usage or settings or no usable database, 69 database out.
    """
    from rich.console import Console  # noqa: PLC0415 - see check

    from importer.history import past_user  # noqa: PLC0415 - see history
    from watcher.answering import user_json, user_table  # noqa: PLC0415

    loaded, format_ = _loaded()
    with _history(loaded, format_) as connection:
        found = past_user(connection, format_, client, key)
    if found is None:
        _fail(f"no user of the client {shown_name(client)} has that {format_.key}", SOME_FAILED)
    if as_json:
        click.echo(user_json(found, key))
    else:
        Console().print(user_table(found))


@userdrop.group()
def mail() -> None:
    """Show the mails that wait or could not be delivered, try them again, or drop them.

    Exit codes: 0 done, 1 there is no such mail, or it is sent already or being sent, 3 wrong usage or settings or no
    usable database, 69 database out.
    """


_NUMBERS = click.argument("numbers", type=click.IntRange(1, 2**63 - 1), nargs=-1, required=True, metavar="MAIL...")


@mail.command("list")
@click.option("--all", "with_sent", is_flag=True, help="Also those that were sent.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many at most.")
@_JSON
def list_mails(*, with_sent: bool, limit: int, as_json: bool) -> None:
    """Show queued and dead mails, the newest first."""
    from rich.console import Console  # noqa: PLC0415 - see check

    from notifier.queueing import UNSENT, listed  # noqa: PLC0415 - see history
    from watcher.answering import mail_json, mails_table  # noqa: PLC0415

    loaded, _ = _loaded()
    with _history(loaded) as connection:
        states = (*UNSENT, "sent") if with_sent else UNSENT
        found = listed(connection, states=states, limit=limit, now=utc_now())
    if as_json:
        for each in found:
            click.echo(mail_json(each))
    elif found:
        Console().print(mails_table(found))
    else:
        click.echo("no mail waits", err=True)


@mail.command("show")
@click.argument("number", type=click.IntRange(1, 2**63 - 1), metavar="MAIL")
def show_mail(*, number: int) -> None:
    """Show what became of a MAIL, and what it says."""
    from notifier.queueing import found  # noqa: PLC0415 - see history
    from watcher.answering import mail_text  # noqa: PLC0415

    loaded, _ = _loaded()
    with _history(loaded) as connection:
        shown = found(connection, number, now=utc_now())
    if shown is None:
        _fail(f"there is no mail {number}", SOME_FAILED)
    click.echo(mail_text(*shown), nl=False)


@mail.command("retry")
@_NUMBERS
def retry_mails(*, numbers: tuple[int, ...]) -> None:
    """Have each MAIL tried at once by the running service, a dead one too; it then has five days again."""
    from notifier.queueing import retry  # noqa: PLC0415 - see history

    _change_mails(retry, numbers, "queued again")


@mail.command("drop")
@_NUMBERS
def drop_mails(*, numbers: tuple[int, ...]) -> None:
    """Delete each MAIL that was not sent; reports stay in bak."""
    from notifier.queueing import drop  # noqa: PLC0415 - see history

    _change_mails(drop, numbers, "dropped")


def _change_mails(change: Callable[..., list[int]], numbers: tuple[int, ...], what: str) -> None:
    loaded, _ = _loaded()
    with _engine(loaded) as engine, engine.begin() as connection:
        changed = change(connection, numbers, now=utc_now())
    for number in changed:
        click.echo(f"mail {number} is {what}")
    left = [str(number) for number in numbers if number not in changed]
    if left:
        _fail(f"left as they are, because they are not there, sent, or being sent: {', '.join(left)}", SOME_FAILED)


@userdrop.command()
@click.argument("file")
@_CLIENT
def retry(*, file: str, client: str) -> None:
    """Have a FILE of the quarantine tried again: its name, or the claim's id where several have it.

    Exit codes: 0 done, 1 there is no such file or its name is taken, 3 wrong usage or settings.
    """
    from importer.claiming import retry as put_back  # noqa: PLC0415 - see check
    from importer.claiming import set_aside  # noqa: PLC0415

    loaded, _ = _loaded()
    with _opened_directory_of(loaded, client) as directory:
        lying = [each for each in set_aside(directory) if file in {each.name, each.claim_id}]
        if not lying:
            _fail(f"there is no {shown_name(file)} in quarantine", SOME_FAILED)
        if len(lying) > 1:
            ids = ", ".join(each.claim_id for each in lying)
            _fail(f"several files in quarantine have this name; give one of {ids}", USAGE)
        try:
            put_back(lying[0], directory)
        except FileExistsError:
            _fail(f"a newer {shown_name(lying[0].name)} waits to be imported; try again later", SOME_FAILED)
    click.echo(f"{shown_name(lying[0].name)} lies in the upload directory again")


@userdrop.command()
@click.argument("file")
@_CLIENT
def reimport(*, file: str, client: str) -> None:
    """Drop a FILE of bak again as a new upload: its name there, or the one it was uploaded by for its last archive.

    Exit codes: 0 done, 1 there is no such file or an upload of that name waits, 3 wrong usage or settings.
    """
    from importer.reimporting import reimport as drop_again  # noqa: PLC0415 - see history

    loaded, _ = _loaded()
    with _opened_directory_of(loaded, client) as directory:
        try:
            archived, name = drop_again(directory, file)
        except FileNotFoundError:
            _fail(f"there is no {shown_name(file)} in bak", SOME_FAILED)
        except FileExistsError:
            _fail(f"an upload of the name of {shown_name(file)} waits; try again when it is imported", SOME_FAILED)
    click.echo(f"{shown_name(archived)} lies in the upload directory again, as {shown_name(name)}")


@userdrop.command()
def now() -> None:
    """Have the running service look and import at once, as at a tick.

    Exit codes: 0 done, 1 no service runs, 3 wrong usage or settings.
    """
    from watcher.instance import running_process  # noqa: PLC0415 - see history

    loaded, _ = _loaded()
    process = running_process(loaded.state_dir)
    if process is None:
        _fail(
            f"no userdrop runs with the state directory {loaded.state_dir}: start it with `userdrop run`", SOME_FAILED
        )
    try:
        os.kill(process, signal.SIGUSR1)
    except PermissionError:
        _fail(f"userdrop runs as process {process} of another user: ask as that user or as root", USAGE)
    click.echo(f"userdrop, process {process}, imports now what is complete; see `userdrop history`")


@userdrop.command()
@click.argument("key", callback=_utf8)
@_CLIENT
@click.option("--files", is_flag=True, help="Remove the files and mails that name the person, too.")
def forget(*, key: str, client: str, files: bool) -> None:
    """Remove the person with this KEY: user, examples of failed rows, and rows of reports in bak.

    Files in bak and in quarantine that name the person, by the key, the address or another unique value, are listed,
    and mails likewise. A file that still holds the person brings the user back when it is dropped again.

    Exit codes: 0 done, 1 nothing was known, 3 wrong usage or settings or no usable database, 69 database out.
    """
    from importer.forgetting import forget as remove  # noqa: PLC0415 - see history

    loaded, format_ = _loaded()
    with _opened_directory_of(loaded, client) as directory, _engine(loaded, format_) as engine:
        found = remove(engine, format_, client, directory, key, with_files=files)
    if found.is_nothing:
        _fail("nobody is known by that key", SOME_FAILED)
    done = "removed" if files else "names the person and stays; --files removes it"
    click.echo("the user is removed" if found.was_user else "there was no such user")
    click.echo(f"{found.examples} examples of failed rows are removed from ledger and notices")
    for name in found.reports:
        click.echo(f"bak/{name}: the person's rows are removed")
    for name in (*map(shown_name, found.files), *(f"mail {number}" for number in found.mails)):
        click.echo(f"{name}: {done}")


@userdrop.command()
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
def columns(*, markdown: bool) -> None:
    """Show the columns that a user file may have."""
    from rich.console import Console  # noqa: PLC0415 - see check

    from watcher.presenting import columns_markdown, columns_table  # noqa: PLC0415

    _, format_ = _loaded()
    if markdown:
        click.echo(columns_markdown(format_), nl=False)
    else:
        Console().print(columns_table(format_))


@userdrop.command()
def tables() -> None:
    """Print what the database's tables and their columns mean, as Markdown."""
    from watcher.tables import tables_markdown  # noqa: PLC0415 - see history

    _, format_ = _loaded()
    click.echo(tables_markdown(format_), nl=False)


@userdrop.command()
def template() -> None:
    """Print a CSV with the header and one example row."""
    from watcher.presenting import template_csv  # noqa: PLC0415 - see check

    _, format_ = _loaded()
    click.echo(template_csv(format_), nl=False)


@userdrop.command()
def settings() -> None:
    """Show the settings in force, secrets as ***."""
    from watcher.settings import in_force  # noqa: PLC0415 - see _loaded

    loaded, _ = _loaded()
    for name, value in in_force(loaded):
        click.echo(f"{name}={value}")


def main() -> None:
    """Run a command; its mistakes are told in a sentence, not in a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = _run_command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if sys.stdout is not None:  # what is left to write has nowhere to go
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"{error.filename or 'standard output'}: {error.strerror or error}", USAGE)
    except Exception as error:  # noqa: BLE001 - its text may hold customers' data, so only its place is told
        from watcher.logs import place  # noqa: PLC0415 - structlog is a fifth of what a command has to load

        _fail(f"a bug has ended the command {place(error)}", BUG)
    sys.exit(code)


def _run_command() -> int:
    try:
        code = userdrop.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return USAGE
    except click.Abort:
        return 130
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else 0


def _loaded() -> tuple["Settings", Format]:
    """Settings and format, or the end with every mistake in them."""
    from watcher.configuration import MISTAKES, load  # noqa: PLC0415 - `check` has them loaded by another process

    try:
        return load()
    except MISTAKES as error:
        _fail("\n".join(error.mistakes), USAGE)


def _directory_of(settings: "Settings", client: str) -> Path:
    """The client's directory, or the end where there is no such client."""
    from watcher.folders import find  # noqa: PLC0415 - see check

    if not settings.client_folders:
        return settings.upload_dir
    directory = find(settings.upload_dir, ()).clients.get(client)
    if directory is None:
        _fail(f"no folder of the upload directory is the client {shown_name(client)}", USAGE)
    return directory


@contextmanager
def _opened_directory_of(settings: "Settings", client: str) -> Iterator[Path]:
    """The same by a path that stays with it; only the upload directory itself may be a link, of the administrator's."""
    from importer.anchoring import anchored  # noqa: PLC0415 - see check

    directory = _directory_of(settings, client)
    with ExitStack() as stack:
        try:
            anchor = stack.enter_context(anchored(directory if settings.client_folders else directory.resolve()))
        except OSError as error:
            _fail(f"{directory} cannot be opened: {error.strerror}", USAGE)
        yield anchor


@contextmanager
def _history(settings: "Settings", format_: Format | None = None) -> Iterator["Connection"]:
    """The service's database to be read, or the end with why that is not possible."""
    from importer.history import open_history  # noqa: PLC0415 - see history

    with _database_errors(), open_history(settings.database, format_) as connection:
        yield connection


@contextmanager
def _engine(settings: "Settings", format_: Format | None = None) -> Iterator["Engine"]:
    """The service's database to be changed, or the end with why that is not possible."""
    from importer.engines import make_engine  # noqa: PLC0415 - see history

    with _history(settings, format_):
        engine = make_engine(settings.database)
    try:
        with _database_errors():
            yield engine
    finally:
        engine.dispose()


@contextmanager
def _database_errors() -> Iterator[None]:
    """The end with why a database cannot be used, where it cannot."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError  # noqa: PLC0415 - see history

    from importer.database import UnusableDatabaseError  # noqa: PLC0415
    from importer.engines import is_missing_right, is_outage, what_failed  # noqa: PLC0415

    try:
        yield
    except UnusableDatabaseError as error:
        _fail(str(error), USAGE)
    except SQLAlchemyError as error:
        if isinstance(error, DBAPIError) and is_missing_right(error):
            _fail("the database's user may not read the tables", USAGE)
        if not is_outage(error):
            raise
        _fail(f"the database cannot be read: {what_failed(error)}", UNAVAILABLE)


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """What is loaded stays: to look through it for garbage again and again takes a twentieth of a second."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _mistaken_paths(file: Path, *outputs: Path | None) -> Iterator[str]:
    if not file.is_file():
        yield f"{file}: not a regular file"
    paths = [path.resolve() for path in (file, *outputs) if path is not None]
    if len(set(paths)) < len(paths):
        yield "FILE, --accepted and --failed must be different files"


def _fail(message: str, code: int) -> NoReturn:
    _tell(message.splitlines())
    sys.exit(code)


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(f"userdrop: {line}", err=True)


@contextmanager
def _progress(file: Path) -> Iterator[Callable[["Progress"], None] | None]:
    """A progress bar on standard error, for long files on a terminal; else None."""
    from rich.console import Console  # noqa: PLC0415 - see check

    console = Console(stderr=True)
    if not console.is_terminal or file.stat().st_size <= _PROGRESS_BYTES:
        yield None
        return
    from rich.progress import Progress  # noqa: PLC0415 - slow to load, and most checks are short or not watched

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(file.name, total=None)
        yield lambda at: bar.update(task, completed=at.read, total=at.total)
