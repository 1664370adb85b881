"""Where the environment says the library is."""

from adloom.config.settings import Settings

DATABASE = "library.db"  # in `home`


def find_database(settings: Settings) -> str:
    """Return the URL of the database."""
    url = settings.library_url
    return url.get_secret_value() if url else f"sqlite:///{settings.home / DATABASE}"


def find_files(settings: Settings) -> str:
    """Return the folder or the URL of the contents."""
    return settings.library_files or str(settings.home / "library")


def has_library(settings: Settings) -> bool:
    """Return whether the environment names a library, or the default one exists."""
    return settings.library_url is not None or (settings.home / DATABASE).is_file()
