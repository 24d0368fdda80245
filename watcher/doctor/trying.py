"""The trial of what an account gets at, by a process that has become the account, which only root can make.

Nothing is written: whether an account may write is asked of the kernel, which answers for the process that asks.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from watcher.doctor.acls import Account
from watcher.doctor.grounds import Grounds, reach
from watcher.doctor.neighbours import Access, Deed, Reach

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def tried(account: Account, grounds: Grounds) -> Reach | None:
    """Try what an account gets at; None where this process may not become it. Call it without other threads."""
    answer, answered = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(answer)
        _try_as(account, grounds, answered)
    os.close(answered)
    with os.fdopen(answer, "rb") as telling:
        told = telling.read()
    os.waitpid(child, 0)
    return _reach(json.loads(told)) if told else None


def _try_as(account: Account, grounds: Grounds, answered: int) -> None:
    """Be the child, which never returns; an empty answer tells that something went wrong in it."""
    try:
        os.setgroups(sorted(account.groups))
        os.setresgid(account.group, account.group, account.group)
        os.setresuid(account.number, account.number, account.number)
        told = json.dumps(asdict(reach(account.name, grounds, _kernel_lets)))
        with os.fdopen(answered, "wb") as telling:
            telling.write(told.encode())
    finally:
        os._exit(0)


def _kernel_lets(path: Path, deed: Deed) -> bool:
    match deed:
        case Deed.LIST | Deed.READ:
            return _opens(path)
        case Deed.ENTER:
            return os.access(path, os.X_OK)
        case Deed.WRITE:
            return os.access(path, os.W_OK | os.X_OK)


def _opens(path: Path) -> bool:
    try:
        os.close(os.open(path, _FLAGS))
    except OSError:
        return False
    return True


def _reach(told: Mapping[str, Any]) -> Reach:
    return Reach(
        account=told["account"],
        directory=_deeds(told["directory"]),
        beside=told["beside"],
        places=tuple(Access(**{**each, "deeds": _deeds(each["deeds"])}) for each in told["places"]),
    )


def _deeds(told: list[str]) -> tuple[Deed, ...]:
    return tuple(map(Deed, told))
