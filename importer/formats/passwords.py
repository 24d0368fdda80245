"""The recognition of columns that hold passwords, by their names, in the languages of those who export them. Pure.

Such columns are known and refused: their values are never stored, logged, reported or mailed.
"""

import re
import unicodedata

PASSWORD_NAMES = frozenset({"password", "passwd", "passwort", "pwd", "kennwort", "motdepasse"})
"""The usual names of columns of passwords, by which a header is recognised as one."""

_WHEN = "(?:at|date|on|time|timestamp)?"
_ABOUT_ONE = "|".join(
    (
        "age|age(?:in)?days|cannotchange|changerequired|count|history|last|lifetime|notrequired|policy(?:id|name)?",
        f"(?:last)?(?:change|changed|updated){_WHEN}|last(?:re)?set{_WHEN}|(?:re)?set(?:at|date|on|time)",
        f"date(?:of)?(?:change|expiration|expiry)?|(?:neverexpires?|expir(?:ation|e|ed|es|y)){_WHEN}|expirele",
    )
)
"""The rests of names of columns that are about a password, such as the day on which it expires."""


def is_password(name: str) -> bool:
    """Whether a column of some name holds passwords.

    Case, accents, digits and whatever stands between the words make no difference. Words for a password count wherever
    they stand in the name, short ones where they are a word of their own.
    """
    return _SOMEWHERE.search(_letters(name)) is not None or any(_is_short(words) for words in _runs(name))


def _letters(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(character for character in plain if character.isalpha())


def _runs(name: str) -> list[tuple[str, str]]:
    """Yield each word of a name with all that follows it."""
    words = [*filter(None, map(_letters, re.split(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])", name)))]
    return [(word, "".join(words[index:])) for index, word in enumerate(words, 1)]


def _is_short(words: tuple[str, str]) -> bool:
    word, following = words
    return word in _SHORT and re.fullmatch(_ABOUT_ONE, following) is None


_SOMEWHERE = re.compile(
    r"(?<!mustchange)(?<!forcechange)(?:{})(?!(?:{})\Z)".format(
        "|".join(
            _letters(word)
            for word in (
                *("password", "passwd", "passwrd", "passwort", "passphrase", "passcode", "kennwort", "pwd"),
                *("userpass", "loginpass", "mot de passe", "mots de passe", "motpasse", "contraseña", "contrasenya"),
                *("wachtwoord", "lösenord", "passord", "adgangskode", "salasana", "palavra passe", "пароль", "密码"),
                *("密碼", "パスワード", "비밀번호", "كلمة المرور", "סיסמה", "κωδικός πρόσβασης"),
            )
        ),
        _ABOUT_ONE,
    )
)
_SHORT = frozenset(_letters(word) for word in ("mdp", "pw", "psw", "senha", "parola", "haslo", "hasło", "heslo"))
