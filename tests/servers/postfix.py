"""A real Postfix on a free loopback port, with a configuration, a queue and mailboxes of its own."""

import contextlib
import dataclasses
import os
import pwd
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.servers import processes, tls
from tests.servers.ftps import reachable_directory
from tests.servers.ports import LOOPBACK, is_listening, reserved_ports
from tests.servers.tools import environment, needs, unavailable, wait_until

_MASTER = Path("/usr/lib/postfix/sbin/master")
_SERVICES = """\
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
postlog unix-dgram n - n - 1 postlogd
"""
"""master.cf: what takes a mail and puts it into a mailbox; nothing leaves the machine."""


DOMAIN = "client.example"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Postfix:
    """A running Postfix; every mail to DOMAIN lies in `inbox`."""

    host: str
    port: int
    ca_file: Path
    log: Path
    inbox: Path

    def taken(self) -> Counter[str]:
        """Message-ID → how often Postfix has taken responsibility for it, by its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return Counter(re.findall(r"cleanup\[\d+\]: \w+: message-id=(<\S+>)", text))

    def delivered(self) -> list[bytes]:
        """The mails in the mailbox, as they came."""
        return [file.read_bytes() for file in sorted((self.inbox / "new").glob("*"))]

    def wait_for(self, count: int, *, timeout: float = 60) -> list[bytes]:
        """Return the mails once there are that many; TimeoutError after `timeout` seconds."""
        wait_until(lambda: len(self.delivered()) >= count, f"{count} mails in {self.inbox}", timeout=timeout)
        return self.delivered()


@contextlib.contextmanager
def postfix(*, size_limit: int = 50_000_000, settings: Mapping[str, str] | None = None) -> Iterator[Postfix]:
    """Run a Postfix with STARTTLS, and with these settings of main.cf. It needs root, as its master does."""
    if not _MASTER.exists():
        unavailable("postfix is not installed")
    if os.geteuid() != 0:
        unavailable("postfix's master needs root")
    user = pwd.getpwnam("nobody")
    with reachable_directory() as home, reserved_ports() as ports, contextlib.ExitStack() as stack:
        port = ports[0]
        certificate = tls.issue(home)
        server = Postfix(
            host="localhost", port=port, ca_file=certificate.ca_file, log=home / "log", inbox=home / "mail" / "inbox"
        )
        (home / "mail").mkdir()
        os.chown(home / "mail", user.pw_uid, user.pw_gid)
        _configure(home, server, certificate, user, {"message_size_limit": size_limit, **(settings or {})})
        program = [needs("postfix"), "-c", str(home / "etc")]
        subprocess.run([*program, "check"], check=True, capture_output=True, env=environment())
        master = subprocess.Popen(
            processes.bound_to_us([str(_MASTER), "-c", str(home / "etc"), "-d"]),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(processes.end_tree, master)
        wait_until(lambda: is_listening(port) or master.poll() is not None, "Postfix's port", timeout=30)
        if master.poll() is not None:
            unavailable(f"postfix's master cannot run here: {server.log.read_text() if server.log.exists() else ''}")
        yield server


def _configure(
    home: Path, server: Postfix, certificate: tls.Certificate, user: pwd.struct_passwd, own: Mapping[str, object]
) -> None:
    for name in ("etc", "queue", "data"):
        (home / name).mkdir()
    os.chown(home / "data", pwd.getpwnam("postfix").pw_uid, -1)
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": home / "queue",
        "data_directory": home / "data",
        "inet_interfaces": LOOPBACK,
        "inet_protocols": "ipv4",
        "myhostname": "mail.example.com",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8",
        "alias_maps": "",
        "local_recipient_maps": "",
        "default_transport": "discard",
        "relay_transport": "discard",
        "virtual_mailbox_domains": DOMAIN,
        "virtual_mailbox_base": home / "mail",
        "virtual_mailbox_maps": "static:inbox/",
        "virtual_mailbox_limit": 0,
        "virtual_minimum_uid": 1,
        "virtual_uid_maps": f"static:{user.pw_uid}",
        "virtual_gid_maps": f"static:{user.pw_gid}",
        "smtputf8_enable": "yes",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_chain_files": certificate.key_and_chain,
        "maillog_file": server.log,
        "maillog_file_prefixes": home,
        "smtpd_client_connection_count_limit": 0,
        **own,
    }
    (home / "etc" / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    (home / "etc" / "master.cf").write_text(_SERVICES.format(port=server.port))
