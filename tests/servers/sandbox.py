"""`python -m tests.servers.sandbox USER GROUP COMMAND…` runs a command as deploy/userdrop.service has systemd run it.

As far as that can be done without systemd: the account and the FTP users' group, no capabilities, NoNewPrivileges=,
PrivateUsers=, UMask=, MemoryDenyWriteExecute=, SystemCallFilter= and RestrictSUIDSGID=. Sources: systemd.exec(5),
seccomp_init(3), prctl(2). Only root can start it.
"""

import ctypes
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator, Sequence
from grp import getgrnam
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "userdrop.service"

_PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE, _REFUSE_EXEC_GAIN = 38, 65, 1
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_ALLOW, _EPERM = 0x7FFF0000, 0x00050001
_MASKED_EQUAL = 7
_SETUID_BIT, _SETGID_BIT = 0o4000, 0o2000
_PROT_WRITE, _PROT_EXEC = 2, 4
_MODE_ARGUMENT = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mkdir": 1, "mkdirat": 2, "mknod": 1, "mknodat": 2}
_FORBIDDEN_BITS = [
    *((call, argument, bit) for call, argument in _MODE_ARGUMENT.items() for bit in (_SETUID_BIT, _SETGID_BIT)),
    ("mmap", 2, _PROT_WRITE | _PROT_EXEC),
    ("mprotect", 2, _PROT_EXEC),
    ("pkey_mprotect", 2, _PROT_EXEC),
]
"""System call, number of the argument, bits that it must not have together. Source: systemd's seccomp-util.c."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def settings_of(unit: str, name: str) -> list[str]:
    """The values of a setting of a unit, in order."""
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{name}=")]


def allowed_calls(filters: Sequence[str]) -> set[str]:
    """The system calls that SystemCallFilter= lines allow, the first of which is an allow list."""
    allowed: set[str] = set()
    for line in filters:
        is_denied = line.startswith("~")
        named = {call for item in line.removeprefix("~").split() for call in _expanded(item)}
        allowed = allowed - named if is_denied else allowed | named
    return allowed | set(_expanded("@default"))


def _expanded(item: str) -> Iterator[str]:
    if not item.startswith("@"):
        yield item
        return
    told = subprocess.run(["systemd-analyze", "syscall-filter", item], capture_output=True, text=True, check=True)
    for line in map(str.strip, told.stdout.splitlines()[1:]):
        if line and not line.startswith("#"):
            yield from _expanded(line)


def main() -> None:
    """Confine this process, and become the command."""
    account, group = pwd.getpwnam(sys.argv[1]), getgrnam(sys.argv[2])
    unit = UNIT.read_text(encoding="utf-8")
    calls = allowed_calls(settings_of(unit, "SystemCallFilter"))
    environment = dict(setting.split("=", 1) for setting in settings_of(unit, "Environment"))
    os.environ.update(environment)  # noqa: TID251 - the command's
    _open_way_to(ROOT, Path(sys.base_prefix))
    _become(account, group.gr_gid)
    os.umask(int(settings_of(unit, "UMask")[0], 8))
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)  # Linux 6.3; the filter does the same on any
    _filter(calls)
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606 - no shell is wanted


def _open_way_to(*paths: Path) -> None:
    """Where they lie in somebody's closed home, a mount namespace has nothing but them there."""
    _call("unshare", _CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    opened = {path: os.open(path, os.O_PATH) for path in paths}
    closed = {path: _closed_parent(path) for path in paths}
    for parent in {parent for parent in closed.values() if parent is not None}:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", parent], check=True)
    for path in (path for path in paths if closed[path] is not None):
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mount", "--no-canonicalize", "--bind", f"/proc/{os.getpid()}/fd/{opened[path]}", path], check=True
        )


def _closed_parent(path: Path) -> Path | None:
    return next((parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001), None)


def _become(account: pwd.struct_passwd, group: int) -> None:
    """The account, in a user namespace that knows root and the account only."""
    asked, ask = os.pipe()
    answer, answered = os.pipe()
    parent = os.getpid()
    if os.fork() == 0:
        os.close(ask)
        os.read(asked, 1)
        for kind, number in (("uid", account.pw_uid), ("gid", account.pw_gid)):
            Path(f"/proc/{parent}/{kind}_map").write_text(f"0 0 1\n{number} {number} 1\n")
        os.write(answered, b"x")
        os._exit(0)
    os.setgroups([group])
    os.setresgid(*[account.pw_gid] * 3)
    os.setresuid(*[account.pw_uid] * 3)
    _call("unshare", _CLONE_NEWUSER)
    os.write(ask, b"x")
    os.read(answer, 1)
    os.wait()


def _filter(calls: set[str]) -> None:
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    modes = ctypes.c_void_p(seccomp.seccomp_init(_ALLOW))
    for call, argument, bits in _FORBIDDEN_BITS:
        comparison = _Comparison(argument, _MASKED_EQUAL, bits, bits)
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        seccomp.seccomp_rule_add_array(modes, _EPERM, number, 1, ctypes.byref(comparison))
    listed = ctypes.c_void_p(seccomp.seccomp_init(_EPERM))
    for call in calls:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            seccomp.seccomp_rule_add_array(listed, _ALLOW, number, 0, None)
    # Of two filters the stricter answer counts; the list comes last, as it need not allow to load another one.
    for each in (modes, listed):
        if seccomp.seccomp_load(each) != 0:
            message = "the filter was not loaded"
            raise OSError(message)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
