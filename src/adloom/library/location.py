"""Where the environment says the library is. SQLAlchemy is imported when it is opened."""

from typing import TYPE_CHECKING

from adloom.config.settings import Settings
from adloom.storage.router import open_object_store

if TYPE_CHECKING:
    from adloom.library.library import Library

DATABASE = "library.db"  # in `home`


def has_library(settings: Settings) -> bool:
    """Return whether the environment names a library, or the default one exists."""
    return settings.library_url is not None or (settings.home / DATABASE).is_file()


def find_files(settings: Settings) -> str:
    """Return the folder or the URL of the contents."""
    return settings.library_files or str(settings.home / "library")


def open_library(settings: Settings) -> "Library":
    """Open the library that the environment names, or the default one in `home`."""
    from adloom.library.library import Library

    url = settings.library_url
    database = url.get_secret_value() if url else f"sqlite:///{settings.home / DATABASE}"
    return Library(database, open_object_store(find_files(settings), settings.s3_endpoint))
