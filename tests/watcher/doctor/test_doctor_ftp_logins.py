"""What is said of a login: whether it succeeds, and whether what is uploaded is imported and told of."""

from dataclasses import replace
from pathlib import Path

import pytest

from watcher.doctor.findings import Finding, State
from watcher.doctor.ftp_logins import Login, begins_in, is_jailed, judged
from watcher.doctor.vsftpd_conf import understood

CONF = Path("/etc/vsftpd.conf")
FOLDER = Path("/srv/upload/acme")
MAIN = understood(
    CONF,
    "local_enable=YES\nchroot_local_user=YES\nallow_writeable_chroot=YES\nuser_sub_token=$USER\n"
    "local_root=/srv/upload/$USER\n",
)
ACME = Login(user="acme", conf=MAIN, account="acme", is_known=True, begins_in=FOLDER, folder=FOLDER)
LOG_ROOT = "/srv/upload/$USER"


def faults(*logins: Login, log_root: str | None = LOG_ROOT) -> list[Finding]:
    return [each for each in judged(logins, MAIN, log_root) if each.state is not State.OK]


def test_a_login_without_a_fault_is_told_and_that_no_password_was_tried() -> None:
    (found,) = judged([ACME], MAIN, LOG_ROOT)
    assert found.state is State.OK
    assert "no password was tried" in found.what


@pytest.mark.parametrize(
    ("login", "what"),
    [
        (replace(ACME, is_known=False), "there is no account acme"),
        (
            replace(ACME, refused="530, as /etc/ftpusers names it", refused_cure="take it out"),
            "530, as /etc/ftpusers names it",
        ),
        (replace(ACME, has_home=False), "cannot enter its home"),
        (replace(ACME, may_enter=False), "cannot enter /srv/upload/acme, where its session begins"),
        (replace(ACME, may_write=False), "may not write to /srv/upload/acme"),
        (replace(ACME, begins_in=Path("/srv/ftp")), "cannot leave it, but files are imported from /srv/upload/acme"),
    ],
)
def test_what_keeps_a_client_from_uploading_is_broken_and_has_a_cure(login: Login, what: str) -> None:
    (fault,) = faults(login, log_root=None)
    assert fault.state is State.BROKEN
    assert what in fault.what
    assert fault.cure


def test_a_session_that_begins_above_its_folder_is_a_warning() -> None:
    (fault,) = faults(replace(ACME, begins_in=Path("/srv/upload")), log_root=None)
    assert fault.state is State.WARNING


def test_where_the_log_is_read_as_from_another_root_the_right_one_is_told() -> None:
    (fault,) = faults(ACME, log_root="/srv/upload")
    assert "set USERDROP_VSFTPD_LOG_ROOT=/srv/upload/$USER" in fault.cure
    (_, fault) = faults(replace(ACME, is_jailed=False))
    assert "set USERDROP_VSFTPD_LOG_ROOT=/," in fault.cure


def test_what_is_found_of_some_users_is_told_with_their_names_and_what_of_all_is_told_once() -> None:
    many = [replace(ACME, user=f"user{number}", may_write=False) for number in range(5)]
    (fault,) = faults(*many, log_root=None)
    assert not fault.what.startswith("for ")
    (fault,) = faults(*many, ACME, log_root=None)
    assert fault.what.startswith("for user0, user1, user2 and 2 others: ")


@pytest.mark.parametrize(
    ("lines", "own", "is_listed", "jailed"),
    [
        ("", "", False, False),
        ("chroot_local_user=YES\n", "", False, True),
        ("", "chroot_local_user=YES\n", False, False),
        ("chroot_list_enable=YES\n", "", True, True),
        ("chroot_local_user=YES\nchroot_list_enable=YES\n", "", True, False),
        ("", "guest_enable=YES\n", False, True),
        ("guest_enable=YES\nvirtual_use_local_privs=YES\n", "", False, False),
    ],
)
def test_the_main_file_decides_about_the_jail_and_its_list_has_the_exceptions(
    lines: str, own: str, *, is_listed: bool, jailed: bool
) -> None:
    main = understood(CONF, lines)
    assert is_jailed(main, main.with_file(Path("/etc/users/acme"), own), is_listed=is_listed) == jailed


def test_a_session_begins_in_local_root_with_its_user_or_else_at_home() -> None:
    assert begins_in(MAIN, "acme", "/home/acme") == "/srv/upload/acme"
    assert begins_in(understood(CONF, "user_sub_token=$USER\n"), "acme", "/home/$USER") == "/home/acme"
    assert begins_in(understood(CONF, ""), "acme", "/home/$USER") == "/home/$USER"
