"""Whatever is wrong with the URL of a database, no part of its password is shown."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import create_engine, make_url

from importer.database.connecting import masked
from importer.database.identity import place_of
from watcher.settings.values import DatabaseUrl

LETTERS = "QXZJKW"
SPECIAL = "@:/?#[]%&=+ ,;.!$'\"\\ä"
PASSWORDS = st.text(LETTERS + SPECIAL, min_size=4, max_size=12)
NORMAL = "postgresql+psycopg://drops:{}@db.example.org:5432/people?sslmode=require"

KNOWN = TypeAdapter(DatabaseUrl)


@st.composite
def broken(draw: st.DrawFn) -> tuple[str, str]:
    """A password and a URL with it, which may have a mistake."""
    password = draw(PASSWORDS)
    url = NORMAL.format(quote(password, safe="") if draw(st.booleans()) else password)
    place = draw(st.integers(0, len(url) - 1))
    match draw(st.sampled_from(["as it is", "left out", "twice", "more", "swapped", "cut"])):
        case "left out":
            url = url[:place] + url[place + 1 :]
        case "twice":
            url = url[:place] + url[place] + url[place:]
        case "more":
            url = url[:place] + draw(st.sampled_from(SPECIAL)) + url[place:]
        case "swapped":
            url = url[:place] + url[place + 1 : place + 2] + url[place] + url[place + 2 :]
        case "cut":
            url = url[:place]
    return password, url


def pieces(password: str) -> set[str]:
    """The pieces of four characters and more that are the password's own."""
    cut = {text[start : start + 4] for text in (password, quote(password, safe="")) for start in range(len(text) - 3)}
    return {piece for piece in cut if sum(letter in LETTERS for letter in piece) >= 2}


def shown(url: str) -> str:
    """What is printed of a URL: why it is refused; or its place, and what a server that it names would say."""
    try:
        KNOWN.validate_python(url)
    except ValidationError as error:
        return " ".join(str(each["msg"]) for each in error.errors())
    engine = create_engine(url)
    _, given = engine.dialect.create_connect_args(make_url(url))
    said = " ".join(f"{name} {value} is not known" for name, value in given.items() if isinstance(value, str))
    return f"{place_of(url)} {masked(said, given)}"


@given(broken())
@example(("QXZJ@KWQX", NORMAL.format("QXZJ@KWQX")))
@example(("QXZJ:KWQX", NORMAL.format("QXZJ:KWQX").replace("@", "", 1)))
@example(("QXZJ/KWQX", "postgresql+psycopg:///" + NORMAL.format("QXZJ/KWQX").partition("://")[2]))
@example(("QXZJKWQX", NORMAL.format("QXZJKWQX").replace(":QXZ", "QXZ")))
def test_no_part_of_a_password_is_shown_whatever_is_wrong_with_the_url(case: tuple[str, str]) -> None:
    password, url = case
    text = shown(url)
    assert not [piece for piece in pieces(password) if piece in text]


@pytest.mark.parametrize("password", ["p@ss", "p@ss/word", "p@ss?word", "p@ss:word"])
def test_a_password_that_is_not_encoded_is_told_how_to_be(password: str) -> None:
    assert "@ is %40" in shown(NORMAL.format(password))
    assert "%40" not in shown(NORMAL.format(quote(password, safe="")))


@pytest.mark.parametrize(
    "url",
    [
        NORMAL.format("secret"),
        NORMAL.format("se:cr/et?"),
        "postgresql+psycopg://me@/users?host=/run/postgresql",
        "postgresql+psycopg://me:secret@[::1]:5432/users",
        "postgresql+psycopg://db/users",
        "postgresql+psycopg:///users",
        "postgresql+psycopg://",
        "postgresql+psycopg://me:secret@one,two/users?target_session_attrs=read-write",
        "sqlite:////data/u.db",
        "sqlite://",
    ],
)
def test_a_url_that_is_understood_is_taken(url: str) -> None:
    assert KNOWN.validate_python(url).get_secret_value() == url
