"""Creation of a new project by `adloom init`."""

import hashlib
import io
import re
import unicodedata
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from adloom.config.resources import COMPILED_FOLDER
from adloom.errors import UserError

AT_TOP = {"brand.yaml", "params.yaml", "dvc.yaml"}  # the other files are compiled pipelines
MAX_NAME = 40  # characters, as Params.project demands
YAML_WORDS = {"true", "false", "null"}
IGNORED = [
    *("/data/", "/models/", "/reports/", "/.adloom/", "/mlflow.db*", "/mlartifacts/"),
    *("/.dvc/cache/", "/.dvc/tmp/", "/.dvc/config.local"),  # rows of users, and possibly keys of a remote
]


def init_project(folder: Path, preset: str | None = None) -> list[Path]:
    """
    Write params.yaml, dvc.yaml, brand.yaml, the pipelines and .gitignore; the project has the folder's name.

    A preset changes some parameters. Raises UserError if it is unknown, or if one of the files exists.
    """
    starter = files("adloom") / "starter"
    sources = {
        name if name in AT_TOP else f"{COMPILED_FOLDER}/{name}": starter / name
        for name in sorted(path.name for path in starter.iterdir() if path.name.endswith(".yaml"))
    }
    texts = {name: source.read_text(encoding="utf-8") for name, source in sources.items()}
    name = project_name(folder.resolve().name)
    texts["params.yaml"] = re.sub("^project: .*$", f"project: {name}", texts["params.yaml"], flags=re.MULTILINE)
    texts["brand.yaml"] = texts["brand.yaml"].replace("My shop", name, 1)
    if preset is not None:
        texts["params.yaml"] = apply_overlay(texts["params.yaml"], _read_preset(preset))
    texts[".gitignore"] = "".join(f"{line}\n" for line in IGNORED)
    existing = [name for name in texts if (folder / name).exists()]
    if existing:
        raise UserError(f"{folder}: has {', '.join(existing)} already; name an empty folder, or edit what is there")
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def list_presets() -> dict[str, Traversable]:
    """Return the files of all presets by name."""
    presets = (files("adloom") / "starter" / "presets").iterdir()
    return {path.name.removesuffix(".yaml"): path for path in sorted(presets, key=lambda path: path.name)}


def apply_overlay(text: str, overlay: str) -> str:
    """Return params.yaml with an overlay: mappings are merged, other values replaced, comments and order kept."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # no line is broken
    yaml.indent(mapping=2, sequence=4, offset=2)
    merged, stream = yaml.load(text), io.StringIO()
    _merge(merged, yaml.load(overlay))
    yaml.dump(merged, stream)
    return stream.getvalue()


def project_name(folder_name: str) -> str:
    """Return a valid project name that is as close to a folder's name as possible."""
    ascii_name = unicodedata.normalize("NFKD", folder_name).encode("ascii", "ignore").decode().lower()
    slug = re.sub("[^a-z0-9]+", "-", ascii_name).strip("-")
    if not slug[:1].isalpha() or slug in YAML_WORDS:
        slug = f"project-{slug or hashlib.sha256(folder_name.encode()).hexdigest()[:8]}"
    return slug[:MAX_NAME].rstrip("-")


def _read_preset(name: str) -> str:
    presets = list_presets()
    if name not in presets:
        raise UserError(f"--preset {name}: no such preset; expected one of {', '.join(presets)}")
    return presets[name].read_text(encoding="utf-8")


def _merge(target: CommentedMap, overlay: dict[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        elif key in target:
            target[key] = value
        else:
            target.insert(max(len(target) - 1, 0), key, value)  # blank lines follow the last key
