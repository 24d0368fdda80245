"""`userdrop doctor`: what is wrong, and what to do."""

import logging
import os
import sys
from types import MappingProxyType
from typing import NoReturn

import click
from rich.console import Console

from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.options import JSON_OPTION
from watcher.commands.terminal import fail
from watcher.doctor.examining import examined, examined_as_accounts, mistaken
from watcher.doctor.findings import State, worst
from watcher.doctor.showing import finding_json, findings_table, summary
from watcher.settings.configuration import MISTAKES, load
from watcher.wiring import transport

_CODES = MappingProxyType({State.OK: ExitCode.DONE, State.WARNING: ExitCode.AMISS, State.BROKEN: ExitCode.WORSE})


@click.command()
@JSON_OPTION
@click.option("--send", is_flag=True, help="Also send a test mail to USERDROP_REPLY_TO_ADMIN_EMAIL.")
@click.option("--problems", is_flag=True, help="Show only what is not ok.")
@click.option("--accounts", is_flag=True, help="Only try, as root, what each client's account gets at.")
@exit_codes(done="all is well", amiss="there are warnings", worse="something is broken", usage="wrong usage")
def doctor(*, as_json: bool, send: bool, problems: bool, accounts: bool) -> NoReturn:
    """Find out what is wrong, by trying it, and say what to do.

    The doctor may be asked while the service runs. As root it also becomes the account of each client, and tries
    whether that account gets at the folders of other clients.
    """
    if accounts and os.geteuid() != 0:
        fail("--accounts: nobody but root may become the accounts of clients", ExitCode.USAGE)
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # it would write between the findings
    try:
        loaded, format_ = load()
        examination = (
            examined_as_accounts(loaded)
            if accounts
            else examined(loaded, format_, make_transport=lambda: transport(loaded), send=send)
        )
        found = [*examination]
    except MISTAKES as error:
        found = mistaken(error.mistakes)
    shown = [each for each in found if not problems or each.state is not State.OK]
    if as_json:
        for each in shown:
            click.echo(finding_json(each))
    else:
        if shown:
            Console().print(findings_table(shown))
        click.echo(summary(found))
    sys.exit(_CODES[worst(found)])
