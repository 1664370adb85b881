"""`adloom init`: what a new project needs, written into a folder."""

from importlib.resources import files
from pathlib import Path

from adloom.errors import UserError

IGNORED = ["/data/", "/models/", "/reports/", "/.adloom/", "/mlflow.db*", "/mlartifacts/"]


def init(folder: Path) -> list[Path]:
    """Write params.yaml, dvc.yaml and .gitignore into a folder. Raises UserError rather than overwrite."""
    starter = files("adloom") / "starter"
    texts = {name: (starter / name).read_text(encoding="utf-8") for name in ("params.yaml", "dvc.yaml")}
    texts[".gitignore"] = "".join(f"{line}\n" for line in IGNORED)
    taken = [name for name in texts if (folder / name).exists()]
    if taken:
        raise UserError(f"{folder}: has {', '.join(taken)} already; name an empty folder, or edit what is there")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
