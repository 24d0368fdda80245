"""How the watcher's values become JSON."""

from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum


def plain(value: object) -> object:
    """For `json.dumps(default=plain)`: a dataclass as an object, a time in ISO 8601, an enumeration's value.

    Raises:
        TypeError: it is something else.
    """
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case _ if is_dataclass(value):
            return {each.name: getattr(value, each.name) for each in fields(value)}
        case _:
            raise TypeError(type(value).__name__)
