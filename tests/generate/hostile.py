"""Files that attack: by their bytes, by their structure, by their cells, by their names, and things that are no files.

Each is made from its entry alone. What would fill a disk is scaled: `megabytes` is the size of the largest.
"""

import gzip
import io
import os
import random
import socket
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CELL = "kanari"
"""What every file holds, so that a leak is found."""

HEADER = "unique_id,login_source,first_name,last_name,email"
_GOOD = f"{CELL}-1,OPSCOM,{CELL},{CELL},{CELL}@example.com"

IMPORTED, LEFT = "imported", "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """A hostile thing.

    Attributes:
        name: in the upload directory.
        becomes: IMPORTED (its bad rows fail), LEFT where it lies, or the code of its refusal.
        make: puts it there, under the path that it is given.
    """

    name: str
    becomes: str
    make: Callable[[Path], object]


def hostile_things(megabytes: int) -> Iterator[Hostile]:
    """All of them."""
    for title, becomes, content in contents():
        yield _file(f"{title}.csv", becomes, content)
    for name, becomes, content in _compressed():
        yield _file(name, becomes, content)
    for title, becomes, content in report_bombs(min(megabytes, 20) << 16):
        yield _file(f"{title}.csv", becomes, content)
    for title, becomes, pieces in _giants(megabytes):
        yield Hostile(name=f"{title}.csv", becomes=becomes, make=_streamed(pieces))
    for name in _NAMES:
        yield _file(name, IMPORTED, _table(_GOOD))
    for name, make in _non_files():
        yield Hostile(name=name, becomes=LEFT, make=make)


def _file(name: str, becomes: str, content: bytes) -> Hostile:
    return Hostile(name=name, becomes=becomes, make=lambda path: path.write_bytes(content))


def _streamed(pieces: Callable[[], Iterator[bytes]]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(pieces())

    return make


def _table(*rows: str, header: str = HEADER) -> bytes:
    return "".join(f"{row}\n" for row in (header, *rows)).encode("utf-8", "surrogateescape")


def contents() -> Iterator[tuple[str, str, bytes]]:
    text = _table(_GOOD)
    for title, magic in _MAGIC.items():
        yield title, "not_text", magic + text
    noise = random.Random(1).randbytes(200_000)  # noqa: S311 - the same noise each time
    yield "noise", "not_text", noise
    yield "nul-only", "not_text", bytes(1 << 20)
    yield "utf-16-le-unmarked", "unmarked_utf16", text.decode().encode("utf-16-le")
    yield "utf-16-be-unmarked", "unmarked_utf16", text.decode().encode("utf-16-be")
    yield "empty", "empty_file", b""
    yield "mark-only", "empty_file", b"\xef\xbb\xbf"
    yield "line-ends-only", "empty_file", b"\n" * (1 << 20)
    yield "returns-only", "empty_file", b"\r" * (1 << 20)
    yield "header-only", "no_records", HEADER.encode()
    yield "header-is-an-expression", "no_known_column", _table(CELL, header="^.*$")
    yield "header-is-a-star", "no_known_column", _table(CELL, header="*")
    yield "header-is-sql", "bad_header", _table(CELL, header='"x"); DROP TABLE users; --"')
    ours = f"{HEADER},row,line,id,client,feed_hash,brought by"
    yield "header-has-our-names", IMPORTED, _table(f"{_GOOD},1,2,3,4,5,6", header=ours)
    yield "header-has-sql-beside", IMPORTED, _table(f"{_GOOD},x", header=f'{HEADER},"""); DROP TABLE users; --"')
    yield "header-has-expressions-beside", IMPORTED, _table(f"{_GOOD},x,y", header=f"{HEADER},^.*$,*")
    yield "header-twice-a-column", "repeated_column", _table(_GOOD, header=HEADER.replace("last_name", "email"))
    yield "header-of-controls", "no_known_column", _table(CELL, header="\x1b[2J\x07,\x08")
    yield "header-repeated-forever", IMPORTED, _table(_GOOD, *[HEADER] * 10_000)
    yield "columns-10000", "too_many_columns", _table(header=",".join(f"c{n}" for n in range(10_000)))
    yield "columns-200000", "bad_header", _table(header=",".join(f"c{n}" for n in range(200_000)))
    yield "cells-200000", IMPORTED, _table(_GOOD, "," * 200_000)
    yield "separators-only", "no_known_column", b"," * 255 + b"\n"
    yield "quotes-only", "bad_header", b'"' * 99_999 + b"\n"
    yield "blank-rows", IMPORTED, _table(_GOOD, *["    "] * 200_000)
    yield "empty-rows", IMPORTED, _table(_GOOD) + b"\n" * 1_000_000 + _table(header=_GOOD.replace("-1,", "-2,"))
    yield "one-key-forever", IMPORTED, _table(_GOOD, *[_GOOD] * 50_000)
    yield "nul-in-cells", IMPORTED, _table(_GOOD, *[_GOOD.replace(CELL, f"{CELL}\0")] * 3)
    no_utf8 = b"\xc3\x28\xa0\xa1,\xf8\x88\x80\x80\x80,\xc0\xaf,\xed\xa0\x80,\x81\n"
    yield "not-utf-8", IMPORTED, text + no_utf8 * 1_000
    yield "marked-utf-8-that-is-none", IMPORTED, b"\xef\xbb\xbf" + text + b"\xff\xfe\xfd,x,y,z,\n" * 1_000
    for title, cells in _CELLS.items():
        rows = (f'{CELL}-{number},OPSCOM,"{cell}",{CELL},' for number, cell in enumerate(cells, 2))
        yield f"cells-of-{title}", IMPORTED, _table(_GOOD, *rows)
    hanging = f"{'a.' * 30_000}@{'b.' * 2_000}"
    yield "address-that-hangs-expressions", IMPORTED, _table(_GOOD, f"{CELL}-2,OPSCOM,a,b,{hanging}")
    dates = (f"{CELL}-{number},OPSCOM,a,b,,{date}" for number, date in enumerate(("0000-00-00", "9999-99-99", "1e9")))
    yield "dates-that-are-none", IMPORTED, _table(*dates, header=f"{HEADER},date_of_birth")


_CELLS = {
    "formulas": ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\uff1d1", "'=1"),
    "sql": ("'; DROP TABLE users; --", "' OR 1=1 --", "$$; SELECT 1; $$", "%s %(a)s :a ?", "\\'"),
    "copy": ("\\.", "\\N", "\\b\\f\\x41", "a\tb", "\\"),
    "mail": ("x\r\nBcc: victim@example.com", "=?utf-8?q?a=0D=0ABcc:b?=", "\r\n.\r\n", "a@b\nc"),
    "log": ('""}\n{""event"": ""import_finished""}', "\x1b[31m", "\u2028\u2029", "\u202e", "\x00\x07"),
    "markup": ("<script>alert(1)</script>", "{{ 7 * 7 }}", "{% raw %}", "&lt;", "<!--"),
    "marks": ("e" + "\u0301" * 10_000, "\u200b" * 40, "\ufdfd" * 40, "\U0001f468\u200d" * 20),
    "numbers": ("1e309", "9" * 60_000, "NaN", "-0", "0x41"),
}
"""First names."""

_MAGIC = {
    "workbook": b"PK\x03\x04\x14\x00\x06\x00",
    "empty-archive": b"PK\x05\x06",
    "old-workbook": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "document": b"%PDF-1.7\n",
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff\xe0",
    "gif": b"GIF89a",
    "gzip-as-csv": gzip.compress(_table(_GOOD)),
    "seven-zip": b"7z\xbc\xaf\x27\x1c",
    "rar": b"Rar!\x1a\x07",
    "bzip2": b"BZh91AY",
    "xz": b"\xfd7zXZ\x00",
    "program": b"\x7fELF\x02\x01\x01",
}


def _compressed() -> Iterator[tuple[str, str, bytes]]:
    packed = gzip.compress(_table(_GOOD))
    yield "bomb-of-nothing.csv.gz", "not_text", _bomb(b"\0" * (1 << 20))
    yield "bomb-of-rows.csv.gz", "expansion_too_large", _bomb(_table(*[_GOOD] * 20_000))
    yield (
        "bomb-of-a-report.csv.gz",
        "expansion_too_great",
        gzip.compress(_table(header="unique_id") + b"a\n" * 2_000_000),
    )
    rows = gzip.compress(b"a\n" * 20_000)
    yield "bomb-in-members.csv.gz", "expansion_too_great", gzip.compress(_table(header="unique_id")) + rows * 500
    yield "bomb-of-columns.csv.gz", "expansion_too_great", gzip.compress(_table(_GOOD) + (b"," * 4 + b"\n") * 4_000_000)
    yield "bomb-within-bounds.csv.gz", IMPORTED, _bomb_within_bounds()
    yield "members-of-nothing.csv.gz", "too_many_members", packed + gzip.compress(b"") * 300_000
    yield "members-of-a-row-each.csv.gz", IMPORTED, packed + gzip.compress(f"{CELL}-2,OPSCOM,,,x\n".encode()) * 20_000
    yield "members-far-apart.csv.gz", IMPORTED, packed + bytes(50 << 20) + gzip.compress(b"x,x\n")
    yield "member-and-rubbish.csv.gz", "broken_gzip", packed + CELL.encode()
    yield "cut.csv.gz", "broken_gzip", packed[:-12]
    yield "wrong-sum.csv.gz", "broken_gzip", packed[:-8] + b"\0\0\0\0" + packed[-4:]
    yield "twice.csv.gz", "not_text", gzip.compress(packed)
    yield "not-packed.csv.gz", IMPORTED, _table(_GOOD)


def _bomb_within_bounds() -> bytes:
    """Half of what may unpack, as noise that does not pack stands before rows that all fail."""
    noise = random.Random(1)  # noqa: S311 - the same noise each time
    cells = b"".join(f"{CELL}{noise.randbytes(20_000).hex()},OPSCOM,,,\n".encode() for _ in range(3))
    return gzip.compress(_table() + cells + b"a,x,,,x\n" * (len(cells) * 6 // 8 * 7), 9)


def report_bombs(size: int) -> Iterator[tuple[str, str, bytes]]:
    """Files of so many bytes, all or most of whose rows fail: their reasons would be many times as long."""
    for title, (header, *rows) in _FAILING.items():
        body = "".join(f"{row}\n" for row in rows).encode("utf-8", "surrogateescape")
        yield f"all-fail-by-{title}", IMPORTED, f"{header}\n".encode() + body * (size // len(body))
    numbered = "".join(f"{number},OPSCOM-{number * 7919}\n" for number in range(size // 20))
    yield "all-fail-by-unknown-values", IMPORTED, _table(header="unique_id,login_source") + numbered.encode()
    wide = ",".join(["unique_id", *(f"{CELL}{number}" for number in range(250))])
    whole = "".join(f"{number}{',' * 250}\n" for number in range(4_000)).encode()
    yield "all-fail-below-a-wide-header", "too_many_unreadable", _table(header=wide) + whole + b"a\n" * 60_000
    mixed = "é\n\udcff\n".encode("utf-8", "surrogateescape") * 2
    yield (
        "half-fail-by-their-bytes",
        "too_many_unreadable",
        _table(header="unique_id") + (mixed + "é\n".encode()) * 200_000,
    )


_FAILING = {
    "their-only-key": ("unique_id", "a"),
    "a-missing-key": ("unique_id,first_name", ",a"),
    "a-key-that-is-too-long": ("unique_id", "a" * 51),
    "addresses": ("unique_id,email", ",x"),
    "equal-addresses": ("unique_id,email", "1,a@b.ca", "2,a@b.ca"),
    "dates": ("unique_id,date_of_birth", ",x", ",9999-01-01", ",0001-01-01"),
    "provinces": ("unique_id,province", ",x"),
    "every-column": ("unique_id,email,province,date_of_birth,driver_licence_prov,province2", ",x,x,x,x,x"),
    "a-long-name-of-a-column": (f"unique_id,e{'_' * 60_000}mail", ",x"),
    "formulas": ("unique_id,first_name", ",="),
    "quotation-marks": ("unique_id,first_name", ',""""""'),
    "controls": ("unique_id,first_name", f",{'a' * 150}\x07"),
}
"""How rows fail: the header and some rows, which come again and again."""


def _bomb(piece: bytes) -> bytes:
    """Some hundred kilobytes that become a gigabyte."""
    packer = zlib.compressobj(9, wbits=31)
    out = io.BytesIO()
    for _ in range((1 << 30) // len(piece)):
        out.write(packer.compress(piece))
    out.write(packer.flush())
    return out.getvalue()


def _giants(megabytes: int) -> Iterator[tuple[str, str, Callable[[], Iterator[bytes]]]]:
    block = CELL.encode() * ((1 << 20) // len(CELL))
    head = _table(_GOOD)

    def one_line() -> Iterator[bytes]:
        yield from [block] * megabytes

    def one_cell() -> Iterator[bytes]:
        yield head + f"{CELL}-2,OPSCOM,".encode()
        yield from one_line()
        yield f",{CELL},\n{CELL}-3,OPSCOM,a,b,\n".encode()

    def one_quoted_cell() -> Iterator[bytes]:
        yield head + f'{CELL}-2,OPSCOM,"'.encode()
        yield from one_line()
        yield f'",{CELL},\n{CELL}-3,OPSCOM,a,b,\n'.encode()

    def open_quote() -> Iterator[bytes]:
        yield head + f'{CELL}-2,OPSCOM,"{CELL},'.encode()
        for start in range(min(megabytes, 100)):
            rows = (f"{CELL}-{start}-{n},OPSCOM,{CELL},{CELL}{' ' * 160},\n" for n in range(5_000))
            yield "".join(rows).encode()

    def quotes() -> Iterator[bytes]:
        yield head
        yield from [b'"\n"",' * (1 << 18)] * max(1, megabytes // 20)

    yield "giant-line", "bad_header", one_line
    yield "giant-cell", IMPORTED, one_cell
    yield "giant-quoted-cell", IMPORTED, one_quoted_cell
    yield "giant-open-quote", IMPORTED, open_quote
    yield "giant-heap-of-quotes", "wrong_width", quotes


_NAMES = (
    "a*.csv",
    "x[1].csv",
    "{a,b}.csv",
    "=?utf-8?q?x=0D=0ABcc=3Avictim?=.csv",
    os.fsdecode(b"latin-\xe9\xff.csv"),
    "two\nlines.csv",
    "return\r.csv",
    "-rf.csv",
    "$(touch x);`touch y`.csv",
    "%n%s%d.csv",
    "\u202evsc.csv",
    "\x1b[31m.csv",
    " blank .csv",
    "'; DROP TABLE users; --.csv",
    "<b>&amp;.csv",
    "con.CSV",
    "x" * 251 + ".csv",
    "é" * 125 + ".csv",
)


def _non_files() -> Iterator[tuple[str, Callable[[Path], object]]]:
    yield "link.csv", lambda path: path.symlink_to("/etc/hostname")
    yield "link-to-nothing.csv", lambda path: path.symlink_to("nowhere")
    yield "link-to-itself.csv", lambda path: path.symlink_to(path.name)
    yield "hard-link.csv", _hard_link
    yield "pipe.csv", os.mkfifo
    yield "socket.csv", _socket
    yield "directory.csv", Path.mkdir
    yield "device.csv", _device


def _hard_link(path: Path) -> None:
    other = path.parent.parent / "elsewhere"
    other.write_bytes(_table(_GOOD))
    path.hardlink_to(other)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            listening.bind(f"/proc/self/fd/{here}/{path.name}")  # whose length is bounded
        finally:
            os.close(here)


def _device(path: Path) -> None:
    """A device for whoever may make one, or else a pipe."""
    try:
        os.mknod(path, 0o020600, os.makedev(1, 9))
    except PermissionError:
        os.mkfifo(path)
