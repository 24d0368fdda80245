"""Format files: what they may say, and that every mistake is told at once, with its key."""

from pathlib import Path

import pytest

from importer.formats.columns import Column, Format, Lookup, normalised
from importer.formats.format_file import FormatMistakesError, load_format, parse_format

ONE_COLUMN = 'key = "uid"\n[columns.uid]\n'


KINDS = "'text', 'email', 'date', 'integer', 'decimal', 'boolean', 'choice', 'lookup'"


def mistakes(text: str) -> list[str]:
    with pytest.raises(FormatMistakesError) as caught:
        parse_format(text)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return caught.value.mistakes


def column(text: str) -> Column:
    return parse_format(f"{ONE_COLUMN}\n[columns.c]\n{text}").column("c")


def test_the_built_in_format_is_the_drop_folder_vocabulary() -> None:
    built_in = load_format(None)
    assert built_in.key == "unique_id"
    assert [each.name for each in built_in.columns if built_in.is_needed(each)] == ["unique_id", "login_source"]
    assert {each.name for each in built_in.columns if each.unique} == {"unique_id", "user_name", "email"}
    limits = {each.name: each.max_length for each in built_in.columns}
    assert len(limits) == 25
    assert (limits["unique_id"], limits["login_source"], limits["street2"], limits["province2"]) == (50, 20, 100, 2)
    assert built_in.lookups["login_sources"].entries == {"OPSCOM": "local login"}
    assert built_in.lookups["user_types"].entries == {}


def test_no_two_built_in_columns_share_a_name() -> None:
    names = [name for each in load_format(None).columns for name in each.names]
    assert len(names) == len(set(names))


def test_built_in_choices_are_the_postal_abbreviations() -> None:
    for name in ("province", "province2", "driver_licence_prov"):
        values = load_format(None).column(name).values
        assert len(values) == 13 + 51 + 5
        assert (values["QC"], values["DC"], values["PR"]) == ("Quebec", "District of Columbia", "Puerto Rico")


def test_every_example_of_the_built_in_format_fits_its_length() -> None:
    assert all(len(each.example) <= (each.max_length or 999) for each in load_format(None).columns)


def test_an_extension_adds_columns_and_replaces_those_of_the_same_name() -> None:
    format_ = parse_format(
        """
        extends = "built-in"
        required = ["last_name"]
        [columns.locker]
        aliases = ["Locker No"]
        [columns.city]
        max_length = 7
        [lookups.user_types]
        noun = "user type"
        entries = { 10 = "Student" }
        [defaults]
        city = "Ottawa"
        """
    )
    assert format_.key == "unique_id"
    assert [each.name for each in format_.columns[:-1]] == [each.name for each in load_format(None).columns]
    assert format_.columns[-1].names == {"locker", "lockerno"}
    assert format_.column("city") == Column(name="city", max_length=7)
    assert format_.is_needed(format_.column("last_name"))
    assert format_.lookups["user_types"] == Lookup(noun="user type", entries={"10": "Student"})
    assert format_.lookups["login_sources"].entries == {"OPSCOM": "local login"}
    assert format_.defaults == {"city": "Ottawa"}


def test_a_format_of_its_own_has_only_what_it_says() -> None:
    assert parse_format(ONE_COLUMN) == Format(columns=(Column(name="uid", unique=True),), key="uid")


def test_the_key_is_unique_whatever_the_file_says() -> None:
    format_ = parse_format('key = "mail"\n[columns.mail]\nkind = "email"')
    assert format_.column("mail").unique
    assert format_.is_needed(format_.column("mail"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('kind = "text"\nmax_length = 3', Column(name="c", max_length=3)),
        ('kind = "email"\nunique = true', Column(name="c", kind="email", unique=True)),
        (
            'kind = "date"\nformats = ["%-d %b %y"]\npast = true',
            Column(name="c", kind="date", formats=("%-d %b %y",), past=True),
        ),
        ('kind = "date"', Column(name="c", kind="date", formats=("%Y-%m-%d",))),
        ('kind = "integer"', Column(name="c", kind="integer")),
        ('kind = "decimal"\nrequired = true', Column(name="c", kind="decimal", required=True)),
        ('kind = "boolean"\nexample = "yes"', Column(name="c", kind="boolean", example="yes")),
        ('kind = "choice"\nvalues = ["N", "S"]', Column(name="c", kind="choice", values={"N": "N", "S": "S"})),
        ('kind = "choice"\nvalues = { N = "North" }', Column(name="c", kind="choice", values={"N": "North"})),
        (
            'kind = "choice"\nvalues = "v"\n[values.v]\nN = "North"',
            Column(name="c", kind="choice", values={"N": "North"}),
        ),
        ('kind = "lookup"\nlookup = "teams"\n[lookups.teams]', Column(name="c", kind="lookup", lookup="teams")),
        (
            'kind = "pattern"\npattern = \'[A-Z]\\d\'\nexpected = "a letter and a digit"',
            Column(name="c", kind="pattern", pattern=r"[A-Z]\d", expected="a letter and a digit"),
        ),
    ],
)
def test_every_kind_of_column_can_be_written(text: str, expected: Column) -> None:
    assert column(text) == expected


def test_names_are_compared_without_case_blanks_and_marks() -> None:
    assert {
        normalised(name) for name in ("E-Mail Address", "e_mail/ADDRESS", "\ufeffemail\N{NO-BREAK SPACE}address")
    } == {"emailaddress"}


def test_all_mistakes_are_told_at_once_each_with_its_key() -> None:
    assert mistakes(
        """
        extends = "built-in"
        key = "unikue_id"
        required = ["lastname", "zzz"]
        [columns.colour]
        kind = "choice"
        [columns.shade]
        kind = "choice"
        values = "shades"
        [columns.team]
        kind = "lookup"
        lookup = "teams"
        [columns.crew]
        kind = "lookup"
        [columns.badge]
        kind = "pattern"
        [columns.hired]
        kind = "date"
        formats = ["%Y-%m", "%Y-%m-%d %H", "%d.%m.%Y", "%Y %-m %m"]
        [columns.client]
        [columns.email_key]
        [columns.phone]
        aliases = ["E-Mail", "Import Row"]
        [columns.fax]
        aliases = ["Phone", "-"]
        [defaults]
        citty = "Ottawa"
        """
    ) == [
        "key: there is no column unikue_id; did you mean unique_id?",
        "required: there is no column lastname; did you mean last_name?",
        f"required: there is no column zzz; there are {', '.join(ALL_NAMES)}",
        "defaults.citty: there is no column citty; did you mean city?",
        "columns.phone: the name email already belongs to column email",
        "columns.phone: the name importrow already belongs to userdrop itself",
        "columns.fax: the name phone already belongs to column phone",
        "columns.fax: an alias needs a letter or a digit",
        "columns.colour.values: missing; kind choice needs them",
        "columns.shade.values: there is no [values.shades]",
        "columns.team.lookup: there is no [lookups.teams]",
        "columns.crew.lookup: missing",
        "columns.badge.pattern: missing; kind pattern needs one",
        "columns.hired.formats: %Y-%m does not name a year, a month and a day, once each",
        "columns.hired.formats: %Y-%m-%d %H has %H; use %Y %y %m %-m %b %B %d %-d",
        "columns.hired.formats: %Y %-m %m does not name a year, a month and a day, once each",
        "columns.client.name: client is a column of userdrop's own; choose another name",
        "columns.email_key.name: email_key is a column of userdrop's own; choose another name",
    ]


ADDED_NAMES = ("colour", "shade", "team", "crew", "badge", "hired", "client", "email_key", "phone", "fax")
ALL_NAMES = [*(each.name for each in load_format(None).columns), *ADDED_NAMES]


def test_mistakes_of_the_toml_shape_are_told_at_once_each_with_its_key() -> None:
    assert mistakes(
        """
        kee = "id"
        extends = "builtin"
        [columns.Id]
        [columns.a]
        max_lenght = 3
        max_length = 0
        kind = "number"
        required = "yes"
        [lookups.b]
        nuon = "b"
        """
    ) == [
        "extends: input should be 'built-in' or 'nothing'",
        "columns.Id: a name must be a small letter followed by small letters, digits or _, at most 50",
        "columns.a.required: input should be a valid boolean",
        "columns.a.max_length: input should be greater than or equal to 1",
        f"columns.a.kind: input should be {KINDS} or 'pattern'",
        "columns.a.max_lenght: there is no such key; did you mean max_length?",
        "lookups.b.nuon: there is no such key; did you mean noun?",
        "kee: there is no such key; did you mean key?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "",
            [
                "columns: there is none; write at least one [columns.NAME]",
                "key: missing; name the column that identifies a user",
            ],
        ),
        ("[columns.uid]", ["key: missing; name the column that identifies a user"]),
        (
            f"{ONE_COLUMN}[defaults]\nuid = 'U1'",
            ["defaults.uid: no two users may share it, so it cannot have a default"],
        ),
        (
            f"{ONE_COLUMN}[columns.mail]\nkind = 'email'\nunique = true\n[defaults]\nmail = 'a@b.ca'",
            ["defaults.mail: no two users may share it, so it cannot have a default"],
        ),
        (
            f"{ONE_COLUMN}[columns.pass_word]",
            ["columns.pass_word: pass_word is a name of passwords, which are never imported; leave it out"],
        ),
        (
            f"{ONE_COLUMN}[columns.secret]\naliases = ['Mot-de-passe', 'Secret', 'PWD']",
            [
                "columns.secret: Mot-de-passe is a name of passwords, which are never imported; leave it out",
                "columns.secret: PWD is a name of passwords, which are never imported; leave it out",
            ],
        ),
        ("[columns", None),
    ],
)
def test_a_mistake_is_told(text: str, expected: list[str] | None) -> None:
    found = mistakes(text)
    if expected is None:
        assert len(found) == 1
        assert found[0].startswith("not valid TOML: ")
    else:
        assert found == expected


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9\n")
    for path, why in ((tmp_path / "none.toml", "No such file or directory"), (latin, "not UTF-8 text")):
        with pytest.raises(FormatMistakesError) as caught:
            load_format(path)
        assert caught.value.mistakes == [f"{path}: {why}"]


def test_a_format_file_is_loaded_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "format.toml"
    path.write_text(ONE_COLUMN, encoding="utf-8")
    assert load_format(path) == parse_format(ONE_COLUMN)


def test_a_default_login_source_is_known_and_makes_the_column_optional() -> None:
    format_ = load_format(None, default_login_source="CAMPUS")
    assert not format_.is_needed(format_.column("login_source"))
    assert format_.defaults == {"login_source": "CAMPUS"}
    assert format_.lookups["login_sources"].entries == {"CAMPUS": "CAMPUS", "OPSCOM": "local login"}


def test_a_default_login_source_keeps_the_name_that_the_format_gives_it() -> None:
    format_ = load_format(None, default_login_source="OPSCOM")
    assert format_.lookups["login_sources"].entries == {"OPSCOM": "local login"}


def test_a_default_login_source_needs_the_column(tmp_path: Path) -> None:
    path = tmp_path / "format.toml"
    path.write_text(ONE_COLUMN, encoding="utf-8")
    with pytest.raises(FormatMistakesError, match="the format has no column login_source"):
        load_format(path, default_login_source="CAMPUS")
