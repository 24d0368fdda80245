"""Stored facts without what they repeat of a person's rows: pure. In doubt more goes rather than less."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from importer.removing.persons import Person

_OF_ROWS = frozenset({"example", "found"})
"""Facts that repeat cells."""
_NO_CELLS = frozenset({"client", "audience", "kind", "code", "column", "file", "claim_id", "archive", "report"})


def blanked(facts: Any, wanted: Person, *, of_row: bool) -> tuple[Any, int]:  # noqa: ANN401 - JSON
    """Facts of a file without what they say of a person, and how many texts were emptied.

    Args:
        facts: as JSON holds them.
        wanted: whoever is named in a text.
        of_row: whether one of the file's rows is the person's; then every text that repeats cells is emptied.
    """

    def goes(name: str, text: str) -> bool:
        return bool(text) and name not in _NO_CELLS and ((of_row and name in _OF_ROWS) or wanted.is_in(text))

    return _walked(facts, "", goes)


def _walked(facts: Any, name: str, goes: Callable[[str, str], bool]) -> tuple[Any, int]:  # noqa: ANN401 - JSON
    if isinstance(facts, str):
        return ("", 1) if goes(name, facts) else (facts, 0)
    if isinstance(facts, Mapping):
        parts = {key: _walked(fact, key, goes) for key, fact in facts.items()}
        emptied = sum(number for _, number in parts.values())
        return _summarised({key: fact for key, (fact, _) in parts.items()}), emptied
    if isinstance(facts, Sequence):
        items = [_walked(fact, name, goes) for fact in facts]
        return [fact for fact, _ in items], sum(number for _, number in items)
    return facts, 0


def _summarised(facts: dict[str, Any]) -> dict[str, Any]:
    """A refusal that may not quote the first row any more is told as everybody but the sender reads it."""
    told = facts.get("facts")
    if isinstance(told, Mapping) and told.get("found") == "" and facts.get("summary"):
        without = {name: fact for name, fact in told.items() if name != "found"}
        return {**facts, "message": facts["summary"], "facts": without}
    return facts
