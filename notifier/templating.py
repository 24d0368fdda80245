"""The words of the letters in the reader's language: templates of this package, or the site's own in their place."""

import gettext
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, get_timezone_name
from babel.numbers import format_decimal
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined, select_autoescape

from importer.model import Detail
from importer.words.details import detail
from importer.words.translating import catalogue

_MOMENTS = {"en": "yyyy-MM-dd HH:mm", "fr": "d MMMM yyyy, H 'h' mm"}
_FIRST_OF_MONTH = {"fr": "d'er' MMMM yyyy, H 'h' mm"}
"""Where the first day of a month is written otherwise than the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language: its templates, its catalogue, its numbers and times.

    Attributes:
        own: with the site's templates before ours; None where the site has none.
        broken: name of each template of the site's that could not be used → why; shared by all languages.
    """

    language: str
    timezone: tzinfo
    catalogue: gettext.NullTranslations
    built_in: Environment
    own: Environment | None
    broken: dict[str, Detail]

    def render(self, name: str, facts: dict[str, Any]) -> str:
        """A template with its facts; where the site's own fails, ours."""
        if self.own is not None:
            try:
                text = self.own.get_template(name).render(facts)
            except Exception as error:  # noqa: BLE001 - a template may raise anything; the letter is written all the same
                self.broken[name] = detail("at", where=name, why=type(error).__name__)
            else:
                self.broken.pop(name, None)
                return text
        return self.built_in.get_template(name).render(facts)

    def say(self, sentence: str, **facts: object) -> str:
        """A sentence with its facts."""
        return self.catalogue.gettext(sentence).format(**facts)

    def count(self, one: str, several: str, number: int, **facts: object) -> str:
        """A sentence that counts something."""
        return self.catalogue.ngettext(one, several, number).format(**facts)

    def label(self, name: str) -> str:
        """What stands before what it names: with the colon as the language sets it."""
        return self.say("{name}:", name=name)

    def number(self, value: int) -> str:
        """A number as people write it: 1,204."""
        return format_decimal(value, locale=self.language)

    def moment(self, at: datetime) -> str:
        """A time in the site's time zone, with the zone's name, like 2026-03-01 14:35 UTC."""
        local = at.astimezone(self.timezone)
        form = _MOMENTS[self.language]
        if local.day == 1:
            form = _FIRST_OF_MONTH.get(self.language, form)
        time = format_datetime(local, form, locale=self.language)
        if self.timezone in {UTC, ZoneInfo("UTC")}:
            return f"{time} UTC"
        return self.say("{time} {zone}", time=time, zone=get_timezone_name(local, locale=self.language))


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The letters' templates of a site.

    Attributes:
        directory: of templates that stand in for those of this package of the same names; None for ours alone.
        timezone: in which letters tell times.
        broken: see `Words`.
    """

    directory: Path | None = None
    timezone: tzinfo = UTC
    broken: dict[str, Detail] = field(default_factory=dict)
    _words: dict[tuple[str, tzinfo], Words] = field(default_factory=dict, init=False, repr=False)

    def of(self, language: str, timezone: tzinfo | None = None) -> Words:
        """The words of a language, with times in another zone where one is given.

        Raises:
            KeyError: there is no such language.
        """
        key = language, timezone or self.timezone
        if key not in self._words:
            self._words[key] = self._made(*key)
        return self._words[key]

    def _made(self, language: str, timezone: tzinfo) -> Words:
        words = Words(
            language=language,
            timezone=timezone,
            catalogue=catalogue(language),
            built_in=_environment(None),
            own=None if self.directory is None else _environment(self.directory),
            broken=self.broken,
        )
        for made in filter(None, (words.built_in, words.own)):
            made.install_gettext_translations(words.catalogue, newstyle=True)  # type: ignore[attr-defined]
            made.filters["label"] = words.label
            made.filters["number"] = words.number
            made.filters["moment"] = words.moment
            made.globals["language"] = language
        return words


def _environment(directory: Path | None) -> Environment:
    """HTML escaped, unknown names are errors; a site's own templates are read again when they change."""
    built_in = PackageLoader("notifier")
    return Environment(
        loader=built_in if directory is None else ChoiceLoader([FileSystemLoader(directory), built_in]),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        auto_reload=directory is not None,
        extensions=["jinja2.ext.i18n"],
    )
