"""What nobody sees: it is taken out of values, and text that looks alike is alike."""

from pathlib import Path

from tests.importer.cases import drop, drop_case


def test_a_byte_order_mark_inside_a_file_is_no_part_of_a_key(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 49)
    assert sorted(dropped.users) == ["1", "2"]
    assert dropped.codes == ["inner_marks"]


def test_an_address_is_stored_without_what_nobody_sees(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 51)
    assert [user["email"] for user in dropped.users.values()] == ["ana@example.org", "bo@example.org"]
    assert "“[U+200B]ana@example.org” → “ana@example.org”" in dropped.remarks[0][1]


def test_text_that_looks_alike_is_alike(tmp_path: Path) -> None:
    (dropped,) = drop_case(tmp_path, 57)
    assert "is already used in row 2" in dropped.errors[3]
    assert dropped.codes == []


def test_joiners_stay_inside_names_and_nowhere_else(tmp_path: Path) -> None:
    name = "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"
    text = f"unique_id,login_source,first_name,last_name\nU\u200d1,OPSCOM,{name},\u200d{name}\u200c\n"
    (dropped,) = drop(tmp_path, text.encode())
    assert {key: (user["first_name"], user["last_name"]) for key, user in dropped.users.items()} == {"U1": (name, name)}


def test_a_control_character_is_named(tmp_path: Path) -> None:
    text = "unique_id,login_source,first_name,last_name\n1,OPSCOM,A\x08na,O\x92Brien\n"
    (dropped,) = drop(tmp_path, text.encode())
    assert dropped.errors == {
        2: "first_name holds a control character (U+0008 BACKSPACE); type the value again without it;"
        " last_name holds a control character (U+0092 (\u2019)); type the value again without it"
    }
