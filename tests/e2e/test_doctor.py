"""The doctor is asked while the service runs."""

import json
import subprocess
import sys

from tests.e2e import files
from tests.e2e.files import CANARY
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.tools import environment


def doctor(house: House) -> tuple[int, dict[str, set[str]], str]:
    """Exit code, state → names of the things, and everything that was said."""
    command = [sys.executable, "-m", "watcher", "doctor", "--json"]
    env = environment(**house.environment)
    done = subprocess.run(command, env=env, cwd=house.root, capture_output=True, text=True, timeout=60, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    states = {each["state"]: {other["name"] for other in found if other["state"] == each["state"]} for each in found}
    return done.returncode, states, done.stdout + done.stderr


def test_the_doctor_finds_a_service_that_runs_and_leaves_it_alone(house: House) -> None:
    house.upload.chmod(0o3770)
    house.change(VSFTPD_CONF="/nowhere.conf")
    with house.service() as service:
        (house.upload / "first.csv").write_bytes(files.csv_of(files.good(2)))
        imported_at_next_tick(service, "first.csv")  # so the tables are there
        code, states, said = doctor(house)
        assert code == 1
        assert states["warning"] <= {"account", "mail", "vsftpd configuration"}
        assert {"service", "upload directory", "inotify", "database", "database tables", "database writing"} <= states[
            "ok"
        ]
        assert f"it runs as process {service.process.pid}" in said
        assert CANARY not in said
        (house.upload / "students.csv").write_bytes(files.csv_of(files.good(1)))
        imported_at_next_tick(service, "students.csv")
        assert len(service.events("upload_seen")) == len(service.events("batch_started")) == 2
        assert not service.events("alert_opened")
    assert "no service runs on" in doctor(house)[2]
