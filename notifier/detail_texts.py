"""What failed, in the reader's language. Parts of the service say it in English, as the log keeps it.

A sentence is found again by its form; what has none of these, as a mail server's words, stays as it is.
"""

import re
from functools import cache

from importer.translating import translated

SENTENCES = (
    "{where}: {why}",
    "not writable: {why}",
    "its events do not arrive",
    "the directory is another one than before",
    "it is no directory any more",
    "one of its threads has ended",
    "there were more events than the kernel keeps",
    "on {type} nothing is heard of other hosts",
    (
        "the limit of inotify instances or of open files is reached; raise the sysctl"
        " fs.inotify.max_user_instances, or the unit's LimitNOFILE"
    ),
    "the limit of inotify watches is reached; raise the sysctl fs.inotify.max_user_watches",
    "the limit of threads is reached; raise the unit's TasksMax",
    "{folder} is a link",
    "{folder} is no name for a client",
    "{folders} share {variables}",
    "{variables} has no folder",
    "{variables} has no folder (did you mean {nearest}?)",
    "upload directory",
    "state directory",
    "mail directory",
    "database",
    "the importing process ended with {code}",
    "the importing process ended with {code} because a file took it longer than {seconds} s",
    "the importing process ended with {code} because it stood still with hardly any memory left",
    "its name in bak is taken; it gets another one",
    "{name} is not a directory of the service's own",
    "{name} is not a directory of the service's own; remove it",
    "the copy in bak differs from the original",
    "The queue of mails met {error}.",
    "{file} lies here, and the log calls it {path}",
    "the session took too long",
    "the recipient is not one address",
    "the server does not know SMTPUTF8",
    "the server takes {limit} bytes",
    "userdrop could not build the mail; its log has mail_not_built",
)
"""Ours; of two that fit, the one that says more is later, and tried first. What is {why} has a form of its own."""

SYSTEM = (
    "No space left on device",
    "Disk quota exceeded",
    "Permission denied",
    "Operation not permitted",
    "Read-only file system",
    "No such file or directory",
    "Not a directory",
    "Input/output error",
    "Stale file handle",
    "Too many open files",
    "Cannot allocate memory",
    "Connection refused",
)
"""The system's words that operators meet most often. Source: strerror(3), glibc."""


def detail_in(detail: str, language: str) -> str:
    """The detail of an alert; of several in a row, each."""
    parts = [(part, _told(part, language)) for part in detail.split(", ")]
    if any(told is None for _, told in parts) and (whole := _told(detail, language)) is not None:
        return whole
    return ", ".join(part if told is None else told for part, told in parts)


def _told(sentence: str, language: str) -> str | None:
    """None where it has no form that is known."""
    if sentence in SYSTEM:
        return translated(sentence, language)
    for known, form in _forms():
        if found := form.fullmatch(sentence):
            facts = found.groupdict()
            if "why" in facts:
                facts["why"] = detail_in(facts["why"], language)
            return translated(known, language).format(**facts)
    return None


@cache
def _forms() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((known, _form(known)) for known in reversed(SENTENCES))


def _form(sentence: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(sentence)), re.DOTALL)
