"""The watcher's values as JSON, and values made of JSON again."""

import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class OtherShapeError(ValueError):
    """JSON that is no value of the type that was expected; `kind` names that type."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def plain(value: object) -> object:
    """Turn a value into what JSON has, for `json.dumps(default=plain)`.

    A dataclass becomes an object, a time ISO 8601, a member of an enumeration its value.

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


def value_of(kind: type[T], read: object) -> T:
    """Make a value of JSON that was made with `plain`, as `json.loads` gives it.

    A field that is not there has its default, and one that the type does not know is left out: a neighbouring version
    may have sent them.

    Args:
        kind: a dataclass.
        read: objects as dicts, arrays as lists.

    Raises:
        OtherShapeError: it is no such value.
    """
    try:
        return TypeAdapter(kind).validate_json(json.dumps(read), strict=True)
    except ValidationError:
        raise OtherShapeError(kind.__name__) from None
