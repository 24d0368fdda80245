"""Settings and the format that they name."""

from importer.format import Format
from importer.format_file import FormatMistakesError, load_format
from watcher.settings import Settings, SettingsMistakesError, load_settings

MISTAKES = (SettingsMistakesError, FormatMistakesError)
"""What is raised where they cannot be used; `mistakes` holds all of them, one sentence each."""


def load() -> tuple[Settings, Format]:
    """Load both; raises one of MISTAKES."""
    settings = load_settings()
    return settings, load_format(settings.format_file, default_login_source=settings.default_login_source)
