"""Text that is no table is called what it is."""

import pytest

from importer.reading.foreign_text import Certainty, foreign_text


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        ('<html xmlns:o="urn:schemas-microsoft-com:office:office">', "not_text", "a web page (HTML)"),
        ("\r\n  <!DOCTYPE HTML PUBLIC>\n<html>", "not_text", "a web page (HTML)"),
        ("<table border=1><tr><td>unique_id", "not_text", "a web page (HTML)"),
        ('<?xml version="1.0"?>\n<!DOCTYPE html><html>', "not_text", "a web page (HTML)"),
        ('<?xml version="1.0"?><users><user id="1"/></users>', "not_text", "XML"),
        ("<users>\n<user>", "not_text", "XML"),
        ("{\\rtf1\\ansi\\deff0 {\\fonttbl", "not_text", "rich text (RTF)"),
        ('[{"unique_id": "1"}]', "not_text", "JSON"),
        ('{\n  "users": [', "not_text", "JSON"),
        ('{"unique_id":"1"}\n{"unique_id":"2"}', "not_text", "JSON"),
        ("BEGIN:VCARD\nVERSION:3.0", "not_text", "a list of contacts or dates (vCard, iCalendar)"),
        ("dn: uid=ana,ou=people,dc=example,dc=org\n", "not_text", "a directory's export (LDIF)"),
        ("-- dump\nINSERT INTO users VALUES (1);", "not_text", "an SQL script"),
        ("From: ana@example.org\nSubject: users\n\nHello", "is_mail", ""),
        ("Received: from a\n\tby b\nMIME-Version: 1.0\n", "is_mail", ""),
        ("ORA-01017: invalid username/password; logon denied", "is_error_message", ""),
        ("ERROR 1045 (28000): Access denied for user", "is_error_message", ""),
        ("Msg 208, Level 16, State 1\nInvalid object name", "is_error_message", ""),
        ("Traceback (most recent call last):\n", "is_error_message", ""),
        ("psql: error: connection to server failed", "is_error_message", ""),
        ("503 Service Unavailable", "is_error_message", ""),
        ("Erreur : accès refusé", "is_error_message", ""),
    ],
)
def test_a_text_is_named_by_how_it_begins(text: str, code: str, kind: str) -> None:
    found = foreign_text(text.encode())
    assert found is not None
    assert (found.code, found.kind) == (code, kind)
    assert kind in found.refusal().message


@pytest.mark.parametrize(
    "text",
    [
        "unique_id,login_source\n1,OPSCOM\n",
        '"unique_id","login_source"\n',
        "[unique_id],[login_source]\n",
        "Ana,Lee\n",
        "Student export\nunique_id\n",
        "from,to\na,b\n",
        "subject: x\n",
        "sep=;\nunique_id;x\n",
        "",
    ],
)
def test_a_table_is_not_mistaken_for_something_else(text: str) -> None:
    assert foreign_text(text.encode()) is None


def test_the_message_of_an_error_above_a_header_is_just_a_title() -> None:
    found = foreign_text(b"Error log of 2026\nunique_id,login_source\n")
    assert found is not None
    assert found.certainty is Certainty.UNLESS_HEADER
