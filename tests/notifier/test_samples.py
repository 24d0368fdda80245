"""The samples in deploy/letters are what is sent, and a browser shows them at any width."""

import re
from pathlib import Path

import pytest

from tests.tools.samples import DESKTOP, HEIGHT, PHONE, PLACE, browsed, framed, letters, messages, picture, window

MEASURE = """
<script>
parent.document.title = `${document.documentElement.scrollWidth} of ${window.innerWidth}`
</script></body>
"""


@pytest.mark.parametrize(("name", "content"), [*messages()], ids=lambda value: value if isinstance(value, str) else "")
def test_samples_are_what_is_sent(name: str, content: bytes) -> None:
    assert (PLACE / name).read_bytes() == content, "run `python -m tests.tools.samples`"


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", [*letters()])
def test_a_letter_needs_no_scrolling_sideways(tmp_path: Path, name: str, width: int) -> None:
    letter = letters()[name]
    html = framed(letter.html.replace("</body>", MEASURE), width, HEIGHT)
    shown = browsed(html, tmp_path, "--dump-dom", *window(width, HEIGHT)).stdout.decode()
    found = re.search(r"<title>(\d+) of (\d+)</title>", shown)
    assert found is not None
    assert int(found[1]) <= int(found[2]) == width
    assert picture(letter, width).startswith(b"\x89PNG")
