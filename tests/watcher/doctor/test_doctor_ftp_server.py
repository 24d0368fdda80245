"""What is said of vsftpd's configuration: the line to change, its number, and why."""

from pathlib import Path

import pytest

from watcher.doctor.findings import Finding, State
from watcher.doctor.ftp_server import Needs, judged
from watcher.doctor.vsftpd_conf import understood

ROOT = Path(__file__).parents[3]
PATH = Path("/etc/vsftpd.conf")
LOG = Path("/var/log/vsftpd.log")
READING = Needs(log=LOG, long_quiet_seconds=601)
NOT_READING = Needs(log=None, long_quiet_seconds=601)
GOOD = (ROOT / "deploy" / "vsftpd.conf").read_text(encoding="utf-8")


def faults(text: str, needs: Needs = READING) -> list[Finding]:
    return [each for each in judged(understood(PATH, text), needs) if each.state is not State.OK]


def test_the_configuration_in_deploy_has_no_fault() -> None:
    assert faults(GOOD) == []


def test_every_switch_that_matters_is_told_even_where_it_is_right() -> None:
    found = " ".join(each.what for each in judged(understood(PATH, GOOD), READING))
    names = ("local_umask", "lock_upload_files", "strict_ssl_read_eof", "delete_failed_uploads", "xferlog_enable")
    assert all(f"{name}=" in found for name in (*names, "dual_log_enable", "chmod_enable", "ssl_enable"))


@pytest.mark.parametrize(
    ("line", "state", "name", "change"),
    [
        ("write_enable=NO", State.BROKEN, "write_enable", "write_enable=YES"),
        ("local_umask=077", State.BROKEN, "local_umask", "local_umask=027"),
        ("local_umask=0177", State.BROKEN, "local_umask", "local_umask=027"),
        ("local_umask=022", State.WARNING, "local_umask", "local_umask=027"),
        ("local_umask=27", State.WARNING, "local_umask", "local_umask=027"),  # decimal: 033
        ("local_umask=rwx", State.WARNING, "local_umask", "local_umask=027"),
        ("file_open_mode=0600", State.BROKEN, "local_umask", "file_open_mode=0666"),
        ("lock_upload_files=NO", State.WARNING, "lock_upload_files", "lock_upload_files=YES"),
        ("strict_ssl_read_eof=NO", State.WARNING, "strict_ssl_read_eof", "strict_ssl_read_eof=YES"),
        ("delete_failed_uploads=YES", State.WARNING, "delete_failed_uploads", "delete_failed_uploads=NO"),
        ("xferlog_enable=NO", State.BROKEN, "log", "xferlog_enable=YES"),
        ("syslog_enable=YES", State.BROKEN, "log", "syslog_enable=NO"),
        ("vsftpd_log_file=/var/log/ftp", State.BROKEN, "log", "USERDROP_VSFTPD_LOG=/var/log/ftp"),
        ("chmod_enable=yes", State.WARNING, "chmod_enable", "chmod_enable=NO"),
        ("data_connection_timeout=900", State.WARNING, "data_connection_timeout", "LONG_QUIET_SECONDS=1801"),
        ("ssl_enable=NO", State.WARNING, "TLS", "ssl_enable=YES"),
        ("force_local_data_ssl=NO", State.WARNING, "TLS", "force_local_data_ssl=YES"),
        ("ssl_sslv3=YES", State.WARNING, "TLS", "ssl_sslv3=NO"),
    ],
)
def test_a_line_that_does_not_fit_is_told_with_the_one_that_does(
    line: str, state: State, name: str, change: str
) -> None:
    (fault,) = faults(f"{GOOD}{line}\n")
    assert (fault.state, fault.name) == (state, f"vsftpd {name}")
    assert change in fault.cure
    assert line.partition("=")[0] in fault.what or fault.name == "vsftpd log" or "file_open_mode" in fault.cure


def test_the_number_of_the_line_is_told_or_that_there_is_none() -> None:
    number = GOOD.count("\n") + 1
    (fault,) = faults(f"{GOOD}chmod_enable=YES\n")
    assert f"change line {number} of /etc/vsftpd.conf to chmod_enable=NO, then restart vsftpd" in fault.cure
    (fault,) = faults(GOOD.replace("chmod_enable=NO\n", ""))
    assert "chmod_enable=YES, vsftpd's default" in fault.what
    assert "add the line chmod_enable=NO to /etc/vsftpd.conf" in fault.cure


def test_of_vsftpds_own_defaults_the_umask_and_writing_are_what_keeps_imports_from_working() -> None:
    assert {each.name for each in faults("", NOT_READING) if each.state is State.BROKEN} == {
        "vsftpd write_enable",
        "vsftpd local_umask",
    }


def test_without_locks_and_without_the_log_nothing_tells_that_an_upload_is_still_coming() -> None:
    found = {each.name: each.state for each in faults(f"{GOOD}lock_upload_files=NO\n", NOT_READING)}
    assert found == {"vsftpd lock_upload_files": State.BROKEN, "vsftpd log": State.WARNING}


def test_a_log_in_the_style_of_wu_ftpd_alone_does_not_do() -> None:
    (fault,) = faults(f"{GOOD}xferlog_std_format=YES\ndual_log_enable=NO\n")
    assert fault.state is State.BROKEN
    assert "to dual_log_enable=YES" in fault.cure


def test_virtual_users_have_the_anonymous_users_umask() -> None:
    given = "anon_upload_enable=YES\nanon_other_write_enable=YES\nanon_world_readable_only=NO\n"
    (fault,) = faults(f"{GOOD}guest_enable=YES\n{given}")
    assert fault.name == "vsftpd anon_umask"
    assert faults(f"{GOOD}guest_enable=YES\nvirtual_use_local_privs=YES\n") == []
    assert faults(f"{GOOD}guest_enable=YES\nanon_umask=027\n{given}") == []


def test_where_a_name_is_set_twice_the_last_one_counts() -> None:
    assert faults(f"local_umask=077\n{GOOD}") == []


def test_comments_and_blank_lines_are_passed_over() -> None:
    assert faults(f"{GOOD}#chmod_enable=YES\n\n \t\n \tchmod_enable=NO\n") == []


@pytest.mark.parametrize(
    ("line", "why", "cure"),
    [
        ("write_enable=YES ", "neither YES nor NO", "write_enable=YES"),
        ("write_enable = YES", "blanks and capitals count", "write_enable=YES"),
        ("Write_Enable=YES", "blanks and capitals count", "write_enable=YES"),
        ("write_enable=YES\r", "neither YES nor NO", "write_enable=YES"),
        ("write_enable=maybe", "neither YES nor NO", "write_enable=NO"),
        ("write_enable", "no value", "write_enable=NO"),
        ("local_umask=", "no value", "local_umask=077"),
        ("  # a comment", "no comment", "begins with #"),
        ("allow_writable_chroot=YES", "no setting", "begins with #"),
    ],
)
def test_a_line_with_which_vsftpd_does_not_start_is_told(line: str, why: str, cure: str) -> None:
    (fault,) = faults(f"{GOOD}{line}\n")
    assert (fault.state, fault.name) == (State.BROKEN, "vsftpd configuration")
    assert why in fault.what
    assert f"line {GOOD.count(chr(10)) + 1} of /etc/vsftpd.conf" in fault.what
    assert f"change the line to {cure}," in fault.cure or cure in fault.cure


def test_of_many_lines_that_cannot_be_used_the_first_are_told_and_the_number_of_the_others() -> None:
    found = [each for each in faults(GOOD.replace("\n", "\r\n")) if each.name == "vsftpd configuration"]
    assert len(found) == 4
    assert "further lines cannot be used" in found[-1].what
    assert "sed -i 's/\\r$//'" in found[-1].cure


GUEST = f"{GOOD}guest_enable=YES\nanon_umask=027\nanon_world_readable_only=NO\n"


@pytest.mark.parametrize(
    ("lines", "name", "what"),
    [
        ("anon_upload_enable=YES\n", "anon_other_write_enable", "cannot rename"),
        ("anon_other_write_enable=YES\n", "anon_upload_enable", "cannot upload"),
        (
            "anon_upload_enable=YES\nanon_other_write_enable=YES\nchown_uploads=YES\n",
            "chown_uploads",
            "root's with mode 0600, which keeps the service out",
        ),
        ("virtual_use_local_privs=YES\ncmds_denied=DELE,RNFR\n", "cmds_denied", "refuses RNFR: nobody can rename"),
        ("virtual_use_local_privs=YES\ncmds_denied=STOR\n", "cmds_denied", "refuses STOR: nobody can upload"),
        (
            "virtual_use_local_privs=YES\ncmds_allowed=PBSZ,PROT,TYPE,PASV,STOR,CWD,LIST,RETR,RNFR, RNTO\n",
            "cmds_allowed",
            "refuses RNTO: nobody can rename",
        ),
    ],
)
def test_what_guests_and_lists_of_commands_keep_clients_from_is_told(lines: str, name: str, what: str) -> None:
    (fault,) = faults(GUEST + lines)
    assert (fault.state, fault.name) == (State.BROKEN, f"vsftpd {name}")
    assert what in fault.what


def test_a_list_of_commands_ends_at_an_empty_name_and_blanks_count_as_vsftpd_has_it() -> None:
    assert faults(f"{GOOD}cmds_denied=DELE,,STOR\n") == []
    assert faults(f"{GOOD}cmds_denied=DELE, STOR\n") == []


def test_a_users_own_file_counts_for_that_user_alone() -> None:
    main = understood(PATH, GOOD.replace("write_enable=YES", "write_enable=NO"))
    own = {name: main.with_file(Path("/etc/users") / name, "write_enable=YES\n") for name in ("acme", "bolt")}
    assert [each for each in judged(main, READING, own) if each.state is not State.OK] == []
    own["cyan"] = main.with_file(Path("/etc/users/cyan"), "local_umask=077\n")
    found = [each for each in judged(main, READING, own) if each.state is not State.OK]
    assert sorted((each.name, each.what.partition(":")[0]) for each in found) == [
        ("vsftpd local_umask", "for cyan"),
        ("vsftpd write_enable", "for cyan"),
    ]
    (umask,) = (each for each in found if each.name == "vsftpd local_umask")
    assert "change line 1 of /etc/users/cyan to local_umask=027" in umask.cure


@pytest.mark.parametrize(
    ("value", "number"), [("027", 0o27), (" 027", 27), ("27", 27), ("27x", 27), ("089", 0), ("rwx", 0), ("0", 0)]
)
def test_numbers_are_read_as_vsftpd_reads_them(value: str, number: int) -> None:
    assert understood(PATH, f"local_umask={value}\n").number("local_umask") == number


def test_blanks_around_a_text_are_no_part_of_it() -> None:
    assert understood(PATH, "local_root= /srv/upload \t\r\n").value("local_root") == "/srv/upload"
