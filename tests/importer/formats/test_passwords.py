"""Columns of passwords are known by their names, in every language and spelling; columns about passwords are none."""

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.formats.columns import by_name
from importer.formats.passwords import PASSWORD_NAMES, is_password
from tests.importing import BUILT_IN

SPELLED = [
    *("password", "Password", "PASSWORD1", "pass word", "Pass-word", "pass_word", "p.a.s.s.w.o.r.d", "passwords"),
    *("passwd", "pwd", "PWD2", "userPwd", "userpwd", "user_password", "UserPassword", "Initial Password (temporary)"),
    *("password_hash", "password hint", "encrypted_password", "unicodePwd", "new password", "change password"),
    *("mot de passe", "Mot-de-passe", "MOTDEPASSE", "mots de passe", "Mot de passe provisoire", "mdp", "mdp_initial"),
    *("Password (change at first login)", "Password, expires soon: A1", "Mot de passe (à changer)", "mdp à changer"),
    *("Password (last 4 digits)", "pw, change it", "password hash, changed"),
    *("Passwort", "Kennwort", "Startkennwort", "contraseña", "CONTRASENA", "contrasen\N{COMBINING TILDE}a", "senha"),
    *("wachtwoord", "lösenord", "passphrase", "pass phrase", "passcode", "user_pass", "login-pass", "pw", "user_pw"),
    *(
        "пароль",
        "密码",
        "パスワード",
        "\ufeffpassword",
        "pass\N{NO-BREAK SPACE}word",
        "\N{FULLWIDTH LATIN SMALL LETTER P}assword",
    ),
]
ABOUT = ["pwdLastSet", "password_expires", "Password expiry", "passwordAge", "passwordchangedat", "mdp expiration"]
ABOUT += ["must_change_password", "forceChangePasswordNextSignIn", "Must change password at next logon", "badPwdCount"]
ABOUT += ["password_reset_date", "pwdLastSetTime", "Password (last changed)", "mot de passe expire le"]
OTHERS = ["", "passport", "parking pass", "pass_no", "compass", "pwr", "resenha", "empw", "word", "mot", "passenger"]


@pytest.mark.parametrize("name", SPELLED)
def test_this_is_a_password(name: str) -> None:
    assert is_password(name)


@pytest.mark.parametrize("name", [*ABOUT, *OTHERS])
def test_this_is_none(name: str) -> None:
    assert not is_password(name)


def test_no_name_of_the_built_in_format_is_a_password() -> None:
    names = [name for column in BUILT_IN.columns for name in (column.name, *column.aliases)]
    assert not [*filter(is_password, [*names, *by_name(BUILT_IN.columns)])]


@given(
    word=st.sampled_from(sorted(PASSWORD_NAMES)),
    between=st.text(" \t_-/.\N{NO-BREAK SPACE}" + string.digits, max_size=3),
    turned=st.sampled_from([str, str.upper, str.title, str.swapcase]),
)
def test_case_digits_and_what_stands_between_make_no_difference(
    word: str, between: str, turned: Callable[[str], str]
) -> None:
    assert is_password(between.join(turned(word)))
    assert is_password(f"user{between}{turned(word)}{between}")
