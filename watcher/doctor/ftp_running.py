"""The running FTP server, asked as a client asks it: whether it answers, and its certificate."""

import datetime as dt
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.doctor.vsftpd_conf import Configuration

NAME = "vsftpd"
CERTIFICATE = "vsftpd certificate"
TLS_VERSION = "vsftpd TLS version"

_SECONDS = 5.0
_SOON = dt.timedelta(days=30)
_EXPIRED = 10
"""The code with which OpenSSL tells that a certificate has expired. Source: X509_V_ERR_CERT_HAS_EXPIRED."""
_PINNED = "run deploy/install anew and restart vsftpd, or start vsftpd with OPENSSL_CONF=deploy/vsftpd-openssl.cnf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of a server.

    Attributes:
        banner: its first line.
        tls: the version of TLS; None where it speaks none.
        certificate: its certificate as DER.
        fields: the certificate's fields, as `ssl` tells them; empty where it has expired.
    """

    banner: str
    tls: str | None = None
    certificate: bytes = b""
    fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version of vsftpd; empty where the banner does not tell it."""
        found = re.search(r"vsFTPd (\d[\d.]*)", self.banner)
        return found[1] if found else ""


def asked(conf: Configuration) -> tuple[Answer | None, list[Finding]]:
    """Ask the server of a configuration; returns its answer, None where there is none, and what is found of that."""
    address = conf.value("listen_address") or conf.value("listen_address6") or "127.0.0.1"
    where = f"{address} port {conf.number('listen_port')}"
    try:
        return _answer(conf, address), []
    except ConnectionRefusedError:
        return None, [_silent(conf, where)]
    except (OSError, ValueError) as error:
        what = f"it is not known whether it answers at {where}: {getattr(error, 'strerror', None) or error}"
        return None, [warning(NAME, what, "ask as a client does: curl -v --ssl-reqd ftp://HOST")]


def _silent(conf: Configuration, where: str) -> Finding:
    if not conf.is_on("listen") and not conf.is_on("listen_ipv6"):
        what = f"nothing listens at {where}; {conf.seen('listen')}, so that another program has to start it"
        return warning(NAME, what, f"look at that program, or {conf.change('listen', 'YES')}")
    return broken(
        NAME,
        f"nothing listens at {where}, so that nobody can upload",
        "systemctl start vsftpd; its status says why it has ended",
    )


def _answer(conf: Configuration, address: str) -> Answer:
    banner, tls, der, _ = _greeted(conf, address, None)
    fields: dict[str, object] = {}
    if der:
        try:
            fields = _greeted(conf, address, der)[3]
        except ssl.SSLCertVerificationError as error:
            if error.verify_code != _EXPIRED:
                raise
    return Answer(banner=banner, tls=tls, certificate=der, fields=fields)


def _greeted(
    conf: Configuration, address: str, trusted: bytes | None
) -> tuple[str, str | None, bytes, dict[str, object]]:
    """Greet the server, trusting one certificate, or any where none is given: fields are told only of one trusted."""
    context = ssl.create_default_context() if trusted is None else ssl.create_default_context(cadata=trusted)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE if trusted is None else ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with socket.create_connection((address, conf.number("listen_port")), timeout=_SECONDS) as plain:
        if conf.is_on("ssl_enable") and conf.is_on("implicit_ssl"):
            with context.wrap_socket(plain) as secured:
                return _line(secured), secured.version(), secured.getpeercert(binary_form=True) or b"", _fields(secured)
        banner = _line(plain)
        if not conf.is_on("ssl_enable"):
            return banner, None, b"", {}
        plain.sendall(b"AUTH TLS\r\n")
        if not (said := _line(plain)).startswith("234"):
            message = f"it answers AUTH TLS with {said[:3]}"
            raise ValueError(message)
        with context.wrap_socket(plain) as secured:
            return banner, secured.version(), secured.getpeercert(binary_form=True) or b"", _fields(secured)


def _fields(secured: ssl.SSLSocket) -> dict[str, object]:
    return dict(secured.getpeercert() or {})


def _line(connection: socket.socket) -> str:
    """The last line of a reply, which may have several. Source: RFC 959, 4.2."""
    said = b""
    while not re.search(rb"(?m)^\d{3} [^\n]*\n\Z", said):
        part = connection.recv(4096)
        if not part:
            message = "it ends the connection"
            raise ValueError(message)
        said += part
    return said.decode(errors="replace").splitlines()[-1]


def judged(conf: Configuration, answer: Answer, now: dt.datetime) -> Iterator[Finding]:
    """Judge the answer of a server."""
    yield ok(NAME, f"it answers at port {conf.number('listen_port')}: {answer.banner}")
    if answer.tls is not None:
        yield from _certificate(conf, answer, now)
        if answer.tls == "TLSv1.3" and answer.version in {"", "3.0.3"}:
            what = "it speaks TLS 1.3, under which vsftpd 3.0.3 cuts off healthy uploads of some 200 KB and more"
            yield (broken if answer.version else warning)(TLS_VERSION, what, _PINNED)
        else:
            yield ok(TLS_VERSION, f"it speaks {answer.tls}")


def _certificate(conf: Configuration, answer: Answer, now: dt.datetime) -> Iterator[Finding]:
    renew = f"put a new one at {conf.value('rsa_cert_file')}, then restart vsftpd"
    if not answer.fields:
        yield broken(CERTIFICATE, "it has expired, and clients refuse it", renew)
        return
    end = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(answer.fields["notAfter"])), dt.UTC)
    names = ", ".join(_names(answer.fields)) or "no name"
    seen = f"it is for {names} and ends on {end:%Y-%m-%d}"
    if end - now < _SOON:
        yield warning(CERTIFICATE, f"{seen}, within 30 days", renew)
    elif answer.fields.get("subject") == answer.fields.get("issuer"):
        what = f"{seen}; it is signed by itself, so that clients cannot know whose it is"
        yield warning(
            CERTIFICATE, what, "have one of an authority that clients trust, for the name by which they connect"
        )
    else:
        yield ok(CERTIFICATE, f"{seen}; by one of these names clients have to connect")


def _names(fields: Mapping[str, object]) -> Iterator[str]:
    """The names of hosts in a certificate, as `ssl.SSLSocket.getpeercert` has them."""
    found = fields.get("subjectAltName")
    for kind, name in found if isinstance(found, tuple) else ():
        if kind in {"DNS", "IP Address"}:
            yield str(name)


def files(conf: Configuration) -> Iterator[Finding]:
    """Judge whether the files of the certificate are there, without which vsftpd does not start."""
    if conf.is_on("ssl_enable"):
        for name in ("rsa_cert_file", "rsa_private_key_file"):
            path = conf.value(name)
            try:
                is_missing = bool(path) and not Path(path).exists()
            except PermissionError:  # the way to a key is often closed
                is_missing = False
            if is_missing:
                what = f"{conf.seen(name)}, which is not there: vsftpd does not start"
                yield broken(CERTIFICATE, what, f"make it, or {conf.change(name, 'A-FILE')}")
