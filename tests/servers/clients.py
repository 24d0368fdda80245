"""The clients that customers use: lftp, curl, and Python's ftplib with an upload that can be held half way."""

import contextlib
import ftplib
import io
import posixpath
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tests.servers.ftps import FtpsServer
from tests.servers.tools import environment, needs, run, wait_until

_TIMEOUT_SECONDS = 30


def upload_with_lftp(server: FtpsServer, path: Path, name: str, *, temp_name: bool = False) -> None:
    """Send a file with lftp; `temp_name` sends it as .in.NAME and renames it, lftp's xfer:use-temp-file."""
    settings = {
        "cmd:fail-exit": "yes",
        "ftp:ssl-force": "yes",
        "ftp:ssl-protect-data": "yes",
        "net:max-retries": "1",
        "net:timeout": str(_TIMEOUT_SECONDS),
        "ssl:ca-file": _quoted(str(server.ca_file)),
        "xfer:use-temp-file": "yes" if temp_name else "no",
    }
    script = [f"set {name} {value}" for name, value in settings.items()]
    script.append(f"open -p {server.port} -u {server.user},{server.password} ftp://{server.host}")
    script.append(f"put {_quoted(str(path))} -o {_quoted(name)}")
    home = str(server.home)
    run([needs("lftp"), "--norc", "-c", "; ".join(script)], env=environment(HOME=home, LFTP_HOME=home))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def upload_with_curl(server: FtpsServer, path: Path, name: str, *options: str) -> None:
    """Send a file with curl and more of its options, such as --limit-rate 100k or --max-time 2."""
    _curl(server, "--upload-file", str(path), *options, _url(server, name))


def download(server: FtpsServer, name: str) -> bytes:
    """Fetch a file as the client sees it; `name` may hold folders."""
    return _curl(server, _url(server, name))


def listing(server: FtpsServer, folder: str = "") -> list[str]:
    """Return the sorted names that the client sees in a folder, those beginning with a dot too."""
    with ftplib_session(server) as ftp:
        lines: list[str] = []
        ftp.retrlines(f"LIST -a {folder}".rstrip(), lines.append)
    names = (line.split(maxsplit=8)[8].partition(" -> ")[0] for line in lines)
    return sorted(name for name in names if name not in {".", ".."})


def _curl(server: FtpsServer, *arguments: str) -> bytes:
    command = [needs("curl"), "-q", "--silent", "--show-error", "--ssl-reqd", "--cacert", str(server.ca_file)]
    login = ["--user", f"{server.user}:{server.password}"]
    return run([*command, *login, *arguments], env=environment(HOME=str(server.home)))


def _url(server: FtpsServer, name: str) -> str:
    return f"ftp://{server.host}:{server.port}/{quote(name)}"


class SessionReusingFtp(ftplib.FTP_TLS):
    """An FTP_TLS whose data connections are encrypted and resume the control connection's session.

    vsftpd demands that (require_ssl_reuse); the standard library doesn't do it.
    """

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Open a data connection for a command, as ftplib does."""
        plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 # encrypted in the next step
        control = self.sock
        if not isinstance(control, ssl.SSLSocket):
            message = "log in first: the data connection resumes the TLS session of the login"
            raise TypeError(message)
        return self.context.wrap_socket(plain, server_hostname=self.host, session=control.session), size


@contextlib.contextmanager
def ftplib_session(server: FtpsServer) -> Iterator[SessionReusingFtp]:
    """Yield a logged-in session, for commands that have no function here (rename, delete, mkd, MDTM)."""
    context = ssl.create_default_context(cafile=server.ca_file)
    ftp = SessionReusingFtp(context=context, timeout=_TIMEOUT_SECONDS)
    try:
        ftp.connect(server.host, server.port)
        ftp.login(server.user, server.password)
        ftp.prot_p()
        yield ftp
    finally:
        ftp.close()


def store(ftp: SessionReusingFtp, data: bytes, name: str) -> str:
    """Send bytes within a session and return the server's reply."""
    return ftp.storbinary(f"STOR {name}", io.BytesIO(data))


def upload_with_ftplib(server: FtpsServer, data: bytes, name: str) -> str:
    """Send bytes with ftplib and return the server's reply, such as "226 Transfer complete."."""
    with ftplib_session(server) as ftp:
        reply = store(ftp, data, name)
        ftp.quit()
        return reply


class SlowUpload:
    """An upload that stands still until the test says how it ends: finish, end early, kill, reset or vanish."""

    def __init__(self, ftp: SessionReusingFtp, data: socket.socket, rest: bytes) -> None:
        self._ftp = ftp
        self._data = data
        self._rest = rest

    def finish(self) -> str:
        """Send what is left, close properly and return the server's reply."""
        self._data.sendall(self._rest)
        return self.end_early()

    def end_early(self) -> str:
        """Close properly without sending what is left: to the server a complete upload; return its reply."""
        if isinstance(self._data, ssl.SSLSocket):
            self._data.unwrap()
        self._data.close()
        return self._ftp.voidresp()

    def kill(self) -> None:
        """Close both connections without TLS's close_notify, as the kernel does for a killed client.

        With strict_ssl_read_eof=YES vsftpd logs FAIL UPLOAD, with NO it logs OK UPLOAD.
        """
        self._data.close()
        self._ftp.close()

    def reset(self) -> None:
        """Break the data connection by a TCP reset; the client stays to hear of it. vsftpd logs FAIL UPLOAD."""
        _reset_on_close(self._data)
        self._data.close()
        with contextlib.suppress(ftplib.error_temp):  # 426 Failure reading network stream.
            self._ftp.voidresp()
        self._ftp.close()

    def vanish(self) -> None:
        """Break both connections by a TCP reset, as a client that lost power; vsftpd logs no end of the upload."""
        for connection in (self._ftp.sock, self._data):
            if connection is not None:
                _reset_on_close(connection)
        self._ftp.close()
        self._data.close()


def _reset_on_close(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.contextmanager
def slow_upload(server: FtpsServer, data: bytes, name: str, *, hold_after: int) -> Iterator[SlowUpload]:
    """Send the first `hold_after` bytes, and yield when they are in the server's file.

    What is still open at the end of the block is killed.
    """
    with ftplib_session(server) as ftp:
        connection = ftp.transfercmd(f"STOR {name}")
        try:
            connection.sendall(data[:hold_after])
            file = server.upload / posixpath.normpath(name).lstrip("/")
            wait_until(lambda: file.exists() and file.stat().st_size >= hold_after, f"{hold_after} bytes in {file}")
            yield SlowUpload(ftp, connection, data[hold_after:])
        finally:
            connection.close()
