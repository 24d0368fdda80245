"""Sentences in the reader's language. English is what the code says; every other language is a gettext catalogue.

The catalogues are locale/*.po, which `python -m tests.tools.catalogue` brings up to date. Codes and names of columns
are never translated.
"""

import gettext
import io
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "fr")


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The translations into a language, read once; of English there are none.

    Raises:
        KeyError: there is no such language.
    """
    if language not in LANGUAGES:
        raise KeyError(language)
    if language == "en":
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo  # noqa: PLC0415 - who writes English needs none of it
    from babel.messages.pofile import read_po  # noqa: PLC0415

    source = files("importer.words").joinpath("locale", f"{language}.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(source), locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def translated(sentence: str, language: str) -> str:
    """A sentence, or a template of one, in that language; one that no catalogue knows stays as it is."""
    return catalogue(language).gettext(sentence) if sentence else sentence
