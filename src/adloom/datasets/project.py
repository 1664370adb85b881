"""Creation of a new project by `adloom init`."""

import hashlib
import re
import unicodedata
from importlib.resources import files
from pathlib import Path

from adloom.config.resources import COMPILED_FOLDER
from adloom.errors import UserError

AT_TOP = {"params.yaml", "dvc.yaml"}  # the other files are compiled pipelines
MAX_NAME = 40  # characters, as Params.project demands
YAML_WORDS = {"true", "false", "null"}
IGNORED = [
    *("/data/", "/models/", "/reports/", "/.adloom/", "/mlflow.db*", "/mlartifacts/"),
    *("/.dvc/cache/", "/.dvc/tmp/", "/.dvc/config.local"),  # rows of users, and possibly keys of a remote
]


def init_project(folder: Path) -> list[Path]:
    """
    Write params.yaml, dvc.yaml, the pipelines and .gitignore; the project has the folder's name.

    Raises UserError if one of them exists.
    """
    starter = files("adloom") / "starter"
    sources = {
        name if name in AT_TOP else f"{COMPILED_FOLDER}/{name}": starter / name
        for name in sorted(path.name for path in starter.iterdir() if path.name.endswith(".yaml"))
    }
    texts = {name: source.read_text(encoding="utf-8") for name, source in sources.items()}
    name = project_name(folder.resolve().name)
    texts["params.yaml"] = re.sub("^project: .*$", f"project: {name}", texts["params.yaml"], flags=re.MULTILINE)
    texts[".gitignore"] = "".join(f"{line}\n" for line in IGNORED)
    existing = [name for name in texts if (folder / name).exists()]
    if existing:
        raise UserError(f"{folder}: has {', '.join(existing)} already; name an empty folder, or edit what is there")
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def project_name(folder_name: str) -> str:
    """Return a valid project name that is as close to a folder's name as possible."""
    ascii_name = unicodedata.normalize("NFKD", folder_name).encode("ascii", "ignore").decode().lower()
    slug = re.sub("[^a-z0-9]+", "-", ascii_name).strip("-")
    if not slug[:1].isalpha() or slug in YAML_WORDS:
        slug = f"project-{slug or hashlib.sha256(folder_name.encode()).hexdigest()[:8]}"
    return slug[:MAX_NAME].rstrip("-")
