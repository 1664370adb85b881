"""The base class of params.yaml and brand.yaml, and readable validation errors."""

import difflib
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from adloom.config.yaml_reader import load_yaml
from adloom.errors import ConfigError


class ConfigModel(BaseModel):
    """A frozen, strict block of a YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def to_json(self) -> str:
        """Return canonical JSON of the values that differ from the defaults."""
        return json.dumps(self.model_dump(mode="json", by_alias=True, exclude_defaults=True), sort_keys=True)

    def digest(self) -> str:
        """Return the sha256 of the block's JSON."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


Share = Annotated[float, Field(ge=0, le=1)]
AnyModel = TypeVar("AnyModel", bound=ConfigModel)


def load_file(path: Path, kind: type[AnyModel], advice: str) -> AnyModel:
    """Read a YAML file. Raises ConfigError, with the advice if there is no such file."""
    try:
        raw = load_yaml(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; {advice}") from None
    if not isinstance(raw, dict):
        found = "an empty file" if raw is None else type(raw).__name__
        raise ConfigError(f"{path}: expected a mapping, got {found}")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_errors(error, kind)}") from None


def require_match(pattern: str, expected: str) -> AfterValidator:
    """Return a validator of texts that match a whole pattern; its error names what is expected in words."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


def describe_errors(error: ValidationError, root: type[BaseModel]) -> str:
    """Return one sentence per validation error of a `root`."""
    return "; ".join(_describe(mistake, root) for mistake in error.errors())


def _describe(error: Any, root: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "params"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key{_suggest_key(error['loc'], root)}"
    if error["type"] == "missing":
        return f"{where}: required"
    if error["type"] == "bool_type":
        return f"{where}: expected true or false, got {_shorten(error['input'])}"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}, got {_shorten(error['input'])}"


def _suggest_key(location: tuple[str | int, ...], root: type[BaseModel]) -> str:
    known = _keys_at(root, location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known keys: {', '.join(sorted(known))}"


def _keys_at(block: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Return the known keys at a location such as ("ingest", "events")."""
    schema = block.model_json_schema()
    here = schema
    for part in location:
        here = here["items"] if isinstance(part, int) else here.get("properties", {}).get(part, {})
        options = [here, *here.get("anyOf", [])]
        here = next((o for o in options if "$ref" in o or "items" in o), here)
        if "$ref" in here:
            here = schema["$defs"][here["$ref"].rpartition("/")[2]]
    return list(here.get("properties", {}))


def _shorten(value: Any) -> str:
    text = "a mapping" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
