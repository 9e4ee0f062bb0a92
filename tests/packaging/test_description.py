"""The description of the package: what an index shows has no link that leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

from tools.description import description

README = Path(__file__).parents[2] / "README.md"
TEXT = """A [page](docs/a.md#part), a [site](https://example.com/b).

![A picture](docs/c.svg)

[**All**](docs/index.md) · [Other](LICENSE)
"""


def test_links_lead_to_the_repository() -> None:
    """Pages to what shows them, pictures to the files themselves; what is absolute stays."""
    told = description(TEXT, "https://example.com/keyturn/")
    here = "https://example.com/keyturn"
    assert f"A [page]({here}/blob/main/docs/a.md#part), a [site](https://example.com/b).\n" in told
    assert f"\n\n![A picture]({here}/raw/main/docs/c.svg)\n\n" in told
    assert told.endswith(f"[**All**]({here}/blob/main/docs/index.md) · [Other]({here}/blob/main/LICENSE)\n")


def test_without_an_address_no_link_is_dead() -> None:
    """A link is its text, and a picture is left out."""
    told = description(TEXT, None)
    assert told.startswith("A page, a [site](https://example.com/b).\n\n\n**All** · Other\n")


def test_the_readme_has_no_link_of_another_kind() -> None:
    """Each of its links and pictures is seen, in whatever way it is written."""
    told = description(README.read_text("utf-8"), None)
    assert [] == re.findall(r"\]\((?!https?:)|\]\[|<img|<a ", told)
    assert "[" in description(README.read_text("utf-8"), "https://example.com/keyturn")
