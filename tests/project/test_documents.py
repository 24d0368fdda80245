"""What the documents name is there: links, commands with their options, settings, events and fields."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from importer.formats.format_file import load_format
from importer.formats.kinds import KIND_NAMES, kind_of
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import AlertKind
from tests.servers.tools import needs, run
from tests.tools.docs import ADMIN, CLIENT, GUIDES, OPERATOR, README, ROOT, TABLES, part_of, vsftpd_lines
from watcher.base.log_events import EVENTS
from watcher.commands.cli import userdrop
from watcher.doctor.findings import State
from watcher.doctor.ftp_server import Needs, judged
from watcher.doctor.vsftpd_conf import understood
from watcher.settings.client_settings import CLIENT_PREFIX
from watcher.settings.naming import PREFIX
from watcher.settings.variables import documented

DOCUMENTS = [
    README,
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / place / "README.md" for place in ("watcher", "importer", "notifier", "fixtures")),
    TABLES,
    *sorted(GUIDES.glob("*.md")),
]
EVERY_EVENT = {"timestamp", "level", "event"}

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.name if path.name != "README.md" else str(path.relative_to(ROOT))
)


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def anchors(document: Path) -> set[str]:
    """The names of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(document: Path) -> list[str]:
    """The lines of blocks of code, and what stands between backquotes."""
    text = text_of(document)
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`]+)`", prose)


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        path, _, anchor = target.partition("#")
        place = document.parent / path if path else document
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


@each_document
def test_every_file_of_deploy_that_is_named_is_there(document: Path) -> None:
    named = {name for line in code(document) for name in re.findall(r"(?<![\w/])deploy/[\w./-]*\w", line)}
    assert [name for name in named if not (ROOT / name).exists()] == []


@each_document
def test_every_setting_that_is_named_exists(document: Path) -> None:
    known = {name for names, _, _ in documented() for name in re.findall(rf"{PREFIX}\w+", names)}
    (sample,) = (name for name in known if name.startswith(CLIENT_PREFIX))
    of_clients = {sample.rpartition("__")[2], *re.findall(r"\b[A-Z_]{4,}\b", documented_meaning(sample))}
    for name in re.findall(rf"{PREFIX}[A-Z_]+\b(?!\*)", text_of(document)):
        if name.startswith(CLIENT_PREFIX):
            assert name.rpartition("__")[2] in of_clients, name
        else:
            assert name in known, name


def documented_meaning(variable: str) -> str:
    (meaning,) = (meaning for names, _, meaning in documented() if names.startswith(variable))
    return meaning


@each_document
def test_every_command_that_is_named_exists_and_has_the_options(document: Path) -> None:
    for line in code(document):
        for words in re.findall(r"(?:^|[|;&$] ?)userdrop((?: [^|;&#]+)?)", line):
            assert_is_command(words.split(), line)


def assert_is_command(words: list[str], line: str) -> None:
    command: click.Command = userdrop
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, line
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
    assert [word for word in words if word.startswith("--") and word not in options] == [], line


def test_the_runbook_says_with_which_codes_commands_end_as_their_help_does() -> None:
    codes = str(userdrop.help).partition("\n\nExit codes: ")[2]
    assert f"Exit codes everywhere: {codes}" in " ".join(text_of(OPERATOR).split())


def test_the_runbook_names_every_command() -> None:
    table = text_of(OPERATOR).partition("\n### Commands\n")[2].partition("\n\n**")[0]
    for name, command in userdrop.commands.items():
        inner = command.commands if isinstance(command, click.Group) else {}
        for words in [f"{name} {each}" for each in inner] or [name]:
            assert re.search(rf"`userdrop {words}[` ]", table), words


def test_the_administrator_is_told_every_kind_of_column_and_the_keys_that_it_needs() -> None:
    table = text_of(ADMIN).partition("| kind | a cell is |")[2].partition("\n\n")[0]
    told = {row[0]: row[1] for row in re.findall(r"^\| `(\w+)` .*\| ([^|]*)\|$", table, re.MULTILINE)}
    assert tuple(told) == KIND_NAMES
    assert all(f"`{key}`" in told[name] for name in KIND_NAMES for key in kind_of(name).keys)


@pytest.mark.parametrize("kind", AlertKind)
def test_the_runbook_says_of_every_alert_what_it_means_what_to_look_at_and_what_to_do(kind: AlertKind) -> None:
    told = re.findall(rf"^#### {kind.value}\n(.*?)(?=^#|^<!--)", text_of(OPERATOR), re.DOTALL | re.MULTILINE)
    text = ALERT_TEXTS[kind]
    assert len(told) == 1
    assert all(said in told[0] for said in (text.means, text.command, text.cure))


@pytest.mark.parametrize("kind", AlertKind)
def test_the_command_that_shows_more_of_an_alert_exists(kind: AlertKind) -> None:
    words = ALERT_TEXTS[kind].command.split()
    if words[0] == "userdrop":
        assert_is_command(words[1:], ALERT_TEXTS[kind].command)
    else:
        needs(words[0])


def test_the_clients_example_is_accepted_as_it_is(tmp_path: Path) -> None:
    example, told = tmp_path / "users.csv", fenced(CLIENT, "template")
    example.write_text(told, encoding="utf-8")
    run([needs("userdrop"), "check", str(example)], env={"PATH": ""})  # 0: every row would be accepted
    assert told.splitlines()[0].split(",")[0] == load_format(None).key


def test_with_the_lines_for_vsftpd_the_doctor_finds_no_fault_in_what_debian_brings_with_tls() -> None:
    debian = "listen=NO\nlisten_ipv6=YES\nanonymous_enable=NO\nlocal_enable=YES\nxferlog_enable=YES\nssl_enable=NO\n"
    theirs = debian + "write_enable=YES\nssl_enable=YES\n"
    wanted = Needs(log=Path("/var/log/vsftpd.log"), long_quiet_seconds=601)

    def faults(text: str) -> list[str]:
        found = judged(understood(Path("/etc/vsftpd.conf"), text), wanted)
        return [each.name for each in found if each.state is not State.OK]

    assert "vsftpd local_umask" in faults(theirs)
    assert faults(theirs + vsftpd_lines()) == []
    assert fenced(ADMIN, "vsftpd") == vsftpd_lines()


def fenced(document: Path, name: str) -> str:
    """The block of code in a part of a document."""
    (block,) = re.findall(r"^```\w+\n(.*?)^```$", part_of(text_of(document), name), re.DOTALL | re.MULTILINE)
    return str(block)


# The log's examples


def test_events_of_the_examples_are_logged_with_these_fields() -> None:
    programs = [line for name in ("jq", "journald", "logql") for line in fenced(OPERATOR, name).splitlines()]
    asked = [(events_of(line), fields_of(line)) for line in programs]
    assert len([events for events, _ in asked if events]) > 10
    for events, fields in asked:
        assert events <= EVENTS.keys()
        for event in events:
            assert fields <= {*EVENTS[event].fields, *EVERY_EVENT}, event


def events_of(line: str) -> set[str]:
    found = re.findall(r"""["']?\bevent["']?\s*(?:==|=~|=|:)\s*["(]+([\w|]+)""", line)
    return {event for events in found for event in events.split("|")}


def fields_of(line: str) -> set[str]:
    jq = re.findall(r"(?<![\w\]])\.([a-z_]+)", line.partition(" jq ")[2])
    label = re.findall(r"\b(?:by|unwrap) \(?([a-z_]+)", line) + re.findall(r"\| ([a-z_]+) ?(?:=|>)", line)
    return {*jq, *label}


def test_fields_of_an_example_are_seen() -> None:
    assert fields_of("log | jq 'select(.event == \"x\") | [.timestamp, .[0].client]'") == {"event", "timestamp"}
    assert fields_of('sum by (kind) ({unit="u.service"} | json | event="x" | failed > 0 | unwrap seconds [1d])') == {
        *("kind", "event", "failed", "seconds")
    }


def scripts(document: Path) -> Iterator[str]:
    yield from re.findall(r"^```sh\n(.*?)^```$", text_of(document), re.DOTALL | re.MULTILINE)


@each_document
def test_every_script_of_the_documents_is_understood_by_bash(document: Path) -> None:
    for script in scripts(document):
        run([needs("bash"), "-n", "-c", script], env={})
