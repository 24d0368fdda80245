"""How a file is written, decided from its first bytes."""

import pytest

from importer.model import FileRefused
from importer.reading.dialect import marked_encoding, refuse_if_not_text


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"PK\x03\x04...", "not_text"),
        (b"\xd0\xcf\x11\xe0....", "not_text"),
        (b"%PDF-1.7", "not_text"),
        (b"\x1f\x8b\x08", "not_text"),
        (b"\xff\xfe\0\0a\0\0\0", "not_text"),
        (bytes(range(256)) * 2, "not_text"),
        (bytes(100), "not_text"),
        ("unique_id,é".encode("utf-16-le"), "unmarked_utf16"),
        ("unique_id,é".encode("utf-16-be"), "unmarked_utf16"),
    ],
)
def test_what_is_no_text_is_refused(head: bytes, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        refuse_if_not_text(head)
    assert refused.value.refusal.code == code


@pytest.mark.parametrize("head", [b"a,b\n", "é".encode("utf-16"), b"\xef\xbb\xbfa", b"", b"\t\r\n\f\v" * 9])
def test_text_is_not_refused(head: bytes) -> None:
    refuse_if_not_text(head)


def test_a_byte_order_mark_tells_the_encoding() -> None:
    heads = (b"\xef\xbb\xbfa", b"\xff\xfea\0", b"\xfe\xff\0a", b"a")
    assert [marked_encoding(head) for head in heads] == [("utf-8", 3), ("utf-16-le", 2), ("utf-16-be", 2), None]
