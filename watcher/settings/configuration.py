"""Settings and the format that they name."""

from importer.formats.columns import Format
from importer.formats.format_file import FormatMistakesError, load_format
from watcher.settings.variables import Settings, SettingsMistakesError, load_settings

MISTAKES = (SettingsMistakesError, FormatMistakesError)
"""The errors of settings or a format that cannot be used; `mistakes` holds all of them, one sentence each."""


def load() -> tuple[Settings, Format]:
    """Load the settings and the format that they name; raises one of MISTAKES."""
    settings = load_settings()
    return settings, load_format(settings.format_file, default_login_source=settings.default_login_source)
