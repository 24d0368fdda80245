"""The whole service in another language, with letters of the site's own, and without reports in the mail."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from tests.e2e import files
from tests.e2e.house import CLIENT_ADDRESS, House

SUCCESS_ADDRESS = f"head@{files.CANARY}.example"


def parsed(mail: bytes) -> EmailMessage:
    message = message_from_bytes(mail, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def plain(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_a_french_site_gets_french_letters_and_reports(house: House) -> None:
    house.change(LANGUAGE="fr", TIMEZONE="America/Toronto")
    house.drop("students.csv", files.csv_of(files.good(1), files.bad(2)))
    house.once()
    (mail,) = map(parsed, house.mail_files())
    assert mail["Content-Language"] == "fr"
    assert plain(mail).startswith("1 personne sur 2 dans students.csv n\u2019a pas été importée.")
    assert "Est nord-américain" in plain(mail)
    (entry,) = house.imports()
    (row,) = files.rows_of(house.archived()[entry["report"]])
    assert "n\u2019est pas une adresse valide" in row["import_error"]


def test_where_personal_data_may_not_travel_a_mail_says_where_it_lies(house: House) -> None:
    house.change(MAIL_ATTACH="never")
    house.drop("students.csv", files.csv_of(files.good(1), files.bad(2)))
    house.once()
    (mail,) = map(parsed, house.mail_files())
    assert list(mail.iter_attachments()) == []
    (entry,) = house.imports()
    assert f"Correct the rows in bak/{entry['report']} and drop that file again." in plain(mail)


def test_success_is_told_to_those_who_want_to_know(house: House) -> None:
    house.change(SUCCESS_EMAIL=SUCCESS_ADDRESS)
    house.drop("good.csv", files.csv_of(files.good(1)))
    house.drop("bad.csv", files.csv_of(files.bad(2)))
    house.once()
    mails = {str(mail["To"]): str(mail["Subject"]) for mail in map(parsed, house.mail_files())}
    assert mails == {
        SUCCESS_ADDRESS: "[userdrop] all users in good.csv were imported",
        CLIENT_ADDRESS: "[userdrop] 1 of 1 user in bad.csv was not imported",
    }


def test_a_broken_letter_of_the_site_is_replaced_and_told(house: House) -> None:
    own = house.root / "templates"
    own.mkdir()
    (own / "client.txt.j2").write_text("{{ nothing }}")
    house.change(TEMPLATE_DIR=str(own))
    house.drop("students.csv", files.csv_of(files.bad(2)))
    service = house.once()
    assert [event["kind"] for event in service.events("alert_opened")] == ["template"]
    (mail,) = map(parsed, house.mail_files())
    assert plain(mail).startswith("1 of 1 user in students.csv was not imported.")


def test_a_client_may_have_a_language_of_its_own(house: House) -> None:
    house.change(CLIENT_FOLDERS="true", CLIENTS__NORD__LANGUAGE="fr")
    for client in ("nord", "south"):
        (house.upload / client).mkdir()
        (house.upload / client / "students.csv").write_bytes(files.csv_of(files.good(1), files.bad(2)))
    house.once()
    languages = {parsed(mail)["Content-Language"]: parsed(mail) for mail in house.mail_files()}
    assert languages.keys() == {"fr", "en"}
    told = {entry["client"]: entry for entry in house.imports()}
    for client, words in (("nord", "n\u2019est pas une adresse valide"), ("south", "is not a valid")):
        report = (house.upload / client / "bak" / told[client]["report"]).read_bytes()
        assert words in files.rows_of(report)[0]["import_error"]


def test_a_client_may_have_mails_of_its_own_kind(house: House) -> None:
    house.change(
        CLIENT_FOLDERS="true",
        CLIENTS__NORD__TIMEZONE="America/Vancouver",
        CLIENTS__NORD__MAIL_ATTACH="never",
        CLIENTS__NORD__SUCCESS_EMAIL=SUCCESS_ADDRESS,
    )
    for client in ("nord", "south"):
        (house.upload / client).mkdir()
        (house.upload / client / "good.csv").write_bytes(files.csv_of(files.good(1)))
        (house.upload / client / "bad.csv").write_bytes(files.csv_of(files.bad(2)))
    house.once()
    mails = [*map(parsed, house.mail_files())]
    (success,) = [mail for mail in mails if mail["To"] == SUCCESS_ADDRESS]
    assert success["Subject"] == "[userdrop] all users in good.csv were imported"
    assert "Pacific" in plain(success)
    told = {bool([*mail.iter_attachments()]): plain(mail) for mail in mails if mail["To"] == CLIENT_ADDRESS}
    assert len(mails) == 3
    assert "Pacific" in told[False]
    assert "Correct the rows in bak/bad." in told[False]
    assert " UTC." in told[True]
    assert "Correct the attached file" in told[True]
