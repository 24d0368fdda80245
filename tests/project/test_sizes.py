"""The tool that tells how long functions, classes and modules are."""

from pathlib import Path

from tests.tools.sizes import product, sizes, told

SOURCE = '''"""A module."""


def short() -> int:
    """A docstring
    of two lines does not count."""
    return 1


class Long:
    """A class."""

    async def long(self) -> None:
{body}
'''


def test_bodies_are_counted_without_docstrings_and_what_is_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE.format(body="\n".join(["        pass"] * 41)), encoding="utf-8")
    found = sizes([path], tmp_path)
    assert [(body.what, body.lines) for body in found.bodies] == [("module.py:4 short", 1), ("module.py:13 long", 41)]
    assert [(each.what, each.lines) for each in found.classes] == [("module.py:10 Long", 45)]
    lines = [*told(found)]
    assert lines[0].startswith("2 functions: ")
    assert lines[1:3] == ["1 function bodies of more than 40 lines", "    41  module.py:13 long"]
    assert lines[-1] == "0 modules of more than 450 lines"


def test_all_of_the_product_is_measured() -> None:
    assert {path.name for path in product()} >= {"importing.py", "outbox.py", "settling.py"}
