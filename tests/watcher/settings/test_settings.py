"""Settings: every mistake at once, and no secret anywhere."""

import os
import traceback
from datetime import timedelta
from pathlib import Path

import pytest

from importer.database.engines import schema_of
from watcher.settings.naming import PREFIX, variable
from watcher.settings.variables import (
    ServiceManager,
    Settings,
    SettingsMistakesError,
    documented,
    in_force,
    load_settings,
    plain_fields,
    service_manager,
)

SECRET = "hunter2-canary"
TOKEN = "0123456789abcdef-canary"
ADDRESSES = {"FAILED_IMPORT_EMAIL": "people@example.org", "REPLY_TO_ADMIN_EMAIL": "admin@example.org"}


class Environment:
    """Sets variables that begin with USERDROP_; there are no others of that kind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        for name in [name for name in os.environ if name.startswith(PREFIX)]:  # noqa: TID251 - what settings read
            monkeypatch.delenv(name)

    def set(self, **values: object) -> None:
        for name, value in values.items():
            self._monkeypatch.setenv(PREFIX + name, str(value))

    def load(self, **values: object) -> Settings:
        self.set(**values)
        return load_settings()

    def mistakes(self, **values: object) -> list[str]:
        self.set(**values)
        with pytest.raises(SettingsMistakesError) as caught:
            load_settings()
        return caught.value.mistakes


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    return Environment(monkeypatch)


def secret_file(path: Path, text: str, mode: int = 0o640) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_without_any_variable_the_defaults_are_in_force(environment: Environment) -> None:
    settings = environment.load()
    assert settings.upload_dir == Path("var/upload")
    assert settings.interval == timedelta(minutes=5)
    assert (settings.quiet_seconds, settings.long_quiet_seconds) == (30, 601)
    assert settings.database == f"sqlite:///{Path('var/state').absolute()}/userdrop.db"
    assert settings.smtp_host is None
    assert settings.max_file_mb == 512
    assert settings.work_mb == 20 * 512


def test_an_empty_variable_is_one_that_is_not_set(environment: Environment) -> None:
    given = {variable(name).removeprefix(PREFIX): "" for name in plain_fields()}
    files = {"SMTP_PASSWORD_FILE": "", "DATABASE_URL_FILE": "", "HTTP_TOKEN_FILE": ""}
    assert environment.load(**given, **files) == Settings()


def test_every_setting_can_be_set(environment: Environment, tmp_path: Path) -> None:
    settings = environment.load(
        **ADDRESSES,
        UPLOAD_DIR=tmp_path / "upload",
        INTERVAL_MINUTES=1,
        DATABASE_URL="postgresql+psycopg://db.example/users",
        DATABASE_SCHEMA="drops",
        STATE_DIR=tmp_path / "state",
        SUCCESS_EMAIL="head@example.org",
        MAIL_ATTACH="never",
        LANGUAGE="fr",
        TIMEZONE="America/Toronto",
        TEMPLATE_DIR=tmp_path / "templates",
        MIN_FREE_MB=0,
        MAIL_DIR=tmp_path / "mail",
        SMTP_HOST="mail.example.org",
        SMTP_PORT=2525,
        SMTP_TLS="implicit",
        SMTP_USER="userdrop",
        SMTP_PASSWORD=SECRET,
        SMTP_CA_FILE=tmp_path / "ca.pem",
        SMTP_HELO="drop.example.org",
        FORMAT_FILE=tmp_path / "format.toml",
        DEFAULT_LOGIN_SOURCE="OPSCOM",
        UNCHANGED_ROWS="write",
        MAX_FILE_MB=1,
        CLIENT_MAX_MB=20,
        FILE_MEMORY_MB=2048,
        FILE_CPU_SECONDS=60,
        FILE_SECONDS=60,
        WORKER_FILES=10,
        BAK_DAYS=90,
        REPORT_DAYS=30,
        VSFTPD_LOG=tmp_path / "vsftpd.log",
        VSFTPD_LOG_ROOT=tmp_path,
        VSFTPD_CONF="/etc/vsftpd/vsftpd.conf",
        QUIET_SECONDS=0.5,
        LONG_QUIET_SECONDS=1,
        HTTP_LISTEN="127.0.0.1:9464",
        HTTP_TOKEN=TOKEN,
        LOG_LEVEL="debug",
        LOG_FORMAT="json",
        CLIENT_FOLDERS="true",
        CLIENTS__ACME__SFTP="true",
        SFTP="true",
    )
    assert settings.model_fields_set == set(Settings.model_fields)
    assert settings.database == "postgresql+psycopg://db.example/users?userdrop_schema=drops"
    assert settings.port == 2525


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("implicit", 465), ("none", 25)])
def test_the_port_follows_the_tls_mode(environment: Environment, tls: str, port: int) -> None:
    assert environment.load(SMTP_TLS=tls).port == port


def test_several_addresses_have_commas_semicolons_or_blanks_between(environment: Environment) -> None:
    settings = environment.load(FAILED_IMPORT_EMAIL="a@example.org, b@example.org;c@example.org\td@example.org,")
    assert [address[0] for address in settings.failed_import_email] == ["a", "b", "c", "d"]


def test_every_mistake_is_reported_at_once(environment: Environment, tmp_path: Path) -> None:
    mistakes = environment.mistakes(
        UPLOAD_DIRECTORY="x",
        INTERVAL_MINUTES="soon",
        SMTP_HOST="mail.example.org",
        SMTP_PORT=70_000,
        SMTP_TLS="none",
        SMTP_PASSWORD_FILE=tmp_path / "nowhere",
        DATABASE_URL="oracle://scott:tiger@db/users",
        FAILED_IMPORT_EMAIL="people",
        LOG_LEVEL="loud",
        QUIET_SECONDS="inf",
        VSFTPD_LOG="vsftpd.log",
        VSFTPD_LOG_ROOT=tmp_path,
    )
    about = [mistake.replace("=", ":").replace(" ", ":").split(":")[0] for mistake in mistakes]
    assert sorted(about) == sorted(
        PREFIX + name
        for name in (
            "UPLOAD_DIRECTORY",
            "INTERVAL_MINUTES",
            "SMTP_HOST",
            "SMTP_PORT",
            "SMTP_PASSWORD_FILE",
            "SMTP_TLS",
            "DATABASE_URL",
            "FAILED_IMPORT_EMAIL",
            "LOG_LEVEL",
            "QUIET_SECONDS",
            "VSFTPD_LOG_ROOT",
        )
    )
    assert all("\n" not in mistake for mistake in mistakes)


def test_a_mistake_says_what_was_expected_and_what_was_found(environment: Environment) -> None:
    (mistake,) = environment.mistakes(INTERVAL_MINUTES=0)
    assert mistake == "USERDROP_INTERVAL_MINUTES: input should be greater than or equal to 1, not '0'"


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("SMPT_HOST", "USERDROP_SMTP_HOST"),
        ("UPLOAD_DIRECTORY", "USERDROP_UPLOAD_DIR"),
        ("SMTP_PASSWORD_FILES", "USERDROP_SMTP_PASSWORD_FILE"),
    ],
)
def test_an_unknown_name_is_reported_with_the_nearest_known_one(
    environment: Environment, unknown: str, nearest: str
) -> None:
    (mistake,) = environment.mistakes(**{unknown: ""})
    assert mistake == f"{PREFIX}{unknown}: there is no such setting; did you mean {nearest}?"


def test_an_unknown_name_like_no_other_is_reported_by_itself(environment: Environment) -> None:
    assert environment.mistakes(ZZZZZZZZZZZZZZZZZZZZZZZZZ="x") == [
        "USERDROP_ZZZZZZZZZZZZZZZZZZZZZZZZZ: there is no such setting"
    ]


def test_a_file_is_for_secrets_only(environment: Environment, tmp_path: Path) -> None:
    (mistake,) = environment.mistakes(SMTP_USER_FILE=tmp_path / "user")
    assert "USERDROP_SMTP_USER_FILE: there is no such setting" in mistake


# Combinations


@pytest.mark.parametrize("missing", [["FAILED_IMPORT_EMAIL"], ["REPLY_TO_ADMIN_EMAIL"], list(ADDRESSES)])
def test_with_a_mail_server_both_addresses_must_be_set(environment: Environment, missing: list[str]) -> None:
    given = {name: address for name, address in ADDRESSES.items() if name not in missing}
    (mistake,) = environment.mistakes(SMTP_HOST="mail.example.org", **given)
    assert mistake.startswith("USERDROP_SMTP_HOST is set, so ")
    assert [name for name in ADDRESSES if PREFIX + name in mistake] == missing


def test_a_password_is_never_sent_in_clear_text_over_a_network(environment: Environment) -> None:
    given = ADDRESSES | {"SMTP_TLS": "none", "SMTP_PASSWORD": SECRET}
    assert environment.load(**given, SMTP_HOST="localhost").smtp_tls == "none"
    (mistake,) = environment.mistakes(**given, SMTP_HOST="mail.example.org")
    assert "clear text" in mistake
    assert SECRET not in mistake


@pytest.mark.parametrize("name", ["drop.example.org", "drop", "[192.0.2.1]", "[IPv6:2001:db8::1]"])
def test_the_name_given_to_the_mail_server_is_a_host_or_an_address(environment: Environment, name: str) -> None:
    assert environment.load(SMTP_HELO=name).smtp_helo == name


@pytest.mark.parametrize("name", ["drop example", "drop..org", "192.0.2.1]", "drop.example.org\nMAIL"])
def test_what_is_no_host_is_not_given_to_the_mail_server(environment: Environment, name: str) -> None:
    (mistake,) = environment.mistakes(SMTP_HELO=name)
    assert mistake.startswith("USERDROP_SMTP_HELO: should be a host name like userdrop.example.org")


def test_the_root_of_sessions_lies_above_the_upload_directory(environment: Environment, tmp_path: Path) -> None:
    given = {"VSFTPD_LOG": "vsftpd.log", "UPLOAD_DIR": tmp_path / "home" / "upload"}
    for root in (tmp_path / "home" / "upload", tmp_path, "/"):
        assert environment.load(**given, VSFTPD_LOG_ROOT=root).vsftpd_log_root == Path(root)
    (mistake,) = environment.mistakes(**given, VSFTPD_LOG_ROOT=tmp_path / "other")
    assert mistake == "USERDROP_VSFTPD_LOG_ROOT: should be USERDROP_UPLOAD_DIR or a directory above it"


# Secrets


def test_a_secret_may_come_from_a_file_without_its_line_end(environment: Environment, tmp_path: Path) -> None:
    settings = environment.load(
        SMTP_PASSWORD_FILE=secret_file(tmp_path / "password", f" {SECRET} \r\n"),
        DATABASE_URL_FILE=secret_file(tmp_path / "url", "sqlite:////data/u.db\n"),
    )
    assert settings.smtp_password is not None
    assert settings.smtp_password.get_secret_value() == f" {SECRET} "
    assert settings.database == "sqlite:////data/u.db"


@pytest.mark.parametrize("password", ["a\\b\\\\n", "'quoted'", '"quoted"', "$HOME #x ;y", "end\\", "a\rb", "pässword"])
def test_a_secret_in_a_file_is_taken_as_it_is(environment: Environment, tmp_path: Path, password: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(f"{password}\n".encode())
    path.chmod(0o600)
    settings = environment.load(SMTP_PASSWORD_FILE=path)
    assert settings.smtp_password is not None
    assert settings.smtp_password.get_secret_value() == password


def test_a_secret_may_be_a_credential_of_systemd(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert environment.load().smtp_password is None
    secret_file(tmp_path / "smtp_password", f"{SECRET}\n", 0o400)
    secret_file(tmp_path / "database_url", "sqlite:////data/u.db", 0o400)
    settings = environment.load()
    assert settings.smtp_password is not None
    assert settings.smtp_password.get_secret_value() == SECRET
    assert settings.database == "sqlite:////data/u.db"
    (mistake,) = environment.mistakes(SMTP_PASSWORD="other")
    assert mistake == "USERDROP_SMTP_PASSWORD and the credential smtp_password are both set; keep one"
    (mistake,) = environment.mistakes(SMTP_PASSWORD="", SMTP_TLS="none", SMTP_HOST="mail.example.org", **ADDRESSES)
    assert "clear text" in mistake


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601])
def test_a_secret_that_others_may_use_is_refused(environment: Environment, tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path / "password", SECRET, mode)
    (mistake,) = environment.mistakes(SMTP_PASSWORD_FILE=path)
    assert mistake == (f"USERDROP_SMTP_PASSWORD_FILE: {path} holds a secret and others may use it; run chmod o= {path}")


def test_a_secret_that_cannot_be_read_is_a_mistake(environment: Environment, tmp_path: Path) -> None:
    (missing,) = environment.mistakes(SMTP_PASSWORD_FILE=tmp_path / "nowhere")
    assert missing.endswith("No such file or directory")
    tmp_path.chmod(0o700)
    (directory,) = environment.mistakes(SMTP_PASSWORD_FILE=tmp_path)
    assert directory.endswith("Is a directory")
    (tmp_path / "latin").write_bytes(b"\xff")
    (tmp_path / "latin").chmod(0o600)
    (undecodable,) = environment.mistakes(SMTP_PASSWORD_FILE=tmp_path / "latin")
    assert undecodable.endswith("not UTF-8 text")


@pytest.mark.parametrize("beginning", ["sqlite://", "sqlite+pysqlite://", "postgresql+psycopg://"])
def test_the_url_alone_chooses_the_database(environment: Environment, beginning: str) -> None:
    url = f"{beginning}/users"
    assert environment.load(DATABASE_URL=url).database == url


@pytest.mark.parametrize(
    "beginning", ["postgresql://", "postgres://", "postgresql+asyncpg://", "postgresql+psycopg2://"]
)
def test_a_postgresql_url_of_another_driver_is_told_how_to_begin(environment: Environment, beginning: str) -> None:
    (mistake,) = environment.mistakes(DATABASE_URL=f"{beginning}me:{SECRET}@db/users")
    assert mistake == "USERDROP_DATABASE_URL: should begin with postgresql+psycopg://"


@pytest.mark.parametrize("url", ["users.db", "mysql://me@db/users", "sqlite+aiosqlite:///users.db"])
def test_a_url_of_another_database_is_told_what_is_known(environment: Environment, url: str) -> None:
    (mistake,) = environment.mistakes(DATABASE_URL=url)
    assert mistake.endswith(
        "sqlite:////var/lib/userdrop/userdrop.db or postgresql+psycopg://user:password@host/database"
    )


def test_a_secret_given_twice_is_a_mistake(environment: Environment, tmp_path: Path) -> None:
    path = secret_file(tmp_path / "password", SECRET)
    (mistake,) = environment.mistakes(SMTP_PASSWORD=SECRET, SMTP_PASSWORD_FILE=path)
    assert mistake == "USERDROP_SMTP_PASSWORD and USERDROP_SMTP_PASSWORD_FILE are both set; keep one"


def test_secrets_are_masked_wherever_settings_are_shown(environment: Environment) -> None:
    settings = environment.load(SMTP_PASSWORD=SECRET, DATABASE_URL=f"sqlite:///{SECRET}.db")
    shown = dict(in_force(settings))
    assert shown["USERDROP_SMTP_PASSWORD"] == shown["USERDROP_DATABASE_URL"] == "***"
    for text in (repr(settings), str(settings), repr(shown), settings.model_dump_json(), repr(list(documented()))):
        assert SECRET not in text


def test_secrets_are_masked_in_mistakes_and_tracebacks(environment: Environment, tmp_path: Path) -> None:
    wrong = f"postgresql://me:{SECRET}@db/users"
    environment.set(SMTP_PASSWORD=SECRET, SMTP_HOST="mail.example.org", SMTP_TLS="none", INTERVAL_MINUTES="x")
    for given in (
        {"DATABASE_URL": wrong},
        {"DATABASE_URL": "", "DATABASE_URL_FILE": str(secret_file(tmp_path / "url", wrong))},
    ):
        environment.set(**given)
        for load in (load_settings, Settings):
            with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is what is tested
                load()
            text = "".join(traceback.format_exception(caught.value))
            assert "DATABASE_URL" in text.upper()
            assert SECRET not in text


def test_every_setting_is_in_force_and_documented(environment: Environment) -> None:
    names = [variable(name) for name in plain_fields()]
    assert [name for name, _ in in_force(environment.load())] == names
    assert [name.split()[0] for name, _, _ in documented()] == [*names, "USERDROP_CLIENTS__KEY__FAILED_IMPORT_EMAIL"]
    assert all(meaning for _, _, meaning in documented())


def test_a_time_zone_that_does_not_exist_is_a_mistake(environment: Environment) -> None:
    with pytest.raises(SettingsMistakesError) as caught:
        environment.load(TIMEZONE="Mars/Olympus")
    assert caught.value.mistakes == [
        "USERDROP_TIMEZONE: should be a time zone like America/Toronto, not 'Mars/Olympus'"
    ]


# The HTTP server


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:65535", ("::1", 65535)), ("127.8.9.10:1", ("127.8.9.10", 1))],
)
def test_the_http_server_may_listen_to_this_machine_without_a_token(
    environment: Environment, listen: str, address: tuple[str, int]
) -> None:
    settings = environment.load(HTTP_LISTEN=listen)
    assert (settings.http_address, settings.http_token) == (address, None)


def test_by_default_there_is_no_http_server(environment: Environment) -> None:
    assert environment.load().http_address is None


@pytest.mark.parametrize(
    "listen",
    ["9464", ":9464", "127.0.0.1", "localhost:9464", "127.0.0.1:0", "127.0.0.1:65536", "::1:80", "[127.0.0.1]:80"],
)
def test_an_address_that_nobody_can_listen_at_is_a_mistake(environment: Environment, listen: str) -> None:
    (mistake,) = environment.mistakes(HTTP_LISTEN=listen)
    assert mistake == (
        f"USERDROP_HTTP_LISTEN: should be an IP address and a port like 127.0.0.1:9464 or [::1]:9464, not {listen!r}"
    )


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "[::]:9464", "192.0.2.7:9464", "[2001:db8::1]:80"])
def test_other_machines_need_a_token(environment: Environment, tmp_path: Path, listen: str) -> None:
    assert environment.mistakes(HTTP_LISTEN=listen, MAX_FILE_MB=0) == [
        "USERDROP_MAX_FILE_MB: input should be greater than or equal to 1, not '0'",
        "USERDROP_HTTP_LISTEN is open to other machines, so USERDROP_HTTP_TOKEN must be set too",
    ]
    file = secret_file(tmp_path / "token", f"{TOKEN}\n")
    settings = environment.load(HTTP_TOKEN_FILE=file, MAX_FILE_MB=1)
    assert settings.http_token is not None
    assert settings.http_token.get_secret_value() == TOKEN
    assert dict(in_force(settings))["USERDROP_HTTP_TOKEN"] == "***"


@pytest.mark.parametrize("token", ["short-canary", "with a blank in it", "0123456789abcdéf"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_a_mistake_and_not_told(
    environment: Environment, token: str
) -> None:
    (mistake,) = environment.mistakes(HTTP_TOKEN=token)
    assert mistake.startswith("USERDROP_HTTP_TOKEN: should have at least 16 ASCII characters and no blanks")
    assert token not in mistake


# Who has started the service


def test_systemd_says_where_it_listens_and_how_long_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    assert service_manager() == ServiceManager()
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "120000000")
    assert service_manager() == ServiceManager("/run/systemd/notify", 120.0)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert service_manager().watchdog_seconds == 120.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert service_manager().watchdog_seconds is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert service_manager().watchdog_seconds is None


# Clients


def test_a_client_has_the_common_settings_but_for_its_own(environment: Environment) -> None:
    settings = environment.load(
        **ADDRESSES,
        CLIENT_FOLDERS="true",
        CLIENTS__ACME__FAILED_IMPORT_EMAIL="a@acme.example, b@acme.example",
        CLIENTS__ACME__LONG_QUIET_SECONDS=5,
        CLIENTS__ACME__SFTP="",
        CLIENTS__ACME__SUCCESS_EMAIL="glad@acme.example",
        CLIENTS__ACME__TIMEZONE="America/Toronto",
        CLIENTS__ACME__MAIL_ATTACH="never",
        CLIENTS__NORTH_SHORE__REPLY_TO_ADMIN_EMAIL="north@example.org",
        clients__south__sftp="yes",
    )
    acme, north, south = (settings.clients[key] for key in ("ACME", "NORTH_SHORE", "SOUTH"))
    assert acme.failed_import_email == ("a@acme.example", "b@acme.example")
    assert (acme.reply_to_admin_email, acme.sftp) == (None, None)
    assert (acme.success_email, acme.timezone, acme.mail_attach) == (
        ("glad@acme.example",),
        "America/Toronto",
        "never",
    )
    assert (north.success_email, north.timezone, north.mail_attach) == (None, None, None)
    assert settings.quiet_times(acme) == (30, 30)
    assert settings.quiet_times(north) == (30, 601)
    assert north.reply_to_admin_email == "north@example.org"
    assert south.sftp is True


def test_mistakes_in_the_settings_of_clients_are_told_by_their_names(environment: Environment) -> None:
    assert environment.mistakes(
        CLIENT_FOLDERS="true",
        CLIENTS__ACME__FAILED_EMAIL="a@acme.example",
        CLIENTS__ACME__QUIET_SECONDS="soon",
        CLIENTS__ACME__REPLY_TO_ADMIN_EMAIL="nobody",
        CLIENTS__ACME="a@acme.example",
    ) == [
        "USERDROP_CLIENTS__ACME: there is no such setting; did you mean USERDROP_CLIENT_MAX_MB?",
        (
            "USERDROP_CLIENTS__ACME__FAILED_EMAIL: there is no such setting; "
            "did you mean USERDROP_CLIENTS__ACME__FAILED_IMPORT_EMAIL?"
        ),
        (
            "USERDROP_CLIENTS__ACME__REPLY_TO_ADMIN_EMAIL: should be an e-mail address like admin@example.org, "
            "not 'nobody'"
        ),
        (
            "USERDROP_CLIENTS__ACME__QUIET_SECONDS: input should be a valid number, "
            "unable to parse string as a number, not 'soon'"
        ),
    ]


def test_settings_of_clients_need_client_folders(environment: Environment) -> None:
    (mistake,) = environment.mistakes(CLIENTS__ACME__SFTP="true")
    assert mistake == "USERDROP_CLIENTS__ACME__* is set, so USERDROP_CLIENT_FOLDERS must be true"


def test_the_settings_of_clients_are_in_force(environment: Environment) -> None:
    settings = environment.load(CLIENT_FOLDERS="true", CLIENTS__ACME__FAILED_IMPORT_EMAIL="a@acme.example")
    shown = dict(in_force(settings))
    assert shown["USERDROP_CLIENTS__ACME__FAILED_IMPORT_EMAIL"] == "a@acme.example"
    assert shown["USERDROP_CLIENT_FOLDERS"] == "true"


def test_the_root_of_sessions_may_be_a_directory_of_each_user(environment: Environment, tmp_path: Path) -> None:
    log = tmp_path / "vsftpd.log"
    upload = tmp_path / "upload"
    assert environment.load(UPLOAD_DIR=upload, VSFTPD_LOG=log, VSFTPD_LOG_ROOT=upload / "$USER")
    (mistake,) = environment.mistakes(VSFTPD_LOG_ROOT=tmp_path / "home" / "$USER")
    assert mistake.startswith("USERDROP_VSFTPD_LOG_ROOT: should be")


def test_a_schema_is_one_of_postgresql_and_part_of_what_the_database_is(environment: Environment) -> None:
    url = "postgresql+psycopg://db.example/users"
    assert schema_of(environment.load(DATABASE_URL=url, DATABASE_SCHEMA="drops").database) == "drops"
    assert "small letters" in environment.mistakes(DATABASE_SCHEMA="Drops; x")[0]
    (mistake,) = environment.mistakes(DATABASE_URL="sqlite:////data/u.db", DATABASE_SCHEMA="drops")
    assert mistake == "USERDROP_DATABASE_SCHEMA is set, so USERDROP_DATABASE_URL must be one of PostgreSQL"
