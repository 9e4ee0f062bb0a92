"""The description that a package index shows: README.md, with no link or picture that leads nowhere there.

An index shows the text at an address of its own, where the README's relative links are dead. If
`[project.urls]` has a `Repository`, they lead there. Without that address a link is its text alone, and a
picture is left out. pyproject.toml names this file as a metadata hook of hatchling.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE: Final = re.compile(
    r"(?P<picture>!?)\[(?P<text>[^\[\]]*)\]\((?!\w+:)(?P<path>[^()\s#]*)(?P<anchor>#[^()\s]*)?\)\n?"
)
BRANCH: Final = "main"
PAGES: Final = "\nThe extra `cli` brings the pages that this text names: `keyturn help` lists them.\n"


def description(readme: str, repository: str | None) -> str:
    """Return the README with its relative links led to the repository, or without them if there is none."""

    def led(found: re.Match[str]) -> str:
        end = "\n" if found[0].endswith("\n") else ""
        if repository is None:
            return "" if found["picture"] else found["text"] + end
        kind = "raw" if found["picture"] else "blob"
        address = f"{repository.rstrip('/')}/{kind}/{BRANCH}/{found['path']}{found['anchor'] or ''}"
        return f"{found['picture']}[{found['text']}]({address}){end}"

    return RELATIVE.sub(led, readme) + ("" if repository else PAGES)


class DescriptionHook(MetadataHookInterface):
    """Gives hatchling the description."""

    def update(self, metadata: dict[str, object]) -> None:
        """Set the readme of the project's metadata."""
        urls = metadata.get("urls")
        repository = urls.get("Repository") if isinstance(urls, dict) else None
        text = description(Path(self.root, "README.md").read_text("utf-8"), repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
