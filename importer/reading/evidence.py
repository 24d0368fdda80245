"""What speaks against reading a text as Windows-1252: words that nobody writes, as other code pages look in it. Pure.

Names that look right in both cannot be told apart: ö and û of a Mac look like š and ž. So a guess is given up as soon
as one word is impossible, or too many are strange.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

_LETTERS: Final = bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B)) + bytes(range(0x80, 0x100))
_WITHIN_WORDS: Final = _LETTERS.translate(None, b"\xa0\xad")
"""What words are made of; the no-break space and the soft hyphen end one."""
_WORDS_ALONE: Final = bytes(byte if byte in _WITHIN_WORDS else 0x20 for byte in range(0x100))
_UTF8_WORD: Final = re.compile(rb"(?<![A-Za-z\x80-\xff])[A-Za-z]{0,60}[\x80-\xff][A-Za-z\x80-\xff]{0,60}")
_LOOKED_AT: Final = 1 << 20
_RUN: Final = re.compile(rb"[\x80-\xff]+")
_LONGEST_WORD: Final = 60
_MOST_WORDS: Final = 1 << 16
"""So many different words are remembered before they are forgotten and counted anew."""
_MOST_SAMPLES: Final = 200
_FEWEST_WORDS: Final = 20
"""One strange word in so many is one too many."""

_OPENING: Final = "‘“„«‹¿¡’•·–—"  # noqa: RUF001 - typographic marks are meant
_CLOSING: Final = "’”“»›…•·–—ªº°™®©†²³¹"  # noqa: RUF001 - likewise
_SUPERSCRIPTS: Final = "²³¹"
_BETWEEN: Final = "’‘–—·"  # noqa: RUF001 - likewise
_NO_LETTERS: Final = frozenset("ªºˆƒ")
_ALONE: Final = frozenset(_OPENING + _CLOSING + "€£§¶½¼¾×÷±")  # noqa: RUF001 - likewise
_NAME_PREFIX: Final = re.compile(
    r"(?:Mc|Mac|De|Le|La|Du|Des|Les|Di|Da|Del|Fitz|Van|Saint|St|Ste)(?=[ÀÂÄÇÈÉÊËÎÏÔÖÙÛÜ][a-zà-ÿ]{2})"
)

_ALPHABETS: Final = tuple(
    frozenset(letters)
    for letters in (
        "àâæçéèêëîïôœùûüÿ",  # French
        "äöüßéè",  # German
        "áéíóúüñ",  # Spanish
        "áàâãçéêíóôõúü",  # Portuguese
        "àèéìíîòóùú",  # Italian
        "æøåéèêóôòüäö",  # Danish, Norwegian
        "åäöéüšžõ",  # Swedish, Finnish, Estonian
        "áéíóúýþæöð",  # Icelandic
        "éëïóöüáíèêç",  # Dutch
        "àçèéíïòóúü",  # Catalan
        "áéíóöúü",  # Hungarian, but for two of its letters
        "áéíóúýšžäô",  # Czech and Slovak names without their other letters
        "âêîôûäëïöü",  # Welsh
    )
)
_STRANGE: Final = re.compile(r"õ(?![es])|[ìù](?=[a-z]{2})|ø[íá]")


@dataclass(slots=True)
class Evidence:
    """What the words of a text, taken as Windows-1252, say about that.

    Attributes:
        words: some of them as bytes, the first ones of the text.
        is_against: whether one is impossible.
    """

    words: list[bytes] = field(default_factory=list)
    is_against: bool = False
    _seen: set[bytes] = field(default_factory=set)
    _different: int = 0
    _strange: int = 0

    def add(self, text: bytes) -> None:
        """Look at the next part of the text, which begins and ends between words."""
        for word in _words(text):
            if word not in self._seen:
                self._add(word)
        if len(self._seen) > _MOST_WORDS:
            self._seen.clear()

    def _add(self, word: bytes) -> None:
        self._seen.add(word)
        runs = _RUN.findall(word)
        if all(map(_is_utf8, runs)):
            return
        if len(self.words) < _MOST_SAMPLES:
            self.words.append(word)
        shown = _RUN.sub(lambda run: b"e" if _is_utf8(run[0]) else run[0], word).decode("cp1252", "replace")
        self._different += 1
        self.is_against |= is_impossible(shown)
        self._strange += is_strange(shown)

    @property
    def is_windows_1252(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.is_against and _FEWEST_WORDS * self._strange < max(self._different, 1)


def words_beyond_ascii(text: bytes) -> Iterator[bytes]:
    """The different words of a UTF-8 text that are not ASCII, in order, from its first bytes."""
    found = (word[0] for word in _UTF8_WORD.finditer(text, 0, _LOOKED_AT))
    return (word for word in dict.fromkeys(found) if _is_utf8(word))


def shown_words(text: bytes) -> str:
    """The first two words beyond ASCII of a text, as they would be read as Windows-1252."""
    words = islice(_words(text[:_LOOKED_AT]), 2)
    return ", ".join(f"“{word.decode('cp1252', 'backslashreplace')}”" for word in words)


def _words(text: bytes) -> Iterator[bytes]:
    """The different words of a text that have bytes beyond ASCII, in order; of long ones their beginnings."""
    words = dict.fromkeys(text.translate(_WORDS_ALONE).split())
    return (word[:_LONGEST_WORD] for word in words if not word.isascii())


def _is_utf8(run: bytes) -> bool:
    try:
        run.decode()
    except UnicodeDecodeError:
        return False
    return True


def between_words(chunks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """The bytes of the chunks, cut between words; a run of letters that is longer than `longest` is cut anywhere."""
    carry = b""
    for chunk in chunks:
        data = carry + chunk
        end = len(data.rstrip(_LETTERS))
        if len(data) - end > longest:
            end = len(data)
        carry = data[end:]
        yield data[:end]
    yield carry


def is_impossible(word: str) -> bool:
    """Whether nobody writes a word: it has marks or capitals where none are, or no letter but accented ones."""
    if "\ufffd" in word:
        return True
    if not any(map(_is_letter, word)):
        return len(word) > 1 and not _ALONE.issuperset(word)
    core = word.lstrip(_OPENING).rstrip(_CLOSING)
    letters = sum(map(_is_letter, core))
    if letters >= 3 and all("\u00c0" <= letter <= "\u00ff" for letter in core):
        return True
    if letters == 1:
        return any(mark not in _ALONE and not _is_letter(mark) for mark in core)
    return _has_odd_marks(word, core) or _has_odd_capital(core)


def _has_odd_marks(word: str, core: str) -> bool:
    if len(core) >= 3 and word[-1] in _SUPERSCRIPTS:
        return True
    return any(
        not _is_letter(mark) and not (mark in _BETWEEN and 0 < at < len(core) - 1) for at, mark in enumerate(core)
    )


def _has_odd_capital(core: str) -> bool:
    rest = _NAME_PREFIX.sub("", core)
    return any(
        letter > "\x7f" and letter.isupper() and before.isalpha() and (before.islower() or after.islower())
        for before, letter, after in zip(rest, rest[1:], f"{rest[2:]}.", strict=False)
    )


def _is_letter(character: str) -> bool:
    return character.isalpha() and character not in _NO_LETTERS


def is_strange(word: str) -> bool:
    """Whether no language that Windows-1252 is for has such a word, as far as its accented letters tell."""
    letters = {letter for letter in word.lower() if letter > "\x7f" and letter != "µ" and _is_letter(letter)}
    return _STRANGE.search(word) is not None or not any(letters <= alphabet for alphabet in _ALPHABETS)


_EAST_ASIAN: Final = "a program for Japanese, Chinese or Korean"
_CENTRAL_EUROPE: Final = "a program for Central Europe or Turkish"
_CYRILLIC: Final = "a program for Cyrillic letters"
_PROGRAMS: Final = (
    ("cp1251", _CYRILLIC),
    ("koi8-u", _CYRILLIC),
    ("cp1253", "a program for Greek letters"),
    ("mac-roman", "Excel for Mac"),
    ("cp850", "a DOS program, or Excel as “CSV (MS-DOS)”"),
    ("cp1250", _CENTRAL_EUROPE),
    ("iso-8859-2", _CENTRAL_EUROPE),
    ("cp1254", _CENTRAL_EUROPE),
    ("cp932", _EAST_ASIAN),
    ("gb18030", _EAST_ASIAN),
    ("cp950", _EAST_ASIAN),
    ("cp949", _EAST_ASIAN),
)
_UNKNOWN_PROGRAM: Final = "another program"
PROGRAM_WORDS: Final = tuple(dict.fromkeys((*(program for _, program in _PROGRAMS), _UNKNOWN_PROGRAM)))
"""Words of ours for what has probably written a file."""


def likely_program(words: Iterable[bytes]) -> str:
    """What has probably written a text with these words: that in whose code page most of them look like words."""
    sample = [*words]
    scores = {program: 0 for _, program in _PROGRAMS}
    for codec, program in _PROGRAMS:
        scores[program] = max(scores[program], sum(_is_plausible(word, codec) for word in sample))
    best = max(scores, key=lambda program: scores[program])
    return best if 3 * scores[best] >= 2 * len(sample) else _UNKNOWN_PROGRAM


def _is_plausible(word: bytes, codec: str) -> bool:
    """Whether a word is one in a code page: letters of one script, small ones but for the first, or capitals alone."""
    try:
        text = word.decode(codec).strip(_OPENING + _CLOSING)
    except UnicodeDecodeError:
        return False
    scripts = {unicodedata.name(letter, "?").split()[0] for letter in text if letter not in _BETWEEN}
    if scripts in ({"LATIN"}, {"CYRILLIC"}, {"GREEK"}):
        return text[1:].islower() or text.isupper()
    return bool(scripts) and scripts <= {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "KATAKANA-HIRAGANA"}
