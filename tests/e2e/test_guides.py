"""The lines of the guides, run as they stand there."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.ftps import FtpsServer
from tests.servers.ports import LOOPBACK, reserved_ports
from tests.servers.tools import environment, needs
from tests.tools.docs import CLIENT, OPERATOR, part_of

STUDENTS = files.csv_of(files.good(1), files.bad(2))


def script_of(program: str) -> str:
    """The client's lines for a program."""
    (script,) = re.findall(
        rf"^\*\*{program}\*\*.*?^```sh\n(.*?)^```$", CLIENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return str(script)


def sent(house: House, script: str, **variables: str) -> None:
    directory = house.root / "client"
    directory.mkdir()
    (directory / "users.csv").write_bytes(STUDENTS)
    env = environment(HOME=str(directory), LFTP_HOME=str(directory), **variables)
    done = subprocess.run(
        ["bash", "-e", "-c", script], env=env, cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("program", ["curl", "lftp"])
def test_the_clients_lines_upload_under_a_temporary_name_and_rename(
    house: House, logged_server: FtpsServer, program: str
) -> None:
    needs(program)
    script = script_of(program)
    login = f"{logged_server.user}{':' if program == 'curl' else ','}{logged_server.password}"
    script = script.replace("USER", login).replace("HOST", f"{logged_server.host}:{logged_server.port}")
    if program == "lftp":
        script = script.replace("open", f"set ssl:ca-file {logged_server.ca_file}\nopen")
    with house.service() as service:
        sent(house, script, CURL_CA_BUNDLE=str(logged_server.ca_file))
        imported_at_next_tick(service, "users.csv")
    log = logged_server.wait_for_log("OK RENAME")
    assert "users.csv.part" in log
    assert [entry["file"] for entry in house.imports()] == ["users.csv"]


def test_the_logs_examples_for_jq_answer_from_the_log_of_a_service(house: House) -> None:
    with reserved_ports() as ports:
        house.set(SMTP_HOST=LOOPBACK, SMTP_PORT=ports[0], SMTP_TLS="none")
        house.drop("students.csv", STUDENTS)
        house.drop("list.xlsx", STUDENTS)
        with house.service() as service:
            service.wait_for_event("alert_opened", kind="odd_file")
            imported_at_next_tick(service, "students.csv")
            service.wait_for_event("mail_deferred")
            log = "".join(json.dumps(event) + "\n" for event in service.events())
    answers = answered(house.root, f"Started userdrop.service\n{log}")
    assert len(answers) == 6
    assert all(answers.values()), answers
    imported, _, of_file, by_client, alerts, mails = answers.values()
    assert imported.split("\t")[1:5] == ["default", "students.csv", "1", "1"]
    assert "import_finished" in of_file
    assert by_client == "default\t1\t1\t1\n"
    assert "alert_opened\todd_file\tdefault\n" in alerts
    assert mails.split()[0] == "1"


def answered(root: Path, log: str) -> dict[str, str]:
    """Each line of the example → what it prints, with the journal replaced by a file."""
    (root / "log").write_text(log, encoding="utf-8")
    example = re.findall(r"^log \|.*|^log -.*", part_of(OPERATOR.read_text(encoding="utf-8"), "jq"), re.MULTILINE)
    needs("jq")
    return {
        line: subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", f"log() {{ cat log; }}\n{line}"],
            env=environment(),
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for line in example
    }


def test_the_logs_examples_for_journald_find_lines_as_they_are_logged(house: House) -> None:
    house.drop("students.csv", b"PK\x03\x04" + STUDENTS)
    service = house.once()
    written = [line for line in service.tail().splitlines() if '"import_refused"' in line]
    patterns = re.findall(r"--grep='([^']+)'", part_of(OPERATOR.read_text(encoding="utf-8"), "journald"))
    (refused, alerts) = patterns
    assert len(written) == 1
    assert re.search(refused, written[0])
    assert re.search(alerts, written[0].replace("import_refused", "alert_opened"))
