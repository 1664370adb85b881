"""The context of all checks: the environment, its settings and params.yaml."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from adloom.config import params
from adloom.config.params import Params
from adloom.config.settings import Settings, SettingsError
from adloom.doctor.finding import Finding
from adloom.errors import ConfigError

Environment = Literal["laptop", "pod", "CI"]


@dataclass(frozen=True)
class DoctorContext:
    """The environment to check."""

    settings: Settings
    setting_errors: tuple[str, ...]  # invalid variables; the settings have their defaults instead
    params_path: Path
    params: Params | ConfigError

    @property
    def environment(self) -> Environment:
        """The kind of environment; a pod of continuous integration is a pod."""
        return "pod" if self.settings.kubernetes_host else "CI" if self.settings.ci else "laptop"

    @property
    def valid_params(self) -> Params | None:
        """The parameters, None if they are invalid."""
        return self.params if isinstance(self.params, Params) else None

    @property
    def can_train(self) -> bool:
        """Whether the packages for training are installed."""
        return is_installed("torch")


Check = Callable[[DoctorContext], Iterable[Finding]]


def is_installed(module: str) -> bool:
    """Return whether a top-level module is installed, without importing it."""
    return find_spec(module) is not None


def read_context(params_path: Path) -> DoctorContext:
    """Read the environment and params.yaml; errors are stored, not raised."""
    settings, errors = _read_settings()
    return DoctorContext(settings, errors, params_path, _read_params(params_path))


def _read_params(path: Path) -> Params | ConfigError:
    try:
        return params.load(path)
    except ConfigError as error:
        return error
    except OSError as error:
        return ConfigError(f"{path}: {error.strerror}; make it readable")


def _read_settings() -> tuple[Settings, tuple[str, ...]]:
    """Return the settings, with defaults for invalid values, and a line per invalid value."""
    try:
        return Settings(), ()
    except SettingsError as error:
        defaults: dict[str, Any] = {name: _default(name) for name in error.reasons}
        return Settings(**defaults), error.lines


def _default(name: str) -> str | None:
    """Return the default of a field, by its name or a variable, as text."""
    fields = (info for field, info in Settings.model_fields.items() if name in {field, *_variables(info)})
    return next((str(info.default) for info in fields if info.default is not None), None)


def _variables(info: FieldInfo) -> list[str]:
    alias = info.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
