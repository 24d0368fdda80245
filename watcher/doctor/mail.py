"""The examination of the mail server: connection and login as for a mail, which is sent only where asked for."""

import datetime as dt
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, make_msgid
from pathlib import Path

from notifier.messages import Message
from notifier.model import Dead, Failure, SendError, Stage
from notifier.packing import LARGEST
from notifier.refusing import NO_SUCH_PARAMETER, is_permanent
from notifier.retrying import classify
from notifier.smtp import FolderTransport, Reached, SmtpTransport, Tls, Transport
from watcher.doctor.findings import Finding, State, broken, ok, warning

NAME = "mail"
SENDING = "test mail"
_CERTIFICATE_DAYS = 14
_TRIED_SECONDS = 10.0


async def examined(
    transport: Transport, *, admin: str, envelopes: Mapping[str, tuple[str, str]], now: dt.datetime, send: bool
) -> list[Finding]:
    """Examine the way that mails go.

    Args:
        transport: the transport that the service uses.
        admin: the address from which, and to which, the test mail goes.
        envelopes: senders and recipients of mails, by the variable that names the recipient.
        now: the time, UTC.
        send: whether to send a test mail.
    """
    if isinstance(transport, FolderTransport):
        found = [*_folder(transport.directory)]
    elif isinstance(transport, SmtpTransport):
        transport = _impatient(transport)
        found = [*await _reached(transport, envelopes, now)]
    else:
        found = []
    if send and not any(finding.state is State.BROKEN for finding in found):
        found.append(await _sent(transport, admin, now))
    return found


def _impatient(transport: SmtpTransport) -> SmtpTransport:
    bounds = {"connect_seconds": _TRIED_SECONDS, "command_seconds": _TRIED_SECONDS, "final_dot_seconds": 60.0}
    return replace(transport, connect_tries=1, session_seconds=90.0, **bounds)  # type: ignore[arg-type] # all are seconds


def _folder(directory: Path) -> Iterator[Finding]:
    cure = "set USERDROP_SMTP_HOST and the settings beside it"
    if directory.is_dir() and not os.access(directory, os.W_OK | os.X_OK):
        yield broken(
            NAME, f"mails are written to {directory}, which is not writable", f"chown the service's user {directory}"
        )
    else:
        yield warning(NAME, f"no mail server is set: mails are written as files to {directory}", cure)


async def _reached(
    transport: SmtpTransport, envelopes: Mapping[str, tuple[str, str]], now: dt.datetime
) -> list[Finding]:
    try:
        reached = await transport.probe(envelopes)
    except SendError as error:
        found = failed(NAME, error.failure, transport)
        other = await _other_tls(transport, error.failure)
        return [found if other is None else replace(found, cure=other)]
    except (OSError, ssl.SSLError, ValueError) as error:  # before the connection: the file with the authorities
        why = getattr(error, "strerror", None) or type(error).__name__
        return [broken(NAME, f"USERDROP_SMTP_CA_FILE cannot be used: {why}", "have it name a readable PEM file")]
    return [*_judged(reached, transport, now)]


async def _other_tls(transport: SmtpTransport, failure: Failure) -> str | None:
    """The cure where the server was found to want to be talked to in another way; nothing secret is sent to it."""
    is_certificate = any(words in str(failure.text) for words in _TLS_CURES)
    if failure.code is not None or is_certificate or failure.stage not in {Stage.CONNECT, Stage.HELLO, Stage.TLS}:
        return None
    for tls in (each for each in (Tls.IMPLICIT, Tls.STARTTLS) if each is not transport.tls):
        with suppress(SendError, OSError, ValueError):
            await replace(transport, tls=tls, user=None, password=None, connect_seconds=5.0).probe({})
            return f"set USERDROP_SMTP_TLS={tls.value}: so this server answers on port {transport.port}"
    return None


def _judged(reached: Reached, transport: SmtpTransport, now: dt.datetime) -> Iterator[Finding]:
    login = "without a login" if transport.user is None else "logged in"
    bound = "" if reached.largest is None else f", takes mails of up to {reached.largest / 1e6:,.1f} MB"
    seen = f"{transport.host}:{transport.port} answers, {login}, {transport.tls.value}{bound}"
    if reached.largest is not None and reached.largest < LARGEST:
        what = f"{seen}; larger reports are left in bak, and the mail names them"
        yield warning(NAME, what, f"have the server take {LARGEST / 1e6:,.0f} MB (Postfix: message_size_limit)")
    else:
        yield ok(NAME, seen)
    for setting, failure in reached.refused.items():
        yield _refused(setting, failure, transport)
    if reached.certificate_until is not None:
        left = (reached.certificate_until - now).days
        if left < _CERTIFICATE_DAYS:
            yield warning(NAME, f"the mail server's certificate ends in {left} days", "renew it at the mail server")


_PUT_OFF = (
    "wait: such mails are tried again for five days; where the answer stays the same for an hour, do what it asks for"
    " (Postfix says 454 where it does not relay)"
)


def _refused(setting: str, failure: Failure, transport: SmtpTransport) -> Finding:
    found = failed(NAME, failure, transport)
    what = f"{found.what} (mails to {setting})"
    if failure.code is None or is_permanent(failure.code):
        return replace(found, what=what)
    return warning(NAME, what, _PUT_OFF)


def failed(name: str, failure: Failure, transport: SmtpTransport) -> Finding:
    """The finding of a delivery that failed at some step."""
    what = f"{transport.host}:{transport.port}, {_STAGES[failure.stage]}: {failure.text}"
    return broken(name, what, _cure(failure))


_STAGES = {
    Stage.CONNECT: "connecting",
    Stage.HELLO: "greeting",
    Stage.TLS: "encrypting",
    Stage.LOGIN: "logging in",
    Stage.SENDER: "naming the sender",
    Stage.RECIPIENT: "naming the recipient",
    Stage.SIZE: "asking for the size",
    Stage.CONTENT: "handing the mail over",
    Stage.FOLDER: "writing the mail",
}


_CURES = {
    Stage.CONNECT: "check USERDROP_SMTP_HOST and USERDROP_SMTP_PORT, the firewall, and the unit's IPAddressAllow",
    Stage.HELLO: "set USERDROP_SMTP_HELO to a name of this machine that the mail server finds in the DNS",
    Stage.TLS: "set USERDROP_SMTP_TLS to what the server offers: starttls (587), implicit (465), none (25)",
    Stage.LOGIN: "check USERDROP_SMTP_USER and USERDROP_SMTP_PASSWORD (or USERDROP_SMTP_PASSWORD_FILE)",
    Stage.SENDER: "set USERDROP_REPLY_TO_ADMIN_EMAIL, or the client's own, to one from which this login may send",
    Stage.RECIPIENT: "do what the server's answer asks for: check USERDROP_REPLY_TO_ADMIN_EMAIL, and whether the server"
    " relays for this login",
}
_TLS_CURES = {
    "expired": "renew the certificate at the mail server, and check this machine's clock",
    "mismatch": "set USERDROP_SMTP_HOST to a name that stands in the server's certificate",
    "not valid for": "set USERDROP_SMTP_HOST to a name that stands in the server's certificate",
    "self-signed": "set USERDROP_SMTP_CA_FILE to the PEM file of the authority that issued the server's certificate",
    "issuer": "set USERDROP_SMTP_CA_FILE to the PEM file of the authority that issued the server's certificate",
}
"""The cures of TLS errors, by words of OpenSSL."""


_WRONG_PASSWORD = frozenset({None, "5.7.3", "5.7.8"})
"""The enhanced codes with which 535 says that user or password are wrong; with others it means the kind of login."""
_LINK = re.compile(r"https?://[^\s<>\"'()]+[^\s<>\"'().,;:]")


def _cure(failure: Failure) -> str:
    link = _LINK.search(str(failure.text))
    said = "" if link is None else f"; the server explains it at {link[0]}"
    return _without_link(failure) + said


def _without_link(failure: Failure) -> str:
    if failure.stage is Stage.TLS:
        return next((cure for words, cure in _TLS_CURES.items() if words in str(failure.text)), _CURES[Stage.TLS])
    if failure.stage is Stage.LOGIN:
        return _login_cure(failure)
    if failure.code == NO_SUCH_PARAMETER:
        return _CURES[Stage.HELLO]
    if failure.stage is Stage.RECIPIENT and isinstance(classify(failure), Dead):
        return "correct the address: the server knows no such mailbox"
    return _CURES.get(failure.stage, "do what the server's answer asks for; its own log may say more of this time")


def _login_cure(failure: Failure) -> str:
    match getattr(failure.text, "code", None), failure.code:
        case "login_by", _:
            return "have the mail server take a password for this account, or send through one that does, as a relay"
        case _, None:
            return "the server offers no login here: check USERDROP_SMTP_PORT and USERDROP_SMTP_TLS"
        case _, 535 if failure.enhanced in _WRONG_PASSWORD:
            return _CURES[Stage.LOGIN]
    return "have the mail server allow this kind of login for the account, as its answer says"


async def _sent(transport: Transport, admin: str, now: dt.datetime) -> Finding:
    try:
        await transport.send(_message(admin, now), admin)
    except SendError as error:
        if isinstance(transport, SmtpTransport):
            return failed(SENDING, error.failure, transport)
        return broken(SENDING, str(error.failure.text), "check the directory of USERDROP_MAIL_DIR")
    return ok(SENDING, "it was taken; look for it where USERDROP_REPLY_TO_ADMIN_EMAIL is read")


def _message(admin: str, now: dt.datetime) -> Message:
    message = EmailMessage(policy=SMTP if admin.isascii() else SMTPUTF8)
    message["From"] = message["Reply-To"] = message["To"] = admin
    message["Subject"] = "userdrop: test mail"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain="userdrop.invalid")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(
        "This mail was sent by `userdrop doctor --send`.\n\n"
        "That it arrived shows that alerts reach you. There is nothing to do.\n"
    )
    return Message(tree=message)
