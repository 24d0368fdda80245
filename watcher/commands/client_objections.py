"""What speaks against adding a client: a sentence for each reason, with what to do. Pure."""

import shlex
from collections.abc import Iterator, Sequence

from watcher.commands.client_model import SSHD_RULES, ClientAccount, Order, Site, may_be_new, sshd_rules


def objections(site: Site, order: Order, accounts: Sequence[ClientAccount], *, is_group: bool) -> list[str]:
    """What speaks against adding a client, a sentence for each reason; nothing is changed where there is one.

    Args:
        site: the upload directory.
        order: what is asked for.
        accounts: those of the order's accounts that are there.
        is_group: whether a group is called as the client.
    """
    if order.client not in site.folders and not may_be_new(order.client):
        return [
            f"{order.client!r} cannot be a client's name: 2 to 31 of the letters a to z, digits and -, a letter first"
        ]
    found = [*_against_directory(site), *_against_folder(site, order.client)]
    if order.is_new:
        found += _against_new_account(site, order, accounts, is_group=is_group)
    else:
        missing = set(order.accounts) - {each.name for each in accounts}
        found += [f"there is no account {name}" for name in order.accounts if name in missing]
        for each in accounts:
            found += _against_account(site, order.client, each)
    if not site.machine.has_setfacl:
        found.append("setfacl is missing: apt-get install acl")
    return found


def _against_directory(site: Site) -> Iterator[str]:
    if site.rights.owned_by not in {site.service, "root"}:
        yield f"{site.upload} belongs to {site.rights.owned_by} and is left alone; it should be {site.service}'s"
    if site.rights.owned_by == "root":
        for name, each in site.folders.items():
            if each.is_directory and each.owned_by not in {site.service, "root"}:
                yield f"{site.upload} holds folders of others, such as {name} of {each.owned_by}, and is left alone"
                return


def _against_folder(site: Site, client: str) -> Iterator[str]:
    folder = site.folders.get(client)
    path = site.upload / client
    if folder is None:
        return
    if not folder.is_directory:
        yield f"{path} is there, and is no folder"
    elif folder.owned_by not in {site.service, "root"}:
        yield (
            f"{path} belongs to {folder.owned_by} and is left alone; if it is this client's:"
            f" chown {site.service} {shlex.quote(str(path))}"
        )


def _against_new_account(
    site: Site, order: Order, accounts: Sequence[ClientAccount], *, is_group: bool
) -> Iterator[str]:
    name = order.client
    for path, above in site.above.items():
        if above.owned_by != "root" or above.mode & 0o022:
            yield (
                f"{path} is {above.owned_by}'s with mode {above.mode:04o}, so that others may replace what lies in it,"
                " and sshd makes no jail of it: have the upload directory elsewhere, as /srv/userdrop/upload is"
            )
    if not may_be_new(name):
        yield f"{name!r} cannot be an account's name; name one that is there with --account"
    for each in accounts:
        if each.client != name:
            yield f"there is an account {name} already, which is left alone; --account {name} lets it in as it is"
        elif each.is_removed:
            yield f"the client {name} was removed; to open its account again: usermod --unlock --expiredate '' {name}"
        elif each.is_open:
            yield f"the client {name} is there already; a new password: passwd {name}"
    if is_group and not accounts:
        yield f"there is a group {name} already, which is left alone; the account needs another name"
    rules = site.machine.sshd_rules
    if site.machine.has_sshd and rules not in {None, sshd_rules(site.jail, site.upload.name)}:
        yield f"{SSHD_RULES} says something else than this version would write, and is left alone; move it away"


def _against_account(site: Site, client: str, account: ClientAccount) -> Iterator[str]:
    if account.is_root or account.name == site.service:
        yield f"{account.name} cannot be a client's account"
    elif site.group_name in account.groups:
        yield (
            f"{account.name} is in the service's group {site.group_name}, which gets into every folder;"
            " take it out of that first"
        )
    for other in account.folders:
        if other != client:
            folder = shlex.quote(str(site.upload / other))
            yield (
                f"an account gets into the folder of one client, and {account.name} is an account of {other} already;"
                f" to take it away there: setfacl --recursive --remove u:{account.name},d:u:{account.name} {folder}"
            )
