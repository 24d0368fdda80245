"""`python -m tests.docs` writes the README's generated tables; the tests compare them with the code."""

from collections.abc import Iterable
from pathlib import Path

from importer.format_file import load_format
from watcher.catalogue import EVENTS, FIELDS
from watcher.presenting import columns_markdown
from watcher.settings import documented

README = Path(__file__).parents[1] / "README.md"


def tables() -> dict[str, str]:
    """Each generated table by the name in its markers."""
    return {
        "settings": _table(("variable", "default", "meaning"), map(_setting, documented())),
        "columns": columns_markdown(load_format(None)),
        "events": _table(("event", "level", "fields", "meaning"), _events()),
        "fields": _table(("field", "meaning"), ((f"`{name}`", meaning) for name, meaning in FIELDS.items())),
    }


def with_tables(text: str) -> str:
    """The text with what stands between the markers replaced."""
    for name, table in tables().items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


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
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
