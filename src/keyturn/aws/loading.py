"""What botocore loads to make a client, without what the client has no use for.

botocore looks through the folders of all 400 services, twice, to find out whether it knows the service that a
client is for. And it parses its files, 1.2 MB for the list of endpoints, into ordered dicts: `json.loads`
takes 18 ms for that list, and keeps the interpreter's lock meanwhile, so that an event loop stands still.
Plain dicts have the same order and take 7 ms, and `_letting_go` lets other threads run between two objects.

This module imports botocore, so it is imported when the first client is made.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, cast

from botocore.exceptions import DataNotFoundError
from botocore.loaders import JSONFileLoader, Loader


def _unzipped(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


READERS: Final[Mapping[str, Callable[[Path], bytes]]] = {".json": Path.read_bytes, ".json.gz": _unzipped}
"""How to read a file of each kind, in the order in which botocore looks for them."""


def _letting_go(found: dict[str, object]) -> dict[str, object]:
    """Return the object as it is. `json.loads` calls this for each one, and other threads may run then."""
    return found


class PlainFiles(JSONFileLoader):
    """Loads what botocore's own loader of files loads, as plain dicts."""

    def load_file(self, file_path: str) -> object:
        """Return what the file of this name, without its extension, holds; None if there is none."""
        for extension, read in READERS.items():
            path = Path(file_path + extension)
            if path.is_file():
                return cast("object", json.loads(read(path), object_hook=_letting_go))
        return None


class KnownServices(Collection[str]):
    """The services that have a file of this type. A question after one name looks at its folder only."""

    def __init__(self, loader: SparingLoader, type_name: str) -> None:
        self._loader = loader
        self._type_name = type_name

    def __contains__(self, name: object) -> bool:
        try:
            return bool(self._loader.list_api_versions(str(name), self._type_name))
        except DataNotFoundError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> list[str]:
        return Loader.list_available_services(self._loader, self._type_name)


class SparingLoader(Loader):
    """botocore's loader that looks at the folders of the services that it is asked for."""

    def list_available_services(self, type_name: str) -> KnownServices:  # type: ignore[override] # not a list
        """Return the services that botocore knows. It asks whether the service to load is among them."""
        return KnownServices(self, type_name)


def sparing(loader: Loader) -> SparingLoader:
    """Return a loader that finds what this one finds."""
    return SparingLoader(list(loader.search_paths), PlainFiles(), include_default_search_paths=False)
