"""DVC's configuration. The import of DVC takes a second, so functions import it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adloom.config.settings import Settings
from adloom.errors import ConfigError

HOW_TO_ADD = "`dvc remote add --default NAME s3://bucket/prefix` adds one, or ADLOOM_DVC_REMOTE=s3://bucket/prefix"


def read_config(folder: Path) -> Any:
    """Return DVC's configuration. Raises ConfigError."""
    try:
        from dvc.config import Config
        from dvc.config import ConfigError as DvcConfigError
    except ModuleNotFoundError:
        raise ConfigError("DVC is not installed; `pip install 'adloom[train]'` installs it") from None
    path = folder / ".dvc"
    try:
        return Config(str(path.absolute()) if path.is_dir() else None)
    except DvcConfigError as error:
        raise ConfigError(f"{path}/config: {error}") from None


def find_remote(settings: Settings, folder: Path) -> tuple[str, Any, Mapping[str, Any], str]:
    """Return URL, file system class, options and root of the remote: the environment's, else DVC's default."""
    config = read_config(folder)
    name = config["core"].get("remote")
    if not settings.dvc_remote and not name:
        raise ConfigError(f"no remote for datasets; {HOW_TO_ADD}")

    from dvc.exceptions import DvcException
    from dvc.fs import get_cloud_fs

    try:
        if url := settings.dvc_remote:
            return url, *get_cloud_fs(config, url=url if "://" in url else str(Path(url).absolute()))
        return str(config["remote"][name.lower()]["url"]), *get_cloud_fs(config, name=name)
    except (DvcException, KeyError) as error:
        raise ConfigError(f"remote {settings.dvc_remote or name}: {error}; {HOW_TO_ADD}") from None
