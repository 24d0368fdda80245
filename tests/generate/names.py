"""Names of people in many languages, each with a letter beyond ASCII, and the code pages that can write them."""

import tomllib
from pathlib import Path

_DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))

NAMES: dict[str, list[str]] = {language: names.split() for language, names in _DATA["languages"].items()}
"""Language → names."""

LANGUAGES: dict[str, list[str]] = _DATA["code_pages"]
"""The name of a `CodePage` → languages whose names it can write."""

OTHER_CODE_PAGES = [code_page for code_page in LANGUAGES if code_page != "windows-1252"]
