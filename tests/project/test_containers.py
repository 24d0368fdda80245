"""The images and the composition in deploy/: as far as parsers can tell without an engine."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.house import House
from tests.servers.ports import LOOPBACK
from tests.servers.tools import environment, needs, run
from watcher.settings.naming import PREFIX, variable
from watcher.settings.variables import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
IMAGES = ("Dockerfile", "vsftpd.Dockerfile")
KNOWN = {variable(name) for name in Settings.model_fields}
COMPOSITION: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSITION["services"]


@pytest.mark.parametrize("name", IMAGES)
def test_a_linter_finds_nothing_wrong_with_an_image(name: str) -> None:
    run([needs("hadolint"), "--no-color", str(DEPLOY / name)], env=environment())


def test_the_composition_is_one_by_the_specification_of_compose_and_has_all_that_a_trial_needs() -> None:
    command = [needs("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    run(command, env=environment())
    assert SERVICES.keys() == {"userdrop", "ftp", "database", "mail"}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_slim_and_says_whether_what_runs_in_it_is_well(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert all(re.search(r"-slim\b", base) for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    assert len(re.findall(r"^HEALTHCHECK .*(?:\\\n.*)?CMD \[", text, re.MULTILINE)) == 1


def test_the_health_of_the_container_is_the_services_and_not_the_mail_servers(tmp_path: Path) -> None:
    """Where a mail server is out, the service answers; where it does not run, it does not."""
    (command,) = re.findall(r'CMD \["sh", "-c", "(.*)"\]', (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    with socket.create_server((LOOPBACK, 0)) as free:
        nowhere = free.getsockname()[1]
    house = House(tmp_path, tmp_path / "upload")
    house.set(SMTP_HOST=LOOPBACK, SMTP_PORT=nowhere, SMTP_TLS="none")
    assert health(house, command) == 1
    with house.service():
        assert health(house, command) == 0
        assert health(house, "userdrop doctor > /dev/null") == 2
    assert health(house, command) == 1


def health(house: House, command: str) -> int:
    env = {**house.environment, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return subprocess.run(["sh", "-c", command], env=env, check=False, capture_output=True, cwd=house.root).returncode


@pytest.mark.parametrize("name", IMAGES)
def test_everything_that_an_image_copies_is_there_and_let_through(name: str) -> None:
    let_through = set(
        re.findall(r"^!(\S+)$", (DEPLOY / f"{name}.dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    )
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert {source for sources in copied for source in sources.split()} == let_through
    assert all((DEPLOY.parent / source).exists() for source in let_through)


def test_the_service_is_not_root_and_shares_numbers_with_the_ftp_server() -> None:
    service, server = ((DEPLOY / name).read_text(encoding="utf-8") for name in IMAGES)
    (user,) = re.findall(r"^USER (\d+)$", service, re.MULTILINE)
    (group,) = set(re.findall(r"groupadd --gid (\d+) userdrop-ftp", service + server))
    assert f"useradd --uid {user} " in service
    assert f"--owner={user} --group=userdrop-ftp --mode=3770 /srv/userdrop/upload" in server
    assert int(user) > 0 < int(group)


def test_every_setting_in_an_image_or_the_composition_is_known() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    named = {*re.findall(rf"\b{PREFIX}[A-Z_]+(?==)", text), *SERVICES["userdrop"]["environment"]}
    assert len(named) > 10
    assert named <= KNOWN


def test_nothing_is_open_to_other_machines_and_no_password_is_given() -> None:
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", []))
    passwords = [
        str(value)
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if "PASSWORD" in name or "DATABASE_URL" in name
    ]
    assert len(passwords) == 3
    assert all(re.search(r"\$\{\w+:\?\}", password) for password in passwords)


def test_every_volume_is_declared_and_every_path_is_the_same_for_both_who_share_it() -> None:
    mounts = [mount.split(":")[:2] for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {volume for volume, _ in mounts} == set(COMPOSITION["volumes"])
    assert len({tuple(mount) for mount in mounts}) == len(COMPOSITION["volumes"])


def test_the_service_has_no_rights_of_its_own_and_waits_for_the_database() -> None:
    service = SERVICES["userdrop"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "healthcheck" in SERVICES["database"]
