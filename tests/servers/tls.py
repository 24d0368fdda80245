"""A throw-away certificate authority and a certificate for loopback."""

import dataclasses
import datetime as dt
import ssl
from pathlib import Path

import trustme


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """PEM files: the authority that clients shall trust, and the server's key with its certificate chain."""

    ca_file: Path
    key_and_chain: Path


def issue(directory: Path, *, not_after: dt.datetime | None = None) -> Certificate:
    """Write a certificate for loopback, and its authority, into a directory; it is valid for years where not told."""
    authority = trustme.CA()
    certificate = Certificate(ca_file=directory / "ca.pem", key_and_chain=directory / "server.pem")
    authority.cert_pem.write_to_path(certificate.ca_file)
    leaf = authority.issue_cert("localhost", "127.0.0.1", not_after=not_after)
    leaf.private_key_and_cert_chain_pem.write_to_path(certificate.key_and_chain)
    return certificate


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """Return the TLS settings of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.key_and_chain)
    return context
