"""The page for people: valid, readable without its plots, and with nothing in it that a browser would run or fetch."""

import datetime as dt
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.database.history import DayCounts
from importer.words.translating import LANGUAGES
from notifier.alert_texts import ALERT_TEXTS
from notifier.model import AlertKind, Severity
from tests.tools.page import NOW, bare_page, client, facts, full_page, service, waiting
from tests.tools.samples import DESKTOP, PAGE_PICTURES, PAGES, browsed, framed, picture_of_page
from watcher.uploads.snapshot import MOST_FILES_SHOWN, OpenAlert, WaitReason
from watcher.web.page import MOST_CLIENTS, MOST_FILES, REFRESH_SECONDS, Page, first_day
from watcher.web.plotting import DAYS, HEIGHT, MOST_PLOTTED, WIDTH, figures, plot, round_up

TODAY = NOW.date()
MEASURE = """<script>onload = () => { const inner = document.querySelector("iframe").contentDocument.documentElement;
document.title = `${inner.scrollWidth} of ${inner.clientWidth}` }</script></body>"""


def parsed(html: str) -> ET.Element:
    """The page's elements; an error where it is not as HTML says."""
    tree: ET.Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    return tree


def day(client: str, rows: int, *, back: int = 0) -> DayCounts:
    return DayCounts(
        client=client, day=TODAY - dt.timedelta(days=back), files=1, refused=0, rows=rows, failed=rows // 2
    )


# The page


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", [full_page, bare_page])
def test_the_page_is_valid_and_asks_for_nothing(page: Callable[[str], str], language: str) -> None:
    tree = parsed(page(language))
    assert tree.get("lang") == language
    assert not [each.tag for each in tree.iter() if each.tag in {"script", "link", "img", "iframe", "form"}]
    assert not [name for each in tree.iter() for name in each.keys() if name == "style" or name.startswith("on")]  # noqa: SIM118
    ids = [each.get("id") for each in tree.iter() if each.get("id")]
    assert len(ids) == len({*ids})
    named = {each.get("aria-labelledby") for each in tree.iter() if each.get("aria-labelledby")}
    assert named <= {*ids}


def test_the_page_is_made_anew_without_a_script() -> None:
    (refresh,) = [each for each in parsed(bare_page()).iter("meta") if each.get("http-equiv") == "refresh"]
    assert refresh.get("content") == str(REFRESH_SECONDS)


def test_in_french_nothing_is_left_in_english() -> None:
    """What both pages have alike are names and numbers, and a word that both languages share."""

    def words(html: str) -> set[str]:
        return {text.strip() for text in parsed(html).itertext() if re.search("[a-z]{3}", text)}

    names = re.compile(r"userdrop|acme|north|south|\.csv|\.xlsx|SQLite|:root|^email$|unique_id|^Clients?$")
    assert [text for text in words(full_page("en")) & words(full_page("fr")) if not names.search(text)] == []


def test_the_headline_is_the_worst_open_alert_with_its_cure() -> None:
    def alert(kind: AlertKind, severity: Severity, minutes: int) -> OpenAlert:
        since = NOW - dt.timedelta(minutes=minutes)
        return OpenAlert(kind=kind, client="", severity=severity, since=since, detail="why")

    alerts = (
        alert(AlertKind.ODD_FILE, Severity.WARNING, 90),
        alert(AlertKind.SMTP, Severity.CRITICAL, 5),
        alert(AlertKind.DATABASE, Severity.CRITICAL, 3),
    )
    html = Page().html(facts(service(alerts=alerts))).text
    headline = html.partition("<main")[2].partition("<section")[0]
    assert ALERT_TEXTS[AlertKind.SMTP].title in headline
    assert ALERT_TEXTS[AlertKind.SMTP].cure in headline
    assert ALERT_TEXTS[AlertKind.DATABASE].title not in headline


def test_every_table_has_headers_and_every_cell_the_name_of_its_column() -> None:
    for table in parsed(full_page()).iter("table"):
        titles = [each.text for each in table.findall("thead/tr/th")]
        for row in table.findall("tbody/tr"):
            header, *cells = row
            assert (header.tag, header.get("scope")) == ("th", "row")
            assert [cell.get("data-label") for cell in cells] == titles[1:]


def test_every_plot_has_a_name_and_a_table_with_the_same_numbers() -> None:
    for figure in parsed(full_page()).iter("figure"):
        plots = [each for each in figure.iter() if each.tag.endswith("svg")]
        assert [each.get("role") for each in plots] == ["img", "img"]
        for title, svg in zip(("Rows", "Failed"), plots, strict=True):
            shown = [each.text or "" for each in svg.iter() if each.tag.endswith("title")]
            told = [
                f"{row[0].text}: {cell.text}"
                for row in figure.iter("tr")
                for cell in row
                if cell.get("data-label") == title and cell.text != "0"
            ]
            assert shown == told[::-1]
            assert shown


def test_the_policy_allows_the_pages_own_style_sheet() -> None:
    html = Page().html(facts(service()))
    style = html.text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in html.policy
    assert "script" not in html.policy


def test_names_that_clients_choose_are_text() -> None:
    file = waiting("<script>alert(1)</script>.csv", WaitReason.LOCKED)
    tree = parsed(Page().html(facts(service(client("<b>&", file)))).text)
    assert [*tree.iter("script"), *tree.iter("b")] == []
    assert {"<b>&", "<script>alert(1)</script>.csv"} <= {"".join(each.itertext()) for each in tree.iter("th")}
    (link,) = [each.get("href") for each in tree.iter("a") if each.text == "<script>alert(1)</script>.csv"]
    asked = parse_qs(urlsplit(link or "").query)
    assert asked == {"client": ["<b>&"], "name": ["<script>alert(1)</script>.csv"]}


def test_of_many_files_and_clients_some_are_shown_and_the_rest_counted() -> None:
    many = [waiting(f"{number}.csv", WaitReason.QUIET, seconds=number) for number in range(MOST_FILES_SHOWN + 10)]
    clients = [client("acme", *many), *(client(f"c{number}") for number in range(MOST_CLIENTS + 6))]
    html = Page().html(facts(service(*clients))).text
    assert f"… and {len(many) - MOST_FILES} more" in html
    assert "… and 7 more" in html
    assert html.index(f">{len(many) - 1}.csv<") < html.index(f">{len(many) - 2}.csv<")


def test_without_a_database_the_page_says_so_and_shows_the_rest() -> None:
    html = bare_page()
    assert "Not ready" in html
    assert "The database does not answer" in html
    assert "Last imports" not in html


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_written_can_be_read_by_people_who_see_little(dark: bool) -> None:  # noqa: FBT001
    css = full_page().partition("<style>")[2].partition("</style>")[0]
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w+);", blocks[dark]))
    for background in ("paper", "panel"):
        for text in ("ink", "soft", "good", "bad"):
            assert contrast(colours[text], colours[background]) >= 4.5, (text, background)  # WCAG 2.2, 1.4.3
        for mark in ("rows", "failed", "line"):
            assert contrast(colours[mark], colours[background]) >= 3, (mark, background)  # WCAG 2.2, 1.4.11


def contrast(one: str, other: str) -> float:
    """Source: WCAG 2.2, contrast ratio."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("width", [390, DESKTOP])
def test_the_page_needs_no_scrolling_sideways(tmp_path: Path, width: int) -> None:
    html = framed(full_page(), width, 900).replace("</body>", MEASURE)
    shown = browsed(html, tmp_path, "--dump-dom", "--window-size=1300,900").stdout.decode()
    found = re.search(r"<title>(\d+) of (\d+)</title>", shown)
    assert found is not None
    assert int(found[1]) <= int(found[2]) <= width


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [*PAGE_PICTURES])
def test_the_page_has_its_picture(name: str) -> None:
    assert picture_of_page(*PAGE_PICTURES[name]).startswith(b"\x89PNG")
    assert (PAGES / f"{name}.png").exists(), "run `python -m tests.tools.samples`"


# The plots


def test_clients_beyond_the_first_twelve_share_a_plot() -> None:
    shown = figures([day(f"c{number:02}", 100 - number) for number in range(15)], today=TODAY, others="others")
    assert [each.client for each in shown] == [*(f"c{number:02}" for number in range(MOST_PLOTTED)), "others"]
    assert (shown[-1].rows.total, shown[-1].failed.total) == (88 + 87 + 86, 44 + 43 + 43)
    assert [(row.files, row.rows) for row in shown[-1].table] == [(3, 261)]


def test_a_plot_has_the_last_thirty_days_and_nothing_else() -> None:
    (shown,) = figures([day("a", 5), day("a", 7, back=DAYS - 1), day("a", 9, back=DAYS)], today=TODAY, others="")
    assert [bar.value for bar in shown.rows.bars] == [7, *[0] * (DAYS - 2), 5]
    assert shown.rows.bars[0].day == first_day(NOW).date()
    assert [row.rows for row in shown.table] == [5, 7]


def test_where_no_file_came_there_is_no_plot() -> None:
    assert figures([], today=TODAY, others="") == ()


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40))
def test_bars_stay_within_the_plot_and_stand_on_its_ground(values: list[int]) -> None:
    days = [TODAY + dt.timedelta(days=number) for number in range(len(values))]
    shown = plot(dict(zip(days, values, strict=True)), days)
    assert shown.total == sum(values)
    for bar in shown.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= HEIGHT
        assert bar.y + bar.height == pytest.approx(HEIGHT)


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (501, 1000), (99, 100)])
def test_the_upper_edge_is_a_round_number(value: int, top: int) -> None:
    assert round_up(value) == top
