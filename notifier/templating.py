"""The templates of the letters, loaded from this package."""

from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def environment() -> Environment:
    """A Jinja environment over notifier/templates: HTML escaped, unknown names are errors."""
    made = Environment(
        loader=PackageLoader("notifier"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        auto_reload=False,
    )
    made.filters["number"] = "{:,}".format
    made.filters["moment"] = moment
    return made


def moment(at: datetime) -> str:
    """A time as letters show it, like 2026-03-01 14:35 UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
