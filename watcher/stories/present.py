"""How things are with a file now, and what comes next, as sentences. Pure."""

from collections.abc import Iterator
from datetime import datetime
from shlex import quote

from importer.model import shown_name
from importer.words.details import detail_in
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import AlertKind
from watcher.stories.sentences import UPLOAD_DIRECTORY, Sentences
from watcher.stories.whereabouts import Whereabouts
from watcher.uploads.model import CLIENT
from watcher.uploads.scanning import is_candidate, is_temporary
from watcher.uploads.snapshot import UNTIL_QUIET, FileNow, FileSnapshot, OpenAlert, WaitingFile, WaitReason


def now_told(
    name: str,
    where: Whereabouts,
    answer: FileSnapshot | None,
    *,
    client: str = CLIENT,
    gone_since: datetime | None = None,
    language: str = "en",
) -> Iterator[str]:
    """Tell how things are now, and what will happen or has to be done: sentences without their full stops.

    Args:
        name: the file's name.
        where: the places in which the file lies.
        answer: the running service's answer; None where none runs.
        client: the client to whom the file belongs.
        gone_since: since when the client's folder is known to be gone, UTC; None where that is not known.
        language: the reader's.
    """
    sentences = Sentences(language)
    say = sentences.say
    whose = "" if client == CLIENT else f"--client {quote(shown_name(client))} "
    if where.away is not None:
        yield _away(where, answer, client, gone_since, sentences)
    if where.bytes is not None:
        yield say("lies", bytes=where.bytes, next=_next(name, where, answer, sentences))
    for draft, size in where.drafts:
        yield say("draft", draft=shown_name(draft), bytes=size, name=shown_name(name))
    for path in where.folders:
        yield say("in_folder", path=shown_name(path))
    for claim in where.claimed:
        yield say("claimed" if answer else "claimed.later", claim=claim)
    for claim in where.set_aside:
        yield say("set_aside", claim=claim, whose=whose)
    for archive in where.archived:
        yield say("in_bak", archive=shown_name(archive))
    for place in where.unseen:
        yield say("unseen", place=sentences.word(place) if place == UPLOAD_DIRECTORY else place)
    is_done = where.bytes is None and not (where.claimed or where.drafts or where.unseen or where.away)
    for alert in () if answer is None or is_done else answer.alerts:
        title = sentences.word(ALERT_TEXTS[alert.kind].title)
        since = f"{alert.since:%Y-%m-%d %H:%M}"
        yield say("alert", since=since, title=title, kind=alert.kind.value, detail=alert.detail)


def _away(
    where: Whereabouts, answer: FileSnapshot | None, client: str, gone_since: datetime | None, sentences: Sentences
) -> str:
    """That a client's directory is not there: it has gone alone, or the upload directory with it."""
    kind = AlertKind.CLIENT_GONE if where.is_alone_away else AlertKind.UPLOAD_DIRECTORY
    known = gone_since if answer is None else answer.file.gone_since or gone_since
    since = known if where.is_alone_away and known else _since(kind, client, answer)
    code = ("folder_gone" if where.is_alone_away else "away") + (".since" if since else "")
    when = f"{since:%Y-%m-%d %H:%M:%S}" if since else ""
    return sentences.say(
        code,
        directory=shown_name(str(where.directory)),
        why=detail_in(where.away or "", sentences.language),
        since=when,
    )


def _since(kind: AlertKind, client: str, answer: FileSnapshot | None) -> datetime | None:
    known: tuple[OpenAlert, ...] = () if answer is None else answer.alerts
    return min((each.since for each in known if each.kind is kind and each.client in {"", client}), default=None)


def _next(name: str, where: Whereabouts, answer: FileSnapshot | None, sentences: Sentences) -> str:
    if is_temporary(name):
        return sentences.name_hint("temporary")
    if not is_candidate(name):
        return sentences.name_hint("other_name")
    if answer is None:
        return sentences.say("no_service")
    known = answer.file
    if known.is_handed_on:
        return sentences.say("handed_on")
    if known.waiting is None:
        return sentences.say("not_looked_at")
    return "; ".join(_waits(known.waiting, where, known, sentences))


def _waits(waiting: WaitingFile, where: Whereabouts, known: FileNow, sentences: Sentences) -> Iterator[str]:
    reason, next_tick = waiting.reason, known.next_tick
    if reason is WaitReason.HARD_LINKED and where.links > 1:
        yield sentences.say("many_names", links=where.links)
    elif reason is WaitReason.LOCKED and where.writers:
        yield sentences.say("written_by", processes=", ".join(map(str, where.writers)))
    else:
        yield sentences.wait(reason)
    if reason in UNTIL_QUIET and waiting.until is not None:
        yield sentences.say("decided", until=f"{waiting.until:%H:%M:%S}")
    if reason in {*UNTIL_QUIET, WaitReason.COMPLETE} and next_tick is not None:
        yield sentences.say("next_run", next=f"{next_tick:%H:%M:%S}")
    if reason is WaitReason.QUIET and (of_log := sentences.log(known.server_log)):
        yield of_log
