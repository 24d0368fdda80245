"""`python -m tests.tools.docs` writes the generated parts of documents; the tests compare them with the code."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from importer.formats.columns import Format
from importer.formats.format_file import load_format
from importer.words.details import SENTENCES, SYSTEM_SENTENCES
from notifier.alert_texts import ALERT_TEXTS, CAUSES
from notifier.model import AlertKind
from watcher.base.log_events import EVENTS, FIELDS
from watcher.commands.columns import columns_markdown
from watcher.commands.tables import tables_markdown
from watcher.settings.variables import documented

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = ROOT / "deploy" / "guides"
CLIENT, ADMIN, OPERATOR = (GUIDES / f"{name}.md" for name in ("client", "admin", "operator"))
TABLES = ROOT / "deploy" / "tables.md"
ENVIRONMENT = ROOT / "deploy" / "userdrop.env"
VSFTPD = ROOT / "deploy" / "vsftpd.conf"

CHANGED_IN_VSFTPD = ("local_umask", "chmod_enable", "xferlog_enable", "dual_log_enable", "vsftpd_log_file")
KEPT_IN_VSFTPD = ("lock_upload_files", "strict_ssl_read_eof", "delete_failed_uploads")
"""What an existing vsftpd.conf needs, and what it must not have otherwise than by vsftpd's default."""

_INSTALLED = {
    "USERDROP_UPLOAD_DIR": "/srv/userdrop/upload",
    "USERDROP_STATE_DIR": "/var/lib/userdrop",
    "USERDROP_MAIL_DIR": "/var/lib/userdrop/mail",
    "USERDROP_VSFTPD_LOG": "/var/log/vsftpd.log",
    "USERDROP_LOG_FORMAT": "json",
}
"""What `deploy/install` needs otherwise than by default."""
_ENVIRONMENT_HEAD = """\
# Settings of the service, read by systemd at its start: systemctl restart userdrop. Lines that begin with # are not in
# force; where they show a value, it is the default. Secrets are better kept as credentials: see the unit.
#
# systemd takes backslashes out of a value, unless it stands within single quotes: USERDROP_SMTP_PASSWORD='a\\b'. A
# password with a single quote of its own is best kept as a credential, or in a file that USERDROP_SMTP_PASSWORD_FILE
# names; these are read as they are, without the line end.
"""


def generated() -> dict[Path, dict[str, str]]:
    """Document → each generated part by the name in its markers."""
    format_ = load_format(None)
    operator = {
        "alerts": "\n".join(map(_alert, AlertKind)),
        "causes": _table(("detail", "what it means", "look", "cure"), map(_cause, CAUSES)),
        "events": _table(("event", "level", "fields", "meaning"), _events()),
        "fields": _table(("field", "meaning"), ((f"`{name}`", meaning) for name, meaning in FIELDS.items())),
    }
    return {
        README: {"settings": _table(("variable", "default", "meaning"), map(_setting, documented()))},
        CLIENT: {"template": _fenced("csv", example_csv(format_)), "columns": columns_markdown(format_)},
        ADMIN: {"vsftpd": _fenced("ini", vsftpd_lines())},
        OPERATOR: operator,
        TABLES: {"tables": tables_markdown(format_)},
    }


def example_csv(format_: Format) -> str:
    """A file of one row: the columns that have an example, which are those that most people need."""
    named = [column for column in format_.columns if column.example]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[each.name for each in named], [each.example for each in named]])
    return text.getvalue()


def vsftpd_lines() -> str:
    """What is to be added to, or changed in, an existing vsftpd.conf, as deploy/vsftpd.conf has it."""
    given = VSFTPD.read_text(encoding="utf-8")
    changed = [_line_of(name, given) for name in CHANGED_IN_VSFTPD]
    kept = [_line_of(name, given) for name in KEPT_IN_VSFTPD]
    return "\n".join(
        ["# add these, or change them to this", *changed, "# vsftpd's defaults: leave them at this", *kept, ""]
    )


def _line_of(name: str, configuration: str) -> str:
    (line,) = re.findall(rf"^{name}=.*$", configuration, re.MULTILINE)
    return str(line)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}```\n"


def _alert(kind: AlertKind) -> str:
    text = ALERT_TEXTS[kind]
    lines = {"What it means": text.means, "Meanwhile": text.meanwhile, "Look": f"`{text.command}`", "Cure": text.cure}
    told = "".join(f"- **{name}:** {said}\n" for name, said in {**lines, "End": text.resolves}.items())
    return f"#### {kind.value}\n\n{text.severity.value.capitalize()}: {text.title}.\n\n{told}"


def _cause(code: str) -> tuple[str, ...]:
    cause, said = CAUSES[code], (SYSTEM_SENTENCES | SENTENCES)[code]
    return said.replace("{name}", "…"), cause.means, f"`{cause.command} DIRECTORY`", cause.cure


def with_generated(text: str, parts: Mapping[str, str]) -> str:
    """The text with what stands between the markers replaced."""
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"
    return text


def part_of(text: str, name: str) -> str:
    """What stands between the markers of that name."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]


def environment_file() -> str:
    """The file of settings that `deploy/install` puts in place."""
    return _ENVIRONMENT_HEAD + "".join(map(_environment_line, documented()))


def _environment_line(row: tuple[str, str, str]) -> str:
    names, default, meaning = row
    variable = names.partition(" ")[0]
    mark, value = ("", _INSTALLED[variable]) if variable in _INSTALLED else ("#", default)
    return f"\n# {meaning}\n{mark}{variable}={value}\n"


def _setting(row: tuple[str, str, str]) -> tuple[str, ...]:
    variable, default, meaning = row
    return f"`{variable}`", f"`{default}`" if default else "", meaning


def _events() -> Iterable[tuple[str, ...]]:
    for name, event in EVENTS.items():
        yield f"`{name}`", event.level, ", ".join(event.fields), event.meaning


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    for document, its_parts in generated().items():
        document.write_text(with_generated(document.read_text(encoding="utf-8"), its_parts), encoding="utf-8")
    ENVIRONMENT.write_text(environment_file(), encoding="utf-8")
