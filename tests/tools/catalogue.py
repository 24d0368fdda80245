"""`python -m tests.tools.catalogue` brings importer/words/locale/*.po up to date with the code.

The translations are written by hand. What is translated: the sentences of importer.words.reasons and of the kinds of
columns with the words of ours that they name, the texts of alerts and their details, and whatever stands in `_()` and
`ngettext()` in templates, or in `say()` and `count()` in the notifier's rooms that say something.
"""

import ast
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from importer.formats.format_file import load_format
from importer.formats.kinds import KIND_SENTENCES
from importer.judging.judge import HIDDEN_LINE
from importer.reading.dialect import NOT_TEXT_WORDS
from importer.words.details import SENTENCES, SYSTEM_SENTENCES
from importer.words.outages import OUTAGE_SENTENCES
from importer.words.reasons import (
    BRIEF_SENTENCES,
    CUT_SENTENCE,
    REFUSAL_SENTENCES,
    REFUSAL_SUMMARIES,
    ROW_SENTENCES,
    WARNING_SENTENCES,
)
from importer.words.translating import LANGUAGES
from notifier.alert_texts import ALERT_TEXTS, CAUSES
from notifier.model import Severity
from notifier.sentences import REASONS
from watcher.web import page

ROOT = Path(__file__).parents[2]
LOCALE = ROOT / "importer" / "words" / "locale"
TEMPLATES = ("notifier", "watcher/web")
SAYING = ("letters.py", "sentences.py", "templating.py")
TRANSLATIONS = {language: LOCALE / f"{language}.po" for language in LANGUAGES if language != "en"}

Message = str | tuple[str, str]


def messages() -> list[Message]:
    """Everything that is to be translated, once each; pairs are singular and plural."""
    found: dict[Message, None] = {}
    for message in (*_of_reasons(), *_of_alerts(), *_of_letters(), *_of_templates(), *page.TEXTS):
        found.setdefault(message)
    return list(found)


def _of_reasons() -> Iterator[Message]:
    for sentences in (ROW_SENTENCES, KIND_SENTENCES, REFUSAL_SENTENCES, REFUSAL_SUMMARIES, WARNING_SENTENCES):
        yield from sentences.values()
    for sentences in (BRIEF_SENTENCES, REASONS):
        yield from sentences.values()
    yield from NOT_TEXT_WORDS
    yield from (lookup.noun for lookup in load_format(None).lookups.values())
    yield HIDDEN_LINE
    yield CUT_SENTENCE


def _of_alerts() -> Iterator[Message]:
    for text in ALERT_TEXTS.values():
        yield from (text.title, text.means, text.meanwhile, text.cure, text.resolves)
    for cause in CAUSES.values():
        yield from (cause.title, cause.means, cause.cure)
    yield from Severity
    yield from (*SENTENCES.values(), *SYSTEM_SENTENCES.values(), *OUTAGE_SENTENCES.values())


def _of_letters() -> Iterator[Message]:
    """The literal first arguments of say() and count()."""
    sources = [(ROOT / "notifier" / name).read_text(encoding="utf-8") for name in SAYING]
    tree = ast.parse("\n".join(sources))
    named = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            arguments = [_text(argument, named) for argument in node.args]
            if name == "say" and arguments[0]:
                yield arguments[0]
            if name == "count" and len(arguments) > 1 and arguments[0] and arguments[1]:
                yield arguments[0], arguments[1]


def _text(node: ast.expr, named: Mapping[str, object]) -> str | None:
    value = node.value if isinstance(node, ast.Constant) else named.get(node.id) if isinstance(node, ast.Name) else None
    return value if isinstance(value, str) else None


def _of_templates() -> Iterator[Message]:
    paths = [path for room in TEMPLATES for path in sorted((ROOT / room / "templates").glob("*.j2"))]
    for path in paths:
        options = {"trim_blocks": "true", "lstrip_blocks": "true"}
        keywords = ("_", "gettext", "ngettext")
        for _, function, found, _ in babel_extract(io.BytesIO(path.read_bytes()), keywords, (), options):
            texts = [str(text) for text in ((found,) if isinstance(found, str) else found or ()) if text is not None]
            if texts:  # none where what is translated is a variable
                yield (texts[0], texts[1]) if function == "ngettext" else texts[0]


def updated(path: Path, language: str) -> bytes:
    """The catalogue with a place for each message and nothing else; translations stay."""
    old = read_po(io.BytesIO(path.read_bytes()), locale=language) if path.exists() else Catalog(locale=language)
    new = Catalog(locale=language, project="userdrop", charset="utf-8", fuzzy=False, header_comment=HEADER)
    for message in messages():
        known = old.get(message[0] if isinstance(message, tuple) else message)
        new.add(message, known.string if known is not None else None)
    text = io.BytesIO()
    write_po(text, new, width=118, omit_header=False)
    lines = text.getvalue().decode().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(VOLATILE)).encode()


HEADER = "# What letters and reports say; `python -m tests.tools.catalogue` adds what the code has to say."
VOLATILE = (
    '"POT-Creation-Date',
    '"PO-Revision-Date',
    '"Last-Translator',
    '"Language-Team',
    '"Generated-By',
    '"Report-Msgid-Bugs-To',
    '"Project-Id-Version',
)

if __name__ == "__main__":
    LOCALE.mkdir(exist_ok=True)
    for its_language, its_path in TRANSLATIONS.items():
        its_path.write_bytes(updated(its_path, its_language))
