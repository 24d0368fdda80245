"""The questions of `userdrop setup`, and the environment file that the answers make."""

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watcher.settings.naming import variable
from watcher.settings.variables import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question about one setting.

    Attributes:
        field: the setting's field in `Settings`.
        text: the question, without its question mark.
        needs: the field without whose answer the question is not asked; empty where it always is.
    """

    field: str
    text: str
    needs: str = ""

    @property
    def option(self) -> str:
        """The option of the command that answers the question."""
        return _option(self.field)

    @property
    def needed(self) -> str:
        """The option of the command without whose answer the question is not asked."""
        return _option(self.needs)

    @property
    def is_secret(self) -> bool:
        """Whether the answer is not shown."""
        return self.field == "smtp_password"

    @property
    def is_path(self) -> bool:
        """Whether the answer is a path, which is written as an absolute one."""
        return Settings.model_fields[self.field].annotation is Path

    @property
    def is_choice(self) -> bool:
        """Whether the answer is yes or no."""
        return Settings.model_fields[self.field].annotation is bool

    def is_asked(self, answers: Mapping[str, str]) -> bool:
        """Whether the question makes sense after the answers before it."""
        return not self.needs or bool(answers.get(self.needs))


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Topic:
    """Questions that are tried together; `name` is what is tried."""

    name: str
    questions: Sequence[Question]


TOPICS = (
    Topic(
        "upload directory",
        (
            Question(field="upload_dir", text="The directory into which the FTP server writes"),
            Question(field="client_folders", text="Do several clients send files, each into a folder of its own"),
            Question(field="interval_minutes", text="Minutes between two imports: 1 or 5"),
            Question(field="state_dir", text="The directory for what the service has to remember"),
        ),
    ),
    Topic(
        "addresses",
        (
            Question(field="failed_import_email", text="The address that gets the rows that failed"),
            Question(field="reply_to_admin_email", text="The address of the administrator, who gets the alerts"),
            Question(field="language", text="The language of the mails: en or fr"),
        ),
    ),
    Topic(
        "mail",
        (
            Question(field="smtp_host", text="The mail server; empty to write mails into a directory"),
            Question(field="smtp_tls", text="TLS to the mail server: starttls, implicit or none", needs="smtp_host"),
            Question(field="smtp_port", text="The mail server's port; empty for the usual one", needs="smtp_host"),
            Question(field="smtp_user", text="The login at the mail server; empty for none", needs="smtp_host"),
            Question(field="smtp_password", text="The password at the mail server", needs="smtp_user"),
        ),
    ),
    Topic("database", (Question(field="database_url", text="The database's URL; empty for SQLite"),)),
)
"""What a site has to decide; everything else has a default that most sites can keep."""

HEADER = "# Settings of userdrop, as systemd (EnvironmentFile=) and a shell (set -a; . FILE) read them.\n"
"""The beginning of a new environment file."""

_FIELDS = {variable(question.field): question.field for topic in TOPICS for question in topic.questions}
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")
_SPECIAL = re.compile(r'["\\$`]')
_ESCAPED = re.compile(r'\\(["\\$`])')


def answered(settings: Settings, field: str) -> str:
    """The answer that the settings in force give, as a variable would hold it; empty where they give none."""
    value: Any = getattr(settings, field)
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value)
        case _:
            return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


def environment_file(before: str, answers: Mapping[str, str]) -> str:
    """The text of an environment file, as systemd and a POSIX shell read it, in which the answers are in force.

    Args:
        before: the file's text until now; lines that are about other settings stay as they are.
        answers: the answers by field; an empty one puts the default in force.
    """
    lines = before.splitlines()
    for field, answer in answers.items():
        lines = _with(lines, field, answer)
    return "".join(f"{line}\n" for line in lines)


def kept_answers(before: str) -> Mapping[str, str]:
    """The answers by field that an environment file holds; lines that are no assignments say nothing."""
    found = {}
    for line in before.splitlines():
        name, is_set, value = line.strip().partition("=")
        field = _FIELDS.get(name)
        if is_set and field is not None:
            with suppress(ValueError):  # a quotation mark without its partner
                found[field] = _unquoted(value)
    return found


def _with(lines: Sequence[str], field: str, answer: str) -> list[str]:
    name = variable(field)
    line = f"{name}={_quoted(answer)}" if answer else f"#{name}="
    places = [number for number, old in enumerate(lines) if re.match(rf"\s*#?\s*{name}\s*=", old)]
    if not places and not answer:
        return [*lines]
    if not places:
        comment = [] if not lines else [""]
        return [*lines, *comment, f"# {Settings.model_fields[field].description}", line]
    # The last assignment is in force, so that one is replaced, and those before it go.
    return [line if number == places[-1] else old for number, old in enumerate(lines) if number not in places[:-1]]


def _quoted(value: str) -> str:
    """A value in the form that is read alike by systemd and by a shell. Source: systemd.exec(5), EnvironmentFile=."""
    if _PLAIN.fullmatch(value):
        return value
    return '"' + _SPECIAL.sub(r"\\\g<0>", value) + '"'


def _unquoted(text: str) -> str:
    """The value of an assignment; raises ValueError where a quotation mark is not closed."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return _ESCAPED.sub(r"\1", text[1:-1])
    return "".join(shlex.split(text))
