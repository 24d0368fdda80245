"""The operator's ten minutes: from a fresh directory to a file that is imported, told of, and asked for."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers import clients
from tests.servers.ftps import FtpsServer
from tests.servers.ports import LOOPBACK, reserved_ports
from tests.servers.smtp import SmtpServer
from tests.servers.tools import environment
from tests.tools.docs import OPERATOR, ROOT, part_of, vsftpd_lines

INSTALL = ROOT / "deploy" / "install"
STUDENTS = files.csv_of(files.good(1), files.bad(2), files.good(3))


def would_be_installed(root: Path) -> str:
    """What the runbook's first line prints for an installation below a directory."""
    first, *_ = part_of(OPERATOR.read_text(encoding="utf-8"), "install").partition("```sh\n")[2].splitlines()
    words = first.partition("#")[0].split()
    assert words == ["deploy/install", "--dry-run"]
    command = [str(INSTALL), *words[1:], "--root", str(root)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=60).stdout


def environment_file(said: str) -> dict[str, str]:
    """The settings of the file that would be put to /etc/userdrop, as systemd reads it."""
    ((source,),) = [re.findall(r"install -D \S+ \S+ \S+ -- (\S+) \S+/etc/userdrop/userdrop\.env ", said)]
    lines = (ROOT / source).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def vsftpd_changes() -> dict[str, str]:
    """The lines that the administrator's page gives for an existing vsftpd.conf."""
    return dict(line.split("=", 1) for line in vsftpd_lines().splitlines() if not line.startswith("#"))


def asked(house: House, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and answer of a command of the house."""
    command = [sys.executable, "-m", "watcher", *arguments, "--json"]
    env = environment(**house.environment)
    done = subprocess.run(command, env=env, cwd=house.root, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def told(house: House, *arguments: str) -> dict[str, Any]:
    code, (answer,) = asked(house, *arguments)
    assert code == 0
    return answer


def scraped(port: int) -> dict[str, float]:
    """The metrics whose labels do not matter here, summed by name, as Prometheus's own parser reads them."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=30) as response:
        families = [*text_string_to_metric_families(response.read().decode())]
    sums: dict[str, float] = {}
    for sample in (sample for family in families for sample in family.samples):
        sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def installation(root: Path, ftps: Callable[..., FtpsServer], settings: dict[str, str]) -> tuple[House, FtpsServer]:
    """What `deploy/install` and the administrator's page leave behind, below a directory."""
    upload, state, log = (
        Path(settings[f"USERDROP_{name}"].replace("/", f"{root}/", 1))
        for name in ("UPLOAD_DIR", "STATE_DIR", "VSFTPD_LOG")
    )
    for directory in (upload, state, log.parent):
        directory.mkdir(parents=True)
    upload.chmod(0o3770)
    state.chmod(0o700)
    server = ftps(upload=upload, settings={**vsftpd_changes(), "vsftpd_log_file": str(log)})
    house = House(root, upload)
    house.state, house.database = state, state / "userdrop.db"
    house.set(**{name.removeprefix("USERDROP_"): value.replace("/", f"{root}/", 1) for name, value in settings.items()})
    house.set(VSFTPD_LOG_ROOT="/", VSFTPD_CONF=server.home / "vsftpd.conf", LONG_QUIET_SECONDS=601)
    return house, server


def test_an_operators_ten_minutes(tmp_path: Path, ftps: Callable[..., FtpsServer], smtp: SmtpServer) -> None:
    said = would_be_installed(tmp_path)
    assert [*tmp_path.glob("etc")] == [*tmp_path.glob("srv")] == []
    house, server = installation(tmp_path, ftps, environment_file(said))
    house.mails_through(smtp)
    with reserved_ports() as ports:
        house.set(HTTP_LISTEN=f"{LOOPBACK}:{ports[0]}")

        code, found = asked(house, "doctor")
        states = {each["name"]: each["state"] for each in found}
        assert code == 1
        assert {name for name, state in states.items() if state != "ok"} <= {"account", "service", "vsftpd log"}
        assert states["mail"] == states["database"] == states["vsftpd local_umask"] == "ok"

        with house.service() as service:
            (tmp_path / "students.csv").write_bytes(STUDENTS)
            clients.upload_with_curl(server, tmp_path / "students.csv", "students.csv")
            service.wait_for_event("upload_settled", file="students.csv")
            before = told(house, "status")
            imported_at_next_tick(service, "students.csv")
            service.wait_for_event("mail_sent")
            after, story, metrics = told(house, "status"), told(house, "why", "students.csv"), scraped(ports[0])
            code, found = asked(house, "doctor")
            assert service.terminate() == 0

    (client,) = before["clients"]
    assert client["watch"]["state"] == "live"
    assert [(each["file"], each["reason"]) for each in client["waiting"]["shown"]] == [("students.csv", "complete")]
    assert after["clients"][0]["waiting"]["files"] == 0
    assert after["alerts"] == []
    assert after["mails"] == {"queued": 0, "refused": 0, "sending": 0, "dead": 0, "sent": 1}
    assert [each["what"].partition(":")[0].partition(" ")[0] for each in story["story"]] == [
        *("seen", "complete,", "imported", "lies", "mail")
    ]
    assert metrics["userdrop_rows_total"] == 3
    assert metrics["userdrop_close_to_imported_seconds_count"] == 1
    assert {each["name"] for each in found if each["state"] != "ok"} <= {"account"}
    code, history = asked(house, "history")
    assert [(each["file"], each["status"], each["counts"]["failed"]) for each in history] == [
        ("students.csv", "imported", 1)
    ]
    assert code == 0
    assert len(smtp.received) == 1
