"""Every sentence of ours that says in an alert, or of a mail that failed, what exactly is in the way.

Such a sentence travels as a `Detail`, a code with its facts, and is put into the reader's language where it is read.
What others say, as a mail server, and names of files travel as text, and are the same in every language.
"""

import errno
from collections.abc import Callable, Iterable
from pathlib import Path

from importer.model import Detail
from importer.words.outages import CURE, OUTAGE_SENTENCES
from importer.words.translating import translated

LIST = "list"
"""The code of several details in a row; its facts are the parts, in their order."""

SENTENCES = {
    "at": "{where}: {why}",
    "not_writable": "not writable: {why}",
    "events_do_not_arrive": "its events do not arrive",
    "another_directory": "the directory is another one than before",
    "no_directory": "it is no directory any more",
    "watch_ended": "its watch has ended",
    "watching_thread_ended": "the thread that reads its events has ended",
    "events_lost": "there were more events than the kernel keeps",
    "other_hosts_unheard": "on {type} nothing is heard of other hosts",
    "inotify_instances": "the limit of inotify instances or of open files is reached; raise the sysctl"
    " fs.inotify.max_user_instances, or the unit's LimitNOFILE",
    "inotify_watches": "the limit of inotify watches is reached; raise the sysctl fs.inotify.max_user_watches",
    "threads": "the limit of threads is reached; raise the unit's TasksMax",
    "beside_folders": "beside the clients' folders, where nothing is imported until it is moved into one: {files}",
    "folder_is_link": "{folder} is a link",
    "folder_is_no_client": "{folder} is no name for a client",
    "folders_share": "{folders} share {variables}",
    "no_folder": "{variables} has no folder",
    "no_folder.nearest": "{variables} has no folder (did you mean {nearest}?)",
    "upload_directory": "upload directory",
    "state_directory": "state directory",
    "mail_directory": "mail directory",
    "database": "database",
    "database_failed": "{what} ({said}); {cure}",
    "worker_ended": "the importing process ended with {code}",
    "worker_ended.because": "the importing process ended with {code} {why}",
    "because_database": "because {why}",
    "file_took_long": "because a file took it longer than {seconds} s",
    "stood_still": "because it stood still with hardly any memory left",
    "name_taken": "its name in bak is taken; it gets another one",
    "no_room": "files wait for room in .importing",
    "no_inodes": "no inodes are left, so that no file can be made",
    "inodes_of": "inodes of: {where}",
    "not_ours": "{name} is not a directory of the service's own",
    "copy_differs": "the copy in bak differs from the original",
    "queue_failed": "The queue of mails met {error}.",
    "log_astray": "{file} lies here, and the log calls it {path}",
    "log_unreadable": "the log cannot be read: {why}",
    "log_told_nothing": "a file came more than an hour ago, and the log has told of no upload into this directory yet",
    "in_all": "{number} in all",
    "hard_linked": "{file} has other names as well (hard links); it is imported once this one is its only name",
    "held_files": "cut off, or not known to be whole: {files}",
    "draft_files": "under a temporary name: {files}",
    "session_too_long": "the session took too long",
    "no_login": "the server offers no login on this port and with this encryption",
    "login_by": "the server takes no password: it offers only {methods}, which userdrop does not know",
    "not_one_address": "the recipient is not one address",
    "no_smtputf8": "the server does not know SMTPUTF8",
    "server_takes": "the server takes {limit} bytes",
    "database_is_silent": "The database does not answer.",
    "found_late.starting": "New files of {client} may be found late: the watch on the directory is being started.",
    "found_late.deaf": "New files of {client} may be found late: the watch on the directory tells of nothing any more.",
    "found_late.rebuilding": "New files of {client} may be found late: the watch on the directory is being made anew.",
    "tick_is_late": "The last tick of {client} was {seconds} s ago.",
    "mail_not_built": "userdrop could not build the mail; its log has mail_not_built",
}

SYSTEM_SENTENCES = {
    "ENOSPC": "No space left on device",
    "EDQUOT": "Disk quota exceeded",
    "EACCES": "Permission denied",
    "EPERM": "Operation not permitted",
    "EROFS": "Read-only file system",
    "ENOENT": "No such file or directory",
    "ENOTDIR": "Not a directory",
    "ELOOP": "Too many levels of symbolic links",
    "EIO": "Input/output error",
    "ESTALE": "Stale file handle",
    "EMFILE": "Too many open files",
    "ENOMEM": "Cannot allocate memory",
    "ECONNREFUSED": "Connection refused",
}
"""The system's words that operators meet most often, by the name of the errno. Source: strerror(3), glibc."""

_ALL = SENTENCES | SYSTEM_SENTENCES | OUTAGE_SENTENCES
_COPIED = {"where", "variables", "nearest"}
"""Facts that are paths and settings of the service, which are copied as they are."""


class DetailedError(OSError):
    """A failure of a directory or a file that a sentence of ours explains; its `strerror` is that in English."""

    def __init__(self, number: int, detail: Detail, place: Path) -> None:
        super().__init__(number, detail.text, place)
        self.detail = detail


def detail(code: str, /, **facts: Detail | str | int) -> Detail:
    """What is in the way; `code` is a key of SENTENCES or SYSTEM_SENTENCES, `facts` are what the sentence names."""
    kept = tuple((name, fact if isinstance(fact, Detail) else str(fact)) for name, fact in facts.items())
    return Detail(text=_ALL[code].format(**facts), code=code, facts=kept)


def cause_detail(cause: str) -> Detail:
    """What keeps the database from being used; `cause` is a key of `importer.words.outages.CAUSES`."""
    code = f"database.{cause}"
    return Detail(text=_ALL[code], code=code)


def cure_detail(cause: str) -> Detail:
    """What to do about it."""
    code = f"database.{cause}{CURE}"
    return Detail(text=_ALL[code], code=code)


def listed(parts: Iterable[Detail | str]) -> Detail:
    """Several details as one, separated by a comma and a blank."""
    facts = tuple((str(number), part) for number, part in enumerate(parts))
    return Detail(text=", ".join(str(part) for _, part in facts), code=LIST, facts=facts)


def os_error_detail(error: OSError) -> Detail | str:
    """What the system says of a failure; where it says nothing, the kind of the error."""
    if isinstance(error, DetailedError):
        return error.detail
    code, text = errno.errorcode.get(error.errno or 0, ""), error.strerror or type(error).__name__
    return detail(code) if SYSTEM_SENTENCES.get(code) == text else text


def detail_in(told: Detail | str, language: str, shown: Callable[[str], str] = str) -> str:
    """A detail in a language; one of another version stays in English.

    Args:
        told: what is in the way.
        language: the reader's.
        shown: how words are shown that are not ours: names of files, a server's answer.
    """
    if isinstance(told, str):
        return shown(told)
    facts = {
        name: fact if name in _COPIED and isinstance(fact, str) else detail_in(fact, language, shown)
        for name, fact in told.facts
    }
    if told.code == LIST:
        return ", ".join(facts.values())
    try:
        return translated(_ALL[told.code], language).format(**facts)
    except KeyError:  # it was stored by a version that has another sentence, or names other facts
        return shown(told.text)
