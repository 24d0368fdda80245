"""From the drop to the users, bak and the mail, and back again with the corrected rows."""

import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage

from tests.e2e import files
from tests.e2e.house import ADMIN_ADDRESS, CLIENT_ADDRESS, House, imported_at_next_tick
from tests.servers import clients
from tests.servers.ftps import FtpsServer
from tests.servers.smtp import Received, SmtpServer

Ftps = Callable[..., FtpsServer]


def parsed(mail: bytes) -> EmailMessage:
    message = email.message_from_bytes(mail, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def attachments(mail: EmailMessage) -> dict[str, bytes]:
    found = {}
    for part in mail.iter_attachments():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found[str(part.get_filename())] = content
    return found


def to(address: str, mails: list[Received]) -> list[EmailMessage]:
    return [parsed(mail.data) for mail in mails if mail.recipients == (address,)]


def test_what_three_clients_drop_becomes_users_bak_and_one_mail_and_its_corrections_import(
    house: House, ftps: Ftps, smtp: SmtpServer
) -> None:
    server = ftps()
    house.mails_through(smtp)
    house.reads_log_of(server)
    sent = {
        f"{client}.csv": files.csv_of(files.good(number), files.bad(number + 1), files.good(number + 2))
        for client, number in {"lftp": 10, "curl": 20, "ftplib": 30}.items()
    }
    for name in ("lftp.csv", "curl.csv"):
        (house.root / name).write_bytes(sent[name])
    with house.service() as service:
        clients.upload_with_lftp(server, house.root / "lftp.csv", "lftp.csv", temp_name=True)
        clients.upload_with_curl(server, house.root / "curl.csv", "curl.csv")
        clients.upload_with_ftplib(server, sent["ftplib.csv"], "ftplib.csv")
        imported_at_next_tick(service, *sent)

        assert house.ids() == [f"{files.CANARY}-0{number}" for number in (10, 12, 20, 22, 30, 32)]
        assert clients.listing(server, "bak") == sorted(house.archived())
        reports = {}
        for entry in house.imports():
            assert (entry["records"], entry["accepted"], entry["failed"]) == (3, 2, 1)
            assert clients.download(server, f"bak/{entry['archive']}") == sent[entry["file"]]
            reports[entry["report"]] = clients.download(server, f"bak/{entry['report']}")
            assert reports[entry["report"]] == house.archived()[entry["report"]]
        assert house.waiting() == []

        (received,) = smtp.wait_for(1)
        mail = parsed(received.data)
        assert received.encrypted
        assert received.recipients == (CLIENT_ADDRESS,)
        assert received.sender == ADMIN_ADDRESS
        assert mail["From"] == mail["Reply-To"] == ADMIN_ADDRESS
        assert mail["To"] == CLIENT_ADDRESS
        assert mail["Subject"] == "[userdrop] 3 of 9 users in 3 files were not imported"
        assert attachments(mail) == reports

        by_client = {entry["file"]: attachments(mail)[entry["report"]] for entry in house.imports()}
        clients.upload_with_ftplib(server, files.corrected(by_client["curl.csv"], 21), "all right now.csv")
        clients.upload_with_ftplib(server, by_client["lftp.csv"], "not corrected.csv")
        imported_at_next_tick(service, "all right now.csv", "not corrected.csv")

        done = {entry["file"]: (entry["accepted"], entry["failed"]) for entry in house.imports()[3:]}
        assert done == {"all right now.csv": (1, 0), "not corrected.csv": (0, 1)}
        assert f"{files.CANARY}-021" in house.ids()
        assert f"{files.CANARY}-011" not in house.ids()
        assert service.terminate() == 0


def test_a_report_says_of_each_failed_row_what_is_wrong_and_where_it_was(house: House) -> None:
    house.drop("students.csv", files.csv_of(files.good(1), files.bad(2), files.good(1)))
    house.once()
    (entry,) = house.imports()
    found = files.rows_of(house.archived()[entry["report"]])
    assert [tuple(row.values())[: len(files.HEADER)] for row in found] == [files.bad(2), files.good(1)]
    assert [row["import_row"] for row in found] == ["3", "4"]
    assert {row["import_file"] for row in found} == {"students.csv"}
    assert "is not a valid address" in found[0]["import_error"]
    assert "is already used in row 2" in found[1]["import_error"]
    assert {row["import_line"] for row in found} == {""}


def test_a_refused_file_goes_to_bak_and_is_told_to_client_and_admin(house: House, ftps: Ftps, smtp: SmtpServer) -> None:
    server = ftps()
    house.mails_through(smtp)
    house.reads_log_of(server)
    spreadsheet = b"PK\x03\x04" + files.csv_of(files.good(1)) + bytes(100)
    clients.upload_with_ftplib(server, spreadsheet, "students.csv")
    service = house.once()
    assert [event["code"] for event in service.events("import_refused")] == ["not_text"]
    assert list(house.archived().values()) == [spreadsheet]
    assert house.users() == []
    mails = smtp.received
    assert len(mails) == 2
    for address in (CLIENT_ADDRESS, ADMIN_ADDRESS):
        (mail,) = to(address, mails)
        body = mail.get_body(("plain",))
        assert body is not None
        assert "not a CSV" in " ".join(body.get_content().split())
        assert attachments(mail) == {}


def test_mails_are_files_until_a_mail_server_is_named_and_those_waiting_are_sent_then(
    house: House, smtp: SmtpServer
) -> None:
    house.drop("students.csv", files.csv_of(files.good(1), files.bad(2)))
    service = house.once()
    service.wait_for_event("mail_goes_to_folder")
    (eml,) = house.mail.glob("*.eml")
    mail = parsed(eml.read_bytes())
    assert mail["To"] == CLIENT_ADDRESS
    (entry,) = house.imports()
    assert attachments(mail) == {entry["report"]: house.archived()[entry["report"]]}

    house.mails_through(smtp)
    house.drop("more.csv", files.csv_of(files.bad(3)))
    service = house.once()
    assert not service.events("mail_goes_to_folder")
    assert [to(CLIENT_ADDRESS, [mail])[0]["Subject"] for mail in smtp.received] == [
        "[userdrop] 1 of 1 user in more.csv was not imported"
    ]
    assert len(list(house.mail.iterdir())) == 1
