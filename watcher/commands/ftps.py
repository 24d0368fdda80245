"""The drop of a demonstration: a vsftpd of its own on a free port of this machine, and one upload to it over FTPS."""

import ftplib
import os
import secrets
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

HOST = "127.0.0.1"
START_SECONDS = 10.0
"""Seconds that the server may take until it listens, and one step of the upload until it is answered."""
_LOOK_SECONDS = 0.02
_PATH = os.defpath + os.pathsep + "/usr/sbin"
"""Where programs are looked for besides PATH: Debian keeps vsftpd where only root's PATH looks."""

_SETTINGS = {
    "listen": "YES",
    "listen_address": HOST,
    "background": "NO",
    # Whoever starts the demonstration is who writes, so that no account is needed; the password keeps others out.
    "run_as_launching_user": "YES",
    "ftp_username": "root",
    "local_enable": "NO",
    "anonymous_enable": "YES",
    "secure_email_list_enable": "YES",
    "write_enable": "YES",
    "anon_upload_enable": "YES",
    "anon_other_write_enable": "YES",
    "anon_umask": "027",
    "ssl_enable": "YES",
    "ssl_ciphers": "HIGH",
    "require_ssl_reuse": "NO",  # Python's ftplib opens a session of its own for the file
    "allow_anon_ssl": "YES",
    "force_anon_logins_ssl": "YES",
    "force_anon_data_ssl": "YES",
}


class NoServerError(Exception):
    """No FTPS server can be started here; the text says why, as the end of a sentence."""


def upload(content: bytes, name: str, directory: Path, place: Path) -> str:
    """Upload a file over FTPS under a temporary name, and rename it, as clients are told to.

    Args:
        content: the file's bytes.
        name: the file's name.
        directory: what the server serves: the upload directory.
        place: an empty directory for the server's configuration, certificate and password.

    Returns:
        The server's address.

    Raises:
        NoServerError: vsftpd or openssl is not installed, or does not do its work here.
    """
    try:
        with _server(directory.resolve(), place.resolve()) as (port, password):
            _put(content, name, port, password, place / "certificate.pem")
            return f"{HOST}:{port}"
    except (OSError, ftplib.Error, EOFError, subprocess.CalledProcessError) as error:
        message = f"vsftpd could not be used for it ({error})"
        raise NoServerError(message) from None


@contextmanager
def _server(directory: Path, place: Path) -> Iterator[tuple[int, str]]:
    """Run vsftpd until the block is left; yields its port and the password of its only user."""
    vsftpd, openssl = _program("vsftpd"), _program("openssl")
    port, password = _free_port(), secrets.token_urlsafe(16)
    _make_certificate(openssl, place)
    private = place / "passwords"
    private.touch(mode=0o600)
    private.write_text(f"{password}\n", encoding="ascii")
    settings = {
        **_SETTINGS,
        "anon_root": str(directory),
        "listen_port": str(port),
        "email_password_file": str(private),
        "rsa_cert_file": str(place / "certificate.pem"),
        "rsa_private_key_file": str(place / "key.pem"),
        "xferlog_enable": "YES",
        "vsftpd_log_file": str(place / "vsftpd.log"),
    }
    configuration = place / "vsftpd.conf"
    configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
    # vsftpd tells descriptor 0 why it does not start, and serves its own directory where anon_root does not exist.
    with (place / "vsftpd.out").open("w+b") as said:
        command = ["setpriv", "--pdeathsig", "KILL", vsftpd, str(configuration)]  # it ends with us, however that is
        process = subprocess.Popen(command, stdin=said, stdout=said, stderr=said, cwd=directory)  # noqa: S603 - ours
        try:
            _wait_for(process, port)
            yield port, password
        finally:
            process.terminate()
            process.wait()


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=_PATH)
    if found is None:
        message = f"{name} is not installed (apt-get install {name})"
        raise NoServerError(message)
    return found


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _make_certificate(openssl: str, place: Path) -> None:
    asked = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=userdrop-demo"]
    names = ["-addext", f"subjectAltName=IP:{HOST}"]
    files = ["-keyout", str(place / "key.pem"), "-out", str(place / "certificate.pem")]
    subprocess.run([openssl, *asked, *names, *files], check=True, capture_output=True)  # noqa: S603 - our own arguments


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server listens; raises ConnectionRefusedError where it has ended, or takes too long."""
    starts = retry_if_exception(lambda error: isinstance(error, ConnectionRefusedError) and process.poll() is None)
    waiting = Retrying(retry=starts, stop=stop_after_delay(START_SECONDS), wait=wait_fixed(_LOOK_SECONDS), reraise=True)
    waiting(socket.create_connection, (HOST, port)).close()


def _put(content: bytes, name: str, port: int, password: str, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # vsftpd 3.0.3 cuts uploads under TLS 1.3
    with ftplib.FTP_TLS(context=context, timeout=START_SECONDS) as client:  # noqa: S321 - it is FTPS
        client.connect(HOST, port)
        client.login("anonymous", password)
        client.prot_p()
        client.storbinary(f"STOR {name}.part", BytesIO(content))
        client.rename(f"{name}.part", name)
