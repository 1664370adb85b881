"""What all checks look at: where this is, what the environment says, and params.yaml when it can be read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo

from adloom.config import params
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.doctor.finding import Finding
from adloom.errors import ConfigError

Environment = Literal["laptop", "pod", "CI"]


@dataclass(frozen=True)
class DoctorContext:
    """The environment that is checked."""

    settings: Settings
    mistakes: tuple[str, ...]  # variables whose values are none, and why; the settings have their defaults instead
    params_path: Path
    params: Params | ConfigError

    @property
    def environment(self) -> Environment:
        """Where this is; a pod of continuous integration is a pod."""
        return "pod" if self.settings.kubernetes_host else "CI" if self.settings.ci else "laptop"

    @property
    def valid_params(self) -> Params | None:
        """The params, None when they cannot be read."""
        return self.params if isinstance(self.params, Params) else None

    @property
    def can_train(self) -> bool:
        """Whether this can train, or only serve or submit."""
        return is_installed("torch")


Check = Callable[[DoctorContext], Iterable[Finding]]


def is_installed(module: str) -> bool:
    """Return whether a top-level module could be imported, without doing so."""
    return find_spec(module) is not None


def read_context(params_path: Path) -> DoctorContext:
    """Read the environment and params.yaml; what is wrong with either is kept, not raised."""
    settings, mistakes = _settings()
    return DoctorContext(settings, mistakes, params_path, _params(params_path))


def _params(path: Path) -> Params | ConfigError:
    try:
        return params.load(path)
    except ConfigError as error:
        return error
    except OSError as error:
        return ConfigError(f"{path}: {error.strerror}; make it a file that can be read")


def _settings() -> tuple[Settings, tuple[str, ...]]:
    """Return the settings, those with impossible values at their defaults, and a line for each of these."""
    try:
        return Settings(), ()
    except ValidationError as error:
        wrong = {str(mistake["loc"][0]): mistake["msg"] for mistake in error.errors()}
    lines = tuple(f"{_variable(name)}: {said}" for name, said in wrong.items())  # never the value: it may be secret
    defaults: dict[str, Any] = {name: _default(name) for name in wrong}
    return Settings(**defaults), lines


def _default(name: str) -> str | None:
    """Return the default of a field, called by its name or by a variable, as a variable would say it."""
    called = (info for field, info in Settings.model_fields.items() if name in {field, *_variables(info)})
    return next((str(info.default) for info in called if info.default is not None), None)


def _variables(info: FieldInfo) -> list[str]:
    alias = info.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []


def _variable(name: str) -> str:
    return f"ADLOOM_{name.upper()}" if name in Settings.model_fields else name
