"""The questions of a set-up, and the environment file that the answers make."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.tools import environment, needs, run
from watcher.commands.questions import HEADER, TOPICS, answered, environment_file, kept_answers
from watcher.settings.naming import variable
from watcher.settings.variables import Settings

QUESTIONS = [question for topic in TOPICS for question in topic.questions]
LINES = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f\x85\u2028\u2029", exclude_categories=["Cs"]))
ANSWERS = st.dictionaries(st.sampled_from([question.field for question in QUESTIONS]), LINES.map(str.strip))


@given(answers=ANSWERS)
def test_the_answers_are_read_back_from_the_file_as_they_were_given(answers: dict[str, str]) -> None:
    said = {field: answer for field, answer in answers.items() if answer}
    assert kept_answers(environment_file(HEADER, answers)) == said


@given(first=ANSWERS, second=ANSWERS)
def test_later_answers_replace_earlier_ones_and_nothing_else(first: dict[str, str], second: dict[str, str]) -> None:
    others = "# a note\nUSERDROP_BAK_DAYS=30\nOTHER='x'\n"
    text = environment_file(environment_file(others, first), second)
    assert text.startswith(others)
    assert kept_answers(text) == {field: answer for field, answer in {**first, **second}.items() if answer}
    assert environment_file(text, second) == text


@pytest.mark.parametrize("answer", ["plain", "two words", "$HOME", "`id`", 'a"b', "a'b", "a\\b\\\\", "#x", "é&|;<>*?!"])
def test_a_shell_reads_the_file_as_it_was_meant(tmp_path: Path, answer: str) -> None:
    file = tmp_path / "userdrop.env"
    file.write_text(environment_file(HEADER, {"smtp_password": answer}))
    script = f'. "{file}"; printf %s "$USERDROP_SMTP_PASSWORD"'
    assert subprocess.check_output([needs("sh"), "-c", script], env=environment()).decode() == answer


@pytest.mark.parametrize("answer", ["plain", "two words", "`id`", 'a"b', "a'b", "a\\b\\\\", "#x", "é&|;<>*?!"])
def test_systemd_reads_the_file_as_it_was_meant(tmp_path: Path, answer: str) -> None:
    """The generator of users' environments has the parser of EnvironmentFile=, and is alone in expanding $NAME."""
    generator = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"
    file = tmp_path / "environment.d" / "userdrop.conf"
    file.parent.mkdir()
    file.write_text(environment_file(HEADER, {"smtp_password": answer}), encoding="utf-8")
    env = environment(XDG_CONFIG_HOME=str(tmp_path), HOME=str(tmp_path), LANG="C.UTF-8")
    assert kept_answers(run([needs(generator)], env=env).decode()) == {"smtp_password": answer}


def test_a_line_that_is_commented_out_is_put_in_force_where_it_stands() -> None:
    before = "# the mail server\n#USERDROP_SMTP_HOST=\n\n# last\n"
    assert environment_file(before, {"smtp_host": "mail.example.org"}) == (
        "# the mail server\nUSERDROP_SMTP_HOST=mail.example.org\n\n# last\n"
    )
    assert environment_file(before, {"smtp_host": ""}) == before


def test_of_several_assignments_the_last_one_is_replaced_and_the_others_go() -> None:
    before = "USERDROP_LANGUAGE=en\nUSERDROP_BAK_DAYS=3\nUSERDROP_LANGUAGE=fr\n"
    assert environment_file(before, {"language": "en"}) == "USERDROP_BAK_DAYS=3\nUSERDROP_LANGUAGE=en\n"


def test_every_question_is_about_a_setting_and_its_usual_answer_is_one() -> None:
    assert {question.field for question in QUESTIONS} <= Settings.model_fields.keys()
    assert {question.needs for question in QUESTIONS} - {""} <= {question.field for question in QUESTIONS}
    settings = Settings(smtp_password="secret", upload_dir=Path("/srv/upload"), client_folders=True)
    assert answered(settings, "smtp_password") == "secret"
    assert answered(settings, "upload_dir") == "/srv/upload"
    assert answered(settings, "client_folders") == "true"
    assert answered(settings, "failed_import_email") == "failed-imports@localhost"
    assert answered(settings, "smtp_host") == ""
    assert variable("smtp_host") == "USERDROP_SMTP_HOST"
