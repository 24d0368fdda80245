"""Small files: near-valid ones with defects planted at random places, and garbage."""

import random
from collections.abc import Callable, Iterator

from importer.formats.columns import REPORT_COLUMNS, Column, Format
from tests.generate.formats import users
from tests.generate.values import FIRST_NAMES, value

LINE_ENDS = ("\r\n", "\n", "\r")
BOMS = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
BAD_BYTES = ("\udcff", "\udcc3", "\udce9", "\udc81", "\udced\udca0\udc80")
"""Bytes that are no UTF-8, as `surrogateescape` writes them; 0x81 is undefined in Windows-1252 too."""

Cells = list[str]
Defect = Callable[[random.Random, Cells, str], str]


def messy_file(rng: random.Random, *, format_: Format | None = None, records: int | None = None) -> bytes:
    """A file of at most about 40 records (or `records`) in the words of the format, with defects."""
    format_ = format_ or users()
    separator = rng.choice(",,,;;\t|")
    header = _header(rng, format_)
    ends = rng.choice((("\r\n",), ("\n",), ("\r",), LINE_ENDS))
    broken_share, bad_share = rng.choice((0.0, 0.0, 0.05, 0.15, 0.4)), rng.choice((0.0, 0.01, 0.15))
    count = rng.choice((0, 1, 2, 5, 12, 25, 40)) if records is None else records
    columns = _columns(header, format_)
    heading = separator.join(_written(rng, name, separator, 0.1) for name in header)
    parts = [*_front(rng, separator), heading]
    surplus = separator if rng.random() < 0.05 else ""
    for _ in range(count):
        cells = [_cell(rng, name, column, format_, bad_share) for name, column in zip(header, columns, strict=True)]
        written = [_written(rng, cell, separator, 0.2) for cell in cells]
        if rng.random() < broken_share:
            parts.append(heading if rng.random() < 0.05 else rng.choice(DEFECTS)(rng, written, separator))
        else:
            parts.append(separator.join(written) + surplus)
    text = "".join(part + rng.choice(ends) for part in parts)
    return _finished(rng, text, separator)


def garbage(rng: random.Random) -> bytes:
    """Up to 200 tokens that mean something to a CSV reader, in any order; mostly below a header that can be read."""
    tokens = [*'",;\t|\r\n', '"', "\n", ",", '""', "\r\n", "a", " ", "é", "\ufeff", "x,y", '"q"', "sep=;", "\udcff"]
    if rng.random() < 0.2:
        tokens += ["\0", "\x07"]
    text = "".join(rng.choices(tokens, k=rng.randrange(200)))
    header = rng.choice(("", "unique_id\n", "unique_id,login_source\n", "unique_id;login_source;x\r\n", "a,b,,\r"))
    padding = "x" * 3000 + "\n" if rng.random() < 0.5 else ""
    return (header + text + padding).encode("utf-8", "surrogateescape")


def _header(rng: random.Random, format_: Format) -> list[str]:
    needed = [column for column in format_.columns if format_.is_needed(column)]
    others = [column for column in format_.columns if column not in needed]
    chosen = needed + rng.sample(others, rng.randrange(min(7, len(others))))
    if rng.random() < 0.05:
        chosen.pop(0)
    if rng.random() < 0.04:
        chosen.append(rng.choice(format_.columns))
    names = [_spelled(rng, column) for column in chosen]
    extras = ("password", "Mot-de-passe", "shoe size", "", *REPORT_COLUMNS)
    names += [extra for extra in extras if rng.random() < 0.07]
    if rng.random() < 0.7:
        rng.shuffle(names)
    return names + [""] * rng.choice((0,) * 12 + (1, 2))


def _cell(rng: random.Random, name: str, column: Column | None, format_: Format, bad_share: float) -> str:
    if column is not None:
        return value(rng, column, format_, bad_share)
    return "x" if rng.random() < (0.5 if name else bad_share) else ""


def _spelled(rng: random.Random, column: Column) -> str:
    name = rng.choice((column.name, column.name, *column.aliases))
    return rng.choice((name, name, name.upper(), name.replace("_", " "), f" {name} ", name.title()))


def _columns(header: list[str], format_: Format) -> list[Column | None]:
    """The column that each header cell means, None for those that mean none."""
    by_name = {name: column for column in format_.columns for name in column.names}
    return [by_name.get("".join(name.lower().replace("_", "").replace("/", "").split())) for name in header]


def _front(rng: random.Random, separator: str) -> Iterator[str]:
    if rng.random() < 0.06:
        yield f"sep={separator if rng.random() < 0.9 else ':'}"
    yield from [""] * rng.choice((0,) * 12 + (1, 2))


def _written(rng: random.Random, text: str, separator: str, quoted_share: float) -> str:
    """The text as a well-formed cell; now and then with a line break or a separator of its own."""
    if rng.random() < quoted_share**2:
        text += rng.choice((separator, "\n", "\r\n", "\r", '"', f"{separator}\n", "\nApt 3"))
    if (
        rng.random() < quoted_share
        or text.lstrip(" \t").startswith('"')
        or any(c in text for c in (separator, *"\r\n"))
    ):
        return '"' + text.replace('"', '""') + '"'
    return text


def _at_random(rng: random.Random, text: str, planted: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + planted + text[at:]


def _in_a_cell(change: Callable[[random.Random, str], str]) -> Defect:
    def defect(rng: random.Random, cells: Cells, separator: str) -> str:
        at = rng.randrange(len(cells))
        return separator.join((*cells[:at], change(rng, cells[at]), *cells[at + 1 :]))

    return defect


def _planted(*texts: str) -> Defect:
    return lambda rng, cells, separator: _at_random(rng, separator.join(cells), rng.choice(texts))


def _fewer(rng: random.Random, cells: Cells, separator: str) -> str:
    return separator.join(cells[: rng.randrange(len(cells))])


def _swallowing(rng: random.Random, cells: Cells, separator: str) -> str:
    """A quoted cell that holds a whole record."""
    inner = separator.join(rng.choice(FIRST_NAMES) for _ in range(len(cells) + rng.choice((0, 0, 0, 1, -1))))
    return f'"{cells[0].strip(chr(34))}\n{inner}\nend"{separator}' + separator.join(cells[1:])


DEFECTS: tuple[Defect, ...] = (
    _fewer,
    lambda rng, cells, separator: separator.join((*cells, *rng.choice((("",), ("x",), ("", ""), ("", "x"))))),
    _planted('"'),
    _planted('"', '""', '" ', '"\n'),
    _planted("\0"),
    _planted(*BAD_BYTES),
    _planted(*LINE_ENDS),
    _in_a_cell(lambda _, cell: '"' + cell),
    _in_a_cell(lambda _, cell: cell + '"'),
    _in_a_cell(lambda _, cell: f'"{cell}"x'),
    _in_a_cell(lambda rng, cell: rng.choice((' "{}"', '"{}" ', '\t"{}"', ' "{}" ')).format(cell)),
    _in_a_cell(lambda rng, cell: f'"{cell}\n{rng.choice(FIRST_NAMES)}"'),
    lambda rng, cells, separator: rng.choice(("", "", " ", "\u00a0", separator, separator * len(cells), '""', '"\n"')),
    lambda _, cells, separator: separator * (len(cells) - 1),
    lambda _, cells, separator: separator.join(cells[1:]) + separator + '"a\n\n',
    _swallowing,
)


def _finished(rng: random.Random, text: str, separator: str) -> bytes:
    """The text in some encoding, with a row of padding where controls would make it a binary file; perhaps cut."""
    if rng.random() < 0.8 and (controls := sum(character < "\t" for character in text)):
        text += "pad" * 40 * controls + separator + "\n"
    ending = rng.random()
    if ending < 0.1:
        text = text[: rng.randrange(len(text) + 1)]
    elif ending < 0.25:
        text = text.rstrip("\r\n") + rng.choice(("", "\n\n", "\r\r", "\n \n"))
    return _encoded(rng, text)


def _encoded(rng: random.Random, text: str) -> bytes:
    dice = rng.random()
    if dice < 0.06:
        encoding = rng.choice(("utf-16-le", "utf-16-be"))
        mark = BOMS[encoding] if rng.random() < 0.9 else b""
        return mark + text.encode(encoding, "surrogatepass") + rng.choice((b"",) * 5 + (b"x", b"\xe9"))
    if dice < 0.14:
        encodable = text.encode("cp1252", "surrogateescape" if text.isascii() else "ignore")
        return encodable.replace(b"e", b"\xe9", 3) + rng.choice((b"", b"", b"\x81\n"))
    return rng.choice((b"",) * 6 + (BOMS["utf-8"],)) + text.encode("utf-8", "surrogateescape")
