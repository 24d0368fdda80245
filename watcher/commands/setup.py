"""`userdrop setup`: the few questions that a site has to answer, each answer tried, and the settings written."""

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from importer.formats.format_file import load_format
from watcher.base.clock import utc_now
from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.questions import HEADER, TOPICS, Question, Topic, answered, environment_file, kept_answers
from watcher.commands.terminal import fail, program, tell
from watcher.doctor import database, directory, mail
from watcher.doctor.examining import examined_mail
from watcher.doctor.findings import Finding, State, broken, worst
from watcher.settings.variables import Settings, SettingsMistakesError, load_settings
from watcher.uploads.watching import MOUNTINFO
from watcher.wiring import make_directories, transport

_INSTALLED = Path("/etc/userdrop/userdrop.env")
"""The file that the unit of the installed service reads."""
EMPTY = "-"
"""The answer at a terminal that stands for an empty one where there is a usual one."""


def _options(command: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    for question in reversed([each for topic in TOPICS for each in topic.questions if not each.is_secret]):
        command = click.option(question.option, question.field, help=f"{question.text}.")(command)
    return command


@click.command()
@_options
@click.option("--clients", default="", help="Names of the clients, with commas between, for the next steps.")
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="The file to write the settings to.")
@click.option("--yes", is_flag=True, help="Ask nothing: options, variables and defaults are the answers.")
@exit_codes(amiss="an answer did not pass its trial and was written all the same")
def setup(*, clients: str, file: Path | None, yes: bool, **given: str | None) -> NoReturn:
    """Ask what a site has to decide, try each answer, and write the settings.

    The settings are written as an environment file. Everything that is asked can be given as an option, or be set as
    its variable; a password only as its variable, USERDROP_SMTP_PASSWORD.
    """
    if not yes and not sys.stdin.isatty():
        fail("there is no terminal to ask at: give --yes, and the answers as options or variables", ExitCode.USAGE)
    ask = _taken if yes else _asked
    if not yes:
        click.echo(f"Enter takes the answer in brackets; {EMPTY} stands for none.")
    path = file or (_INSTALLED if _INSTALLED.exists() else Path("userdrop.env"))
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    usual = _usual(before)
    answers: dict[str, str] = {}
    is_well = True
    for topic in TOPICS:
        is_well &= _settle(topic, answers, usual, given, ask, asks_again=not yes)
    if path.exists() and not yes:
        click.confirm(f"{path} is there: its lines about other settings stay. Write it", default=True, abort=True)
    _write(path, environment_file(before or HEADER, answers))
    names = [name.strip() for name in clients.split(",") if name.strip()]
    click.echo("\n".join(_next_steps(path, names, is_of_several=answers["client_folders"] == "true")))
    sys.exit(ExitCode.DONE if is_well else ExitCode.AMISS)


def _settle(
    topic: Topic,
    answers: dict[str, str],
    usual: Mapping[str, str],
    given: Mapping[str, str | None],
    ask: Callable[[Question, str], str],
    *,
    asks_again: bool,
) -> bool:
    """Have the questions of a topic answered, and the answers tried; returns whether they have passed."""
    while True:
        for question in topic.questions:
            if question.is_asked(answers):
                answers[question.field] = _answer(question, answers, usual, given.get(question.field), ask)
            elif given.get(question.field):
                fail(f"{question.option}: give {question.needed} as well", ExitCode.USAGE)
            else:
                answers[question.field] = ""
        found = [*_tried(topic.name, load_settings(answers))]
        for each in found:
            click.echo("  " + f"{each.state}: {each.what}" + (f"; {each.cure}" if each.cure else ""))
        if worst(found) is not State.BROKEN:
            return True
        if not asks_again or not click.confirm("That does not work yet. Answer it again", default=True):
            return False
        given, usual = {}, {**usual, **answers}


def _usual(before: str) -> Mapping[str, str]:
    """The usual answers by field: those of the environment, of the file that is there, and of the defaults."""
    settings = _loaded({})
    fields = [question.field for topic in TOPICS for question in topic.questions]
    kept = {field: text for field, text in kept_answers(before).items() if field not in settings.model_fields_set}
    return {**{field: answered(settings, field) for field in fields}, **kept}


def _answer(
    question: Question,
    answers: Mapping[str, str],
    usual: Mapping[str, str],
    given: str | None,
    ask: Callable[[Question, str], str],
) -> str:
    """Have a question answered until the answer is one; the command ends where nobody can be asked again."""
    while True:
        answer = ask(question, usual[question.field]) if given is None else given
        if question.is_path and answer:
            answer = str(Path(answer).absolute())
        mistakes = _mistakes({**answers, question.field: answer})
        if not mistakes:
            return answer
        if given is not None or ask is _taken:
            fail("\n".join(mistakes), ExitCode.USAGE)
        tell(mistakes)


def _taken(_: Question, usual: str) -> str:
    """Take the usual answer without asking."""
    return usual


def _asked(question: Question, usual: str) -> str:
    """Ask at the terminal."""
    if question.is_choice:
        return str(click.confirm(question.text, default=usual == "true")).lower()
    shown = not question.is_secret
    answer: str = click.prompt(question.text, default=usual, hide_input=not shown, show_default=shown and bool(usual))
    return "" if answer == EMPTY else answer


def _loaded(answers: Mapping[str, str]) -> Settings:
    """The settings with these answers; the command ends with every mistake in them."""
    try:
        return load_settings(answers)
    except SettingsMistakesError as error:
        fail("\n".join(error.mistakes), ExitCode.USAGE)


def _mistakes(answers: Mapping[str, str]) -> list[str]:
    try:
        load_settings(answers)
    except SettingsMistakesError as error:
        return error.mistakes
    return []


def _tried(topic: str, settings: Settings) -> Iterable[Finding]:
    """Try the answers about a topic; each finding is told as the doctor tells it."""
    match topic:
        case directory.NAME:
            return _tried_directories(settings)
        case mail.NAME:
            return asyncio.run(examined_mail(settings, lambda: transport(settings), send=False))
        case database.NAME:
            return database.examined(
                settings.database, load_format(None), state_dir=settings.state_dir, now=utc_now(), mountinfo=MOUNTINFO
            )
        case _:
            return ()


def _tried_directories(settings: Settings) -> Iterator[Finding]:
    try:
        make_directories(settings)
    except OSError as error:
        yield broken(directory.NAME, f"{error.filename} cannot be made: {error.strerror}", "name another directory")
        return
    yield from directory.examined(
        settings.upload_dir, max_bytes=settings.max_file_mb << 20, around=directory.Surroundings()
    )


def _write(path: Path, text: str) -> None:
    """Write the file in one step, so that only its owner may read it; the owner stays who it was."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(draft, "x", encoding="utf-8", opener=partial(os.open, mode=0o600)) as file:
        if path.exists():
            kept = path.stat()
            os.fchown(file.fileno(), kept.st_uid, kept.st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _next_steps(path: Path, clients: Iterable[str], *, is_of_several: bool) -> Iterator[str]:
    """What to do next, a line each."""
    yield f"The settings are in {path}, which only its owner may read. What is next:"
    for client in clients if is_of_several else ():
        yield f"  {program()} client add {client}"
    if path == _INSTALLED:
        yield "  systemctl restart userdrop"
    else:
        yield f"  set -a; . {shlex.quote(str(path.absolute()))}; set +a"
        yield f"  {program()} run"
    yield f"  {program()} doctor, which tries everything where the service stands"
