"""What people read: the first line, the tables, the names."""

import dataclasses
import html
import os
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.model import Audience, Counts, Notice, NoticeKind, ReasonCount, Refusal, Remark
from importer.words.details import detail
from importer.words.reasons import refusal, warning
from notifier.alert_texts import ALERT_TEXTS
from notifier.letters import Letters, OwnLetters
from notifier.messages import build
from notifier.model import Alert, AlertKind, AlertNotice, Attachment, LeasedMail, Letter, Occasion, Report
from notifier.packing import Packing, pack
from notifier.safety import BREAK, safe_text
from notifier.templating import Templates
from tests.mailing import LETTERS, NOW, failed_rows, refused
from watcher.commands.cli import userdrop

NEXT_RUN = NOW.replace(minute=35, second=0)
FRENCH = "fr"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _tags(letter: Letter) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(letter.html)
    return parser.tags


def _alert(occasion: Occasion, **changes: object) -> AlertNotice:
    alert = Alert(kind=AlertKind.UNREADABLE_FILE, client="acme", detail="students.csv has mode 0600", opened_at=NOW)
    ended = NOW + timedelta(minutes=5) if occasion is Occasion.RESOLVED else None
    return AlertNotice(alert=dataclasses.replace(alert, resolved_at=ended), occasion=occasion, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("language", "subject"),
    [
        ("en", "[userdrop] [critical] mail cannot be sent on drop.example.org"),
        (FRENCH, "[userdrop] [critique] les courriels ne peuvent pas être envoyés sur drop.example.org"),
    ],
)
def test_an_alert_names_the_machine(language: str, subject: str) -> None:
    letters = dataclasses.replace(LETTERS, language=language, host="drop.example.org")
    alert = Alert(kind=AlertKind.SMTP, client="", detail="x", opened_at=NOW)
    letter = letters.about_alert(AlertNotice(alert=alert, occasion=Occasion.OPENED), NOW)
    assert letter.subject == subject
    assert "drop.example.org" in letter.text


def test_the_first_line_says_how_many_users_failed_and_what_to_do() -> None:
    letter = LETTERS.to_client([failed_rows()], NEXT_RUN)
    assert letter.text.splitlines()[0] == (
        "37 of 1,204 users in students.csv were not imported. Correct the attached file and drop it again."
    )
    assert letter.subject == "[userdrop] 37 of 1,204 users in students.csv were not imported"


@pytest.mark.parametrize(
    ("accepted", "failed", "english", "french"),
    [
        (0, 1, "1 of 1 user in students.csv was", "1 personne sur 1 dans students.csv n\u2019a pas été importée"),
        (1, 1, "1 of 2 users in students.csv was", "1 personne sur 2 dans students.csv n\u2019a pas été importée"),
        (0, 2, "2 of 2 users in students.csv were", "2 personnes sur 2 dans students.csv n\u2019ont pas été importées"),
    ],
)
def test_the_verb_agrees_with_those_who_failed(accepted: int, failed: int, english: str, french: str) -> None:
    notice = failed_rows(counts=Counts(records=accepted + failed, accepted=accepted, failed=failed))
    assert LETTERS.to_client([notice], None).text.startswith(f"{english} not imported. ")
    assert LETTERS.to_client([notice], None, language=FRENCH).text.startswith(f"{french}. ")


def test_the_plain_part_has_all_that_the_html_part_has() -> None:
    letter = LETTERS.to_client([failed_rows()], NEXT_RUN)
    for fact in (
        "email: not valid",
        "30",
        "row 17",
        "unique_id: missing",
        "the column &#39;Colour&#39; was ignored",
        "bak/students.20260301T143301Z.1.failed.csv",
        "bak/students.20260301T143301Z.1.csv",
        "2026-03-01 14:35 UTC",
        "1,167",
    ):
        assert fact in letter.html
        assert fact.replace("&#39;", "'") in letter.text


def test_html_headers_have_a_scope_and_nothing_is_remote() -> None:
    tags = _tags(LETTERS.to_client([failed_rows()], NEXT_RUN))
    headers = [attributes for tag, attributes in tags if tag == "th"]
    assert len(headers) == 5
    assert all(header.get("scope") in {"col", "row"} for header in headers)
    assert not any({"src", "href", "background"} & attributes.keys() for _, attributes in tags)


def test_without_a_next_run_nothing_is_promised() -> None:
    assert "next import" not in LETTERS.to_client([failed_rows()], None).text


def test_several_files_are_one_letter_that_adds_them_up() -> None:
    letter = LETTERS.to_client([failed_rows(1), failed_rows(2, file="staff.csv"), refused()], NEXT_RUN)
    assert letter.text.splitlines()[0] == (
        "74 of 2,408 users in 2 files were not imported. Correct the attached files and drop them again."
        " empty.csv was not imported at all; the reasons are below."
    )
    assert "empty.csv was not imported: the file is empty; export it again and drop it again." in letter.text
    assert len(letter.attachments) == 2


def test_more_than_ten_reports_are_merged_and_named() -> None:
    assert "import_file" not in LETTERS.to_client([failed_rows(number) for number in range(10)], NEXT_RUN).text
    letter = LETTERS.to_client([failed_rows(number) for number in range(1000)], NEXT_RUN)
    assert len(letter.attachments) == 1000
    assert "its column import_file says which file a row is from" in letter.text
    assert "students.20260301T143301Z.150.failed.csv" in letter.text
    assert "and 800 more files" in letter.text
    assert len(letter.text) < 100_000


def test_attachments_of_equal_names_get_numbers() -> None:
    same = [failed_rows(number, report="students.failed.csv") for number in range(3)]
    names = [attachment.filename for attachment in LETTERS.to_client(same, None).attachments]
    assert names == ["students.failed.csv", "students-2.failed.csv", "students-3.failed.csv"]


@pytest.mark.parametrize("kind", NoticeKind)
@pytest.mark.parametrize("audience", Audience)
def test_every_kind_of_notice_has_a_letter_for_every_audience(kind: NoticeKind, audience: Audience) -> None:
    notice = failed_rows(kind=kind, audience=audience)
    write = LETTERS.to_client if audience is Audience.CLIENT else LETTERS.to_admin
    for notices in ([notice], [notice, notice]):
        letter = write(notices, NEXT_RUN)
        assert "students.csv" in letter.text
        assert "students.csv" in letter.html


def test_a_file_with_remarks_only_is_not_called_failed() -> None:
    fine = failed_rows(counts=Counts(records=3, accepted=3), reasons=(), report=None)
    letter = LETTERS.to_client([fine], None)
    assert letter.text.startswith("All 3 users in students.csv were imported; please read the remarks.")
    assert letter.attachments == ()


def _imported(name: str, *warnings: Remark) -> Notice:
    return failed_rows(
        file=name, counts=Counts(records=3, accepted=3), reasons=(), report=None, warnings=warnings, claim_id=name
    )


def test_the_subject_for_a_file_that_may_be_cut_says_what_to_check() -> None:
    cut = _imported("students.csv", warning("may_be_cut"))
    letter = LETTERS.to_client([cut], None)
    assert letter.subject == "[userdrop] all users in students.csv were imported, please check the last row"
    assert letter.text.startswith("All 3 users in students.csv were imported; please check the last row.")
    assert "end the file with a line end to stop this remark." in letter.text
    both = LETTERS.to_client([cut, _imported("staff.csv", warning("may_be_cut"))], None)
    assert both.subject == "[userdrop] all users in 2 files were imported, please check the last row of each"
    assert "; empty.csv was not imported" in LETTERS.to_client([cut, refused()], None).subject


def test_other_remarks_are_to_be_read() -> None:
    letter = LETTERS.to_client([_imported("students.csv", warning("may_be_cut"), warning("windows_1252"))], None)
    assert letter.subject == "[userdrop] all users in students.csv were imported, please read the remarks"


def test_a_file_without_a_header_does_not_show_its_first_person_to_the_admin() -> None:
    why = refusal("no_known_column", found="U1, Ana, ana@mail.example", expected="unique_id, email")
    letter = LETTERS.to_admin([refused(audience=Audience.ADMIN, refusal=why.summarised())], None)
    assert "it must be a header like: unique_id, email." in letter.text
    assert "Ana" not in letter.subject + letter.text + letter.html


def test_the_admin_sees_no_cells_and_gets_no_report() -> None:
    letter = LETTERS.to_admin([failed_rows(audience=Audience.ADMIN)], NEXT_RUN)
    assert "ana@" not in letter.text + letter.html
    assert letter.attachments == ()


@pytest.mark.parametrize("kind", AlertKind)
@pytest.mark.parametrize("occasion", Occasion)
def test_every_alert_says_what_is_wrong_since_when_and_what_to_do(kind: AlertKind, occasion: Occasion) -> None:
    mail = _alert(occasion)
    mail = dataclasses.replace(mail, alert=dataclasses.replace(mail.alert, kind=kind))
    letter = LETTERS.about_alert(mail, NOW)
    assert "Since: 2026-03-01 14:33 UTC" in letter.text
    assert "the service's log has the details" in letter.text
    assert "the service's log has the details" in letter.html
    assert ALERT_TEXTS[kind].command in letter.text
    assert ("[resolved]" in letter.subject) == (occasion is Occasion.RESOLVED)
    lasts = occasion is not Occasion.RESOLVED
    for said, is_due in (
        (ALERT_TEXTS[kind].means, True),
        (f"Not done meanwhile: {ALERT_TEXTS[kind].meanwhile}", lasts),
        (f"How it ends: {ALERT_TEXTS[kind].resolves}", lasts),
        (ALERT_TEXTS[kind].cure, lasts),
    ):
        assert (said in letter.text) == is_due


def test_the_cure_for_an_unreadable_file_names_the_umask() -> None:
    assert "local_umask=027" in LETTERS.about_alert(_alert(Occasion.OPENED), NOW).text


def test_only_what_is_repeated_promises_to_be() -> None:
    for kind in AlertKind:
        mail = _alert(Occasion.OPENED)
        letter = LETTERS.about_alert(dataclasses.replace(mail, alert=dataclasses.replace(mail.alert, kind=kind)), NOW)
        assert (
            ("every 4 hours" in letter.text)
            == ("every 4 hours" in letter.html)
            == (kind not in {AlertKind.ODD_FILE, AlertKind.CLIENT_FOLDERS, AlertKind.SERVER_LOG, AlertKind.STUCK_FILES})
        )


def test_a_new_detail_is_said_to_be_one() -> None:
    letter = LETTERS.about_alert(_alert(Occasion.CHANGED), NOW)
    assert letter.subject == "[userdrop] [new detail] an uploaded file cannot be read (acme)"
    assert letter.text.startswith("Still open, with a new detail: ")
    assert "students.csv has mode 0600" in letter.text


def _commands(letter: Letter) -> list[str]:
    return re.findall(r"(?:^More: |`)(userdrop .*?)(?:$|;|`)|(userdrop mail retry \d+)", letter.text, re.MULTILINE)


def _named(letter: Letter) -> set[str]:
    """The commands of ours that a letter tells its reader to run."""
    return {command for found in _commands(letter) for command in found if command}


ALERTED = [
    LETTERS.about_alert(
        AlertNotice(alert=Alert(kind=kind, client="", detail="", opened_at=NOW), occasion=Occasion.OPENED), NOW
    )
    for kind in AlertKind
]
SET_ASIDE = refused(audience=Audience.ADMIN, kind=NoticeKind.QUARANTINED, refusal=None, client="city hall")


@pytest.mark.parametrize(
    "command",
    sorted(
        {
            *_named(LETTERS.to_admin([SET_ASIDE], None)),
            *_named(LETTERS.undeliverable(mail=7, recipient="a@x.example", subject="s", client="acme", said="no")),
            *set[str]().union(*map(_named, ALERTED)),
        }
    ),
)
def test_a_command_that_a_letter_names_is_there(command: str) -> None:
    group: click.Command = userdrop
    context = click.Context(group, info_name="userdrop", **group.context_settings)  # which click keeps for good
    words = shlex.split(command)[1:]
    while isinstance(group, click.Group):
        group = group.commands[words.pop(0)]
    assert group.make_context(group.name, words, parent=context).params is not None


def test_a_client_s_name_is_one_word_of_a_command() -> None:
    hostile = dataclasses.replace(SET_ASIDE, client="$(reboot)'\"; reboot")
    (shown,) = re.findall(r"^More: (.*)$", LETTERS.to_admin([hostile], None).text, re.MULTILINE)
    assert shlex.split(shown) == ["userdrop", "history", "--failed", "--client", hostile.client]
    assert shown.endswith("""'$(reboot)'"'"'"; reboot'""")


def test_every_letter_to_the_admin_names_a_command() -> None:
    of_alerts = {kind: ALERT_TEXTS[kind].command for kind in AlertKind}
    assert all(command in letter.text for command, letter in zip(of_alerts.values(), ALERTED, strict=True))
    assert {kind for kind, command in of_alerts.items() if not command.startswith("userdrop ")} == {
        AlertKind.DISK_FULL,
        AlertKind.LOW_DISK,
    }
    assert "userdrop retry --client 'city hall' refused-1" in _named(LETTERS.to_admin([SET_ASIDE], None))


def test_the_admin_is_told_how_a_file_comes_out_of_quarantine() -> None:
    text = LETTERS.to_admin([SET_ASIDE], None).text
    assert f"`userdrop retry --client 'city hall' {SET_ASIDE.claim_id}` has it tried again." in text


def test_the_cure_for_an_upload_directory_is_what_the_service_needs() -> None:
    text = ALERT_TEXTS[AlertKind.UPLOAD_DIRECTORY]
    assert "3770" in text.cure
    assert "owner is the service's user" in text.cure
    assert "link" not in text.means


def test_alerts_that_were_held_back_are_told_in_a_line_each_with_their_number() -> None:
    held = Alert(kind=AlertKind.ODD_FILE, client="other", detail="a.xlsx, b.xlsx", opened_at=NOW, held=57)
    summed = (
        AlertNotice(alert=held, occasion=Occasion.CHANGED),
        AlertNotice(alert=dataclasses.replace(held, client="third", held=0), occasion=Occasion.OPENED),
    )
    letter = LETTERS.about_alert(_alert(Occasion.OPENED, summed=summed), NOW)
    title = ALERT_TEXTS[AlertKind.ODD_FILE].title
    for line in (
        f"[new detail] {title} (other): a.xlsx, b.xlsx (57 mails)",
        f"[warning] {title} (third): a.xlsx, b.xlsx (1 mail)",
    ):
        assert f"* {line}\n" in letter.text
        assert f"<li>{line}</li>" in letter.html


def test_of_many_alerts_that_were_held_back_the_first_are_told_and_the_others_counted() -> None:
    alert = Alert(kind=AlertKind.ARCHIVE, client="c", detail="why", opened_at=NOW)
    mail = AlertNotice(alert=alert, occasion=Occasion.OPENED)
    letter = LETTERS.about_alert(dataclasses.replace(mail, summed=(mail,) * 203), NOW)
    assert letter.text.count("[error]") == 200
    assert "… and 3 more alerts" in letter.text


def test_markup_in_a_name_or_cell_stays_text() -> None:
    notice = failed_rows(file="<img src=x onerror=alert(1)>.csv", client="<b>acme</b>")
    letter = LETTERS.to_client([notice], None)
    assert "<img" not in letter.html
    assert "img" not in {tag for tag, _ in _tags(letter)}
    assert "<b>acme" not in LETTERS.to_admin([notice], None).html


LINKS = (
    "http://evil.example/?q=1",
    "https://evil.example",
    "HTTPS://EVIL.EXAMPLE/",
    "svn+ssh://evil.example/x",
    "www.evil.example",
    "evil.zip",
    "evil.example",
    "a.b.c.evil.example.csv",
    "ana@evil.example",
    "mailto:ana@evil.example?subject=x",
    "tel:+16135550101",
    "javascript:alert(1)",
    "\\\\evil\\share",
    "école.example",
    "evil\u3002example",
)
LINKED = re.compile(
    r"\w+://|www\.|\w@\w|\w[.\u3002](?:example|zip)\b|(?:mailto|tel|javascript):\S|\\\\\\\\", re.IGNORECASE
)
"""What mail programs make links of by themselves. Sources: what Gmail, Outlook and Thunderbird do with such a mail."""


def _letters_about(cell: str) -> Iterator[Letter]:
    """Letters in which a client's text stands wherever it can."""
    reason = ReasonCount(code="invalid", column="email", count=1, example_row=2, example=f"email '{cell}' is not valid")
    remark = Remark(code="unknown_column", column=cell, message=f"the column '{cell}' was ignored")
    refusal = Refusal(code="no_key", message=f"the first row is '{cell}'")
    names: dict[str, Any] = {"file": cell, "archive": f"{cell}.csv", "report": f"{cell}.failed.csv"}
    failed, unread = failed_rows(reasons=(reason,), warnings=(remark,), **names), refused(refusal=refusal, file=cell)
    for notices in ([failed], [unread], [failed, unread], [failed_rows(number, **names) for number in range(12)]):
        yield LETTERS.to_client(notices, None)
        yield LETTERS.to_admin(notices, None)
    for kind in AlertKind:
        astray = detail("log_astray", file=cell, path=cell)
        alert = Alert(kind=kind, client="acme", detail=astray, opened_at=NOW)
        mail = AlertNotice(alert=alert, occasion=Occasion.OPENED)
        yield LETTERS.about_alert(dataclasses.replace(mail, summed=(mail,)), NOW)
    yield LETTERS.undeliverable(mail=1, recipient="ana", subject=cell, client="acme", said=f"550 see {cell}")


@pytest.mark.parametrize("cell", LINKS)
def test_nothing_of_a_client_becomes_a_link_in_a_mail(cell: str) -> None:
    for letter in _letters_about(cell):
        tags = r"<style>.*?</style>|<title>.*?</title>|<[^>]*>"
        shown = html.unescape(re.sub(tags, " ", letter.html, flags=re.DOTALL))
        assert LINKED.findall(shown) == []
        assert re.findall(r"\w+://|(?:mailto|tel|javascript):|\\\\\\\\", letter.text, re.IGNORECASE) == []
        assert safe_text(letter.text.replace("\n", " "), 10**6) == letter.text.replace("\n", " ")
        assert BREAK not in letter.subject


def test_the_notes_about_reports_hold_no_link_either(tmp_path: Path) -> None:
    attachment = Attachment(claim_id="1", filename="www.evil.example.failed.csv")
    letter = dataclasses.replace(LETTERS.to_client([failed_rows()], None), attachments=(attachment,))
    report = Report(attachment=attachment, directory=tmp_path, places=(tmp_path / "bak" / "x",), in_bak="http://e.zip")
    mail = LeasedMail(
        id=1,
        message_id="<1@x.example>",
        recipient="ana",
        client="acme",
        letter=letter,
        created_at=NOW,
        tries=0,
        next_try_at=NOW,
    )
    unread = pack(mail, [report], LETTERS.notes("en"), largest=10**7, at_least=Packing.FILES, waits=False)
    lost = pack(mail, [], LETTERS.notes("en"), largest=10**7, at_least=Packing.FILES)
    for packed in (unread, lost):
        tree = build(mail, "admin@parking.example", packed).tree
        plain_part, html_part = (tree.get_body((kind,)) for kind in ("plain", "html"))
        assert plain_part is not None
        assert html_part is not None
        assert "://" not in plain_part.get_content()
        assert BREAK not in plain_part.get_content()
        assert not re.search(r"www\.|\w://|e\.zip", html_part.get_content())


def test_names_and_paths_that_are_no_links_stay_as_they_are() -> None:
    notice = failed_rows(file="students.2026.csv.gz", report="students.20260301T143301Z.1.failed.csv")
    assert BREAK not in LETTERS.to_client([notice], None).html.replace(f"ana{BREAK}@", "ana@")
    alert = Alert(kind=AlertKind.WATCH, client="acme", opened_at=NOW, detail=detail("inotify_instances"))
    assert (
        "fs.inotify.max_user_instances"
        in LETTERS.about_alert(AlertNotice(alert=alert, occasion=Occasion.OPENED), NOW).html
    )


def test_an_encoded_word_in_a_name_adds_no_header() -> None:
    name = "=?utf-8?q?x=0D=0ABcc=3A_evil=40example.com?=.csv"
    letter = LETTERS.to_client([failed_rows(file=name)], None)
    message = EmailMessage()
    message["Subject"] = letter.subject
    assert b"Bcc:" not in message.as_bytes()
    assert list(message.keys()) == ["Subject"]


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=60))
def test_any_name_makes_a_letter_that_can_be_encoded(name: str) -> None:
    notice: Notice = failed_rows(file=name, client=name, archive=name, report=f"{name}.failed.csv")
    letter = LETTERS.to_client([notice, notice], None)
    assert (letter.subject + letter.text + letter.html).encode()
    assert "\n" not in letter.subject


def test_a_letter_is_in_the_language_of_its_reader() -> None:
    letter = LETTERS.to_client([failed_rows(warnings=(warning("windows_1252"),))], NEXT_RUN, language=FRENCH)
    assert letter.language == FRENCH
    assert letter.text.startswith(
        "37 personnes sur 1\u202f204 dans students.csv n\u2019ont pas été importées."
        " Corrigez le fichier joint et redéposez-le."
    )
    assert "email\u00a0: non valide" in letter.text
    assert "le fichier n\u2019est pas en UTF-8 et a été lu comme Windows-1252" in letter.text
    assert "La prochaine importation a lieu le 1er mars 2026, 14 h 35 UTC." in letter.text
    assert '<html lang="fr">' in letter.html


def test_a_client_can_have_a_language_of_its_own() -> None:
    letters = dataclasses.replace(LETTERS, own=_own_of_acme(OwnLetters(language=FRENCH)))
    assert letters.to_client([failed_rows()], NEXT_RUN).language == FRENCH
    assert letters.to_client([failed_rows(client="other")], NEXT_RUN).language == "en"
    assert letters.to_admin([failed_rows()], NEXT_RUN).language == "en"


def test_a_client_can_have_a_time_zone_of_its_own() -> None:
    own = OwnLetters(timezone=ZoneInfo("America/Toronto"))
    letters = dataclasses.replace(LETTERS, own=_own_of_acme(own))
    assert "09:35 Eastern" in letters.to_client([failed_rows()], NEXT_RUN).text
    assert "14:35 UTC" in letters.to_client([failed_rows(client="other")], NEXT_RUN).text


@pytest.mark.parametrize(("common", "own"), [(True, False), (False, True)])
def test_reports_of_a_client_travel_or_stay_as_that_client_wants(common: bool, own: bool) -> None:  # noqa: FBT001 - a table
    letters = dataclasses.replace(LETTERS, attaches=common, own=_own_of_acme(OwnLetters(attaches=own)))
    assert bool(letters.to_client([failed_rows()], NEXT_RUN).attachments) is own
    assert bool(letters.to_client([failed_rows(client="other")], NEXT_RUN).attachments) is common


def _own_of_acme(own: OwnLetters) -> Callable[[str], OwnLetters]:
    return lambda client: own if client == "acme" else OwnLetters()


def test_times_are_told_in_the_time_zone_of_the_site_with_its_name() -> None:
    letters = Letters(Templates(timezone=ZoneInfo("America/Toronto")))
    assert "at 2026-03-01 09:35 Eastern Standard Time." in letters.to_client([failed_rows()], NEXT_RUN).text
    french = letters.to_client([failed_rows()], NEXT_RUN, language=FRENCH).text
    assert "le 1er mars 2026, 9 h 35, heure normale de l\u2019Est nord-américain." in french


@pytest.mark.parametrize("kind", AlertKind)
def test_every_alert_can_be_told_in_french(kind: AlertKind) -> None:
    letters = dataclasses.replace(LETTERS, language=FRENCH)
    mail = _alert(Occasion.OPENED)
    letter = letters.about_alert(dataclasses.replace(mail, alert=dataclasses.replace(mail.alert, kind=kind)), NOW)
    assert ALERT_TEXTS[kind].means not in letter.text
    assert letter.text.startswith("À faire\u00a0: ")


def test_what_failed_is_told_in_french_and_a_text_of_an_earlier_version_as_it_is() -> None:
    letters, mail = dataclasses.replace(LETTERS, language=FRENCH), _alert(Occasion.OPENED)
    for told, shown in ((detail("EACCES"), "accès refusé"), ("Permission denied", "Permission denied")):
        alert = dataclasses.replace(mail.alert, kind=AlertKind.UPLOAD_DIRECTORY, detail=told)
        letter = letters.about_alert(dataclasses.replace(mail, alert=alert), NOW)
        assert shown in letter.text
        assert shown in letter.html


@pytest.mark.parametrize("kind", [AlertKind.ODD_FILE, AlertKind.UNREADABLE_FILE])
def test_names_of_files_are_in_no_language(kind: AlertKind) -> None:
    mail = _alert(Occasion.OPENED)
    alert = dataclasses.replace(mail.alert, kind=kind, detail="database, students.csv is a link")
    letter = dataclasses.replace(LETTERS, language=FRENCH).about_alert(dataclasses.replace(mail, alert=alert), NOW)
    assert "database, students.csv is a link" in letter.text
    assert "database, students.csv is a link" in letter.html


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_of_notice_can_be_told_in_french(kind: NoticeKind) -> None:
    letters = dataclasses.replace(LETTERS, language=FRENCH)
    for write in (letters.to_client, letters.to_admin):
        letter = write([refused(kind=kind), failed_rows(reasons=(), warnings=())], NEXT_RUN)
        assert not {"was", "were", "not", "the"} & set(letter.text.split())


def test_a_site_that_sends_no_personal_data_says_where_the_rows_lie() -> None:
    letter = dataclasses.replace(LETTERS, attaches=False).to_client([failed_rows()], NEXT_RUN)
    assert letter.attachments == ()
    assert letter.text.splitlines()[0] == (
        "37 of 1,204 users in students.csv were not imported. Correct the rows in"
        " bak/students.20260301T143301Z.1.failed.csv and drop that file again."
    )
    assert "attached" not in letter.text + letter.html


def test_a_letter_about_success_says_just_that() -> None:
    fine = failed_rows(counts=Counts(records=3, accepted=3), reasons=(), report=None, warnings=())
    letter = LETTERS.to_client([fine.to(Audience.SUCCESS)], None)
    assert letter.subject == "[userdrop] all users in students.csv were imported"
    assert letter.text.startswith("All 3 users in students.csv were imported.\n")


def test_a_site_can_write_its_own_letters(tmp_path: Path) -> None:
    (tmp_path / "client.txt.j2").write_text("Dear {{ client }}, {{ headline }}")
    templates = Templates(directory=tmp_path)
    letter = Letters(templates).to_client([failed_rows()], NEXT_RUN)
    assert letter.text.startswith("Dear acme, 37 of 1,204 users")
    assert "<h1>37 of 1,204 users" in letter.html
    assert templates.broken == {}


@pytest.mark.parametrize(
    "text", ["{{ nothing }}", "{% if %}", "{{ 1 / 0 }}", "{{ headline.x.y }}", "{% include 'x' %}"]
)
def test_a_broken_letter_of_the_site_is_replaced_by_ours_until_it_is_mended(tmp_path: Path, text: str) -> None:
    own = tmp_path / "client.txt.j2"
    own.write_text(text)
    templates = Templates(directory=tmp_path)
    letter = Letters(templates).to_client([failed_rows()], NEXT_RUN)
    assert letter == dataclasses.replace(LETTERS).to_client([failed_rows()], NEXT_RUN)
    assert [str(why).partition(": ")[0] for why in templates.broken.values()] == ["client.txt.j2"]
    own.write_text("mended")
    os.utime(own, (0, 0))
    assert Letters(templates).to_client([failed_rows()], NEXT_RUN).text == "mended\n"
    assert templates.broken == {}


def test_a_directory_of_templates_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    letters = Letters(Templates(directory=tmp_path / "missing"))
    assert letters.to_client([failed_rows()], NEXT_RUN) == LETTERS.to_client([failed_rows()], NEXT_RUN)
