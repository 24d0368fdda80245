"""The mail server: connected to and logged in to as for a mail, which is sent only where that is asked for."""

import datetime as dt
import os
import ssl
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, make_msgid
from pathlib import Path

from notifier.messages import Message
from notifier.model import Failure, SendError, Stage
from notifier.packing import LARGEST
from notifier.smtp import FolderTransport, Reached, SmtpTransport, Transport
from watcher.doctor.findings import Finding, State, broken, ok, warning

NAME = "mail"
SENDING = "test mail"
_CERTIFICATE_DAYS = 14
_TRIED_SECONDS = 10.0


async def examined(transport: Transport, *, admin: str, now: dt.datetime, send: bool) -> list[Finding]:
    """What can be said of the way that mails go.

    Args:
        transport: the one that the service uses.
        admin: the address from which, and to which, the test mail goes.
        now: UTC.
        send: whether to send a test mail.
    """
    if isinstance(transport, FolderTransport):
        found = [*_folder(transport.directory)]
    elif isinstance(transport, SmtpTransport):
        transport = _impatient(transport)
        found = [*await _reached(transport, now)]
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


async def _reached(transport: SmtpTransport, now: dt.datetime) -> list[Finding]:
    try:
        reached = await transport.probe()
    except SendError as error:
        return [failed(NAME, error.failure, transport)]
    except (OSError, ssl.SSLError, ValueError) as error:  # before the connection: the file with the authorities
        why = getattr(error, "strerror", None) or type(error).__name__
        return [broken(NAME, f"USERDROP_SMTP_CA_FILE cannot be used: {why}", "have it name a readable PEM file")]
    return [*_judged(reached, transport, now)]


def _judged(reached: Reached, transport: SmtpTransport, now: dt.datetime) -> Iterator[Finding]:
    login = "without a login" if transport.user is None else "logged in"
    bound = "" if reached.largest is None else f", takes mails of up to {reached.largest / 1e6:,.1f} MB"
    seen = f"{transport.host}:{transport.port} answers, {login}, {transport.tls.value}{bound}"
    if reached.largest is not None and reached.largest < LARGEST:
        what = f"{seen}; larger reports are left in bak, and the mail names them"
        yield warning(NAME, what, f"have the server take {LARGEST / 1e6:,.0f} MB (Postfix: message_size_limit)")
    else:
        yield ok(NAME, seen)
    if reached.certificate_until is not None:
        left = (reached.certificate_until - now).days
        if left < _CERTIFICATE_DAYS:
            yield warning(NAME, f"the mail server's certificate ends in {left} days", "renew it at the mail server")


def failed(name: str, failure: Failure, transport: SmtpTransport) -> Finding:
    """The finding of a delivery that came just so far."""
    what = f"{transport.host}:{transport.port}, {_STAGES[failure.stage]}: {failure.text}"
    return broken(name, what, _cure(failure))


_STAGES = {
    Stage.CONNECT: "connecting",
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
    Stage.TLS: "set USERDROP_SMTP_TLS to what the server offers: starttls (587), implicit (465), none (25)",
    Stage.LOGIN: "check USERDROP_SMTP_USER and USERDROP_SMTP_PASSWORD (or USERDROP_SMTP_PASSWORD_FILE)",
    Stage.SENDER: "set USERDROP_REPLY_TO_ADMIN_EMAIL to an address from which this login may send",
    Stage.RECIPIENT: "check USERDROP_REPLY_TO_ADMIN_EMAIL, and whether the server relays for this login",
}
_TLS_CURES = {
    "expired": "renew the certificate at the mail server, and check this machine's clock",
    "mismatch": "set USERDROP_SMTP_HOST to a name that stands in the server's certificate",
    "not valid for": "set USERDROP_SMTP_HOST to a name that stands in the server's certificate",
    "self-signed": "set USERDROP_SMTP_CA_FILE to the PEM file of the authority that issued the server's certificate",
    "issuer": "set USERDROP_SMTP_CA_FILE to the PEM file of the authority that issued the server's certificate",
}
"""By words of OpenSSL."""


def _cure(failure: Failure) -> str:
    if failure.stage is Stage.TLS:
        return next((cure for words, cure in _TLS_CURES.items() if words in failure.text), _CURES[Stage.TLS])
    if failure.stage is Stage.LOGIN and failure.code is None:
        return "the server offers no login here: check USERDROP_SMTP_PORT and USERDROP_SMTP_TLS"
    return _CURES.get(failure.stage, "look into the mail server's log for what it says of this time")


async def _sent(transport: Transport, admin: str, now: dt.datetime) -> Finding:
    try:
        await transport.send(_message(admin, now), admin)
    except SendError as error:
        if isinstance(transport, SmtpTransport):
            return failed(SENDING, error.failure, transport)
        return broken(SENDING, error.failure.text, "check the directory of USERDROP_MAIL_DIR")
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
