"""`python -m tests.docs` writes the generated parts of documents; the tests compare them with the code."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from importer.format_file import load_format
from watcher.catalogue import EVENTS, FIELDS
from watcher.presenting import columns_markdown
from watcher.settings import documented
from watcher.tables import tables_markdown

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TABLES = ROOT / "deploy" / "tables.md"
ENVIRONMENT = ROOT / "deploy" / "userdrop.env"

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
"""


def generated() -> dict[Path, dict[str, str]]:
    """Document → each generated part by the name in its markers."""
    format_ = load_format(None)
    readme = {
        "settings": _table(("variable", "default", "meaning"), map(_setting, documented())),
        "columns": columns_markdown(format_),
        "events": _table(("event", "level", "fields", "meaning"), _events()),
        "fields": _table(("field", "meaning"), ((f"`{name}`", meaning) for name, meaning in FIELDS.items())),
    }
    return {README: readme, TABLES: {"tables": tables_markdown(format_)}}


def with_generated(text: str, parts: Mapping[str, str]) -> str:
    """The text with what stands between the markers replaced."""
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"
    return text


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
