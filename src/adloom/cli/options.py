"""Options and output that several commands share."""

import json
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from adloom.config.params import Params
    from adloom.context import StageContext

PARAMS = click.option(
    "--params",
    "params_path",
    type=Path,
    default=Path("params.yaml"),
    show_default=True,
    help="Parameters; relative paths in the file start at the working folder.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
HOST = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
PORT = click.option(
    "--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="0 takes a free port."
)
MAX_BYTES = 2**29  # of a file that a command reads whole


class FiniteRange(click.FloatRange):
    """A range of numbers; click's own has nan in every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number. Raises BadParameter."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path] = ()) -> None:
    """Raise ConfigError before anything is computed that could not be written, or would replace an input."""
    from adloom.errors import ConfigError

    known = {path.resolve() for path in inputs}
    for out in filter(None, outputs):
        if out.is_dir():
            raise ConfigError(f"{out}: a folder; expected the name of a file")
        if not out.parent.is_dir():
            raise ConfigError(f"{out}: no folder {out.parent}; make it first")
        if out.resolve() in known:
            raise ConfigError(f"{out}: named twice; give each result a name of its own")
        known.add(out.resolve())


def read_input(path: Path) -> bytes:
    """Return the content of a file of at most MAX_BYTES. Raises DataError, and OSError with its path."""
    from adloom.errors import DataError

    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a file")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: {path.stat().st_size} bytes, expected at most {MAX_BYTES}")
    return path.read_bytes()


def name_sidecar(path: Path) -> Path:
    """Return the file of the signed origin of a file."""
    return path.with_name(f"{path.name}.sidecar.json")


def write_output(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises OSError with its path."""
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():  # a device or pipe
            target.write_bytes(content)
            return
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            partial = Path(scratch) / target.name
            partial.write_bytes(content)
            partial.replace(target)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def load_context(params_path: Path) -> "tuple[Params, StageContext]":
    """Return the parameters and the context that the environment describes."""
    from adloom.config import params
    from adloom.config.settings import Settings
    from adloom.context import build_context

    loaded = params.load(params_path)
    return loaded, build_context(Settings(), loaded.project)


def load_working_context(params_path: Path) -> "tuple[Params, StageContext]":
    """Return `load_context`. Raises ConfigError unless the stages that DVC starts read the same file."""
    from adloom.errors import ConfigError

    if params_path.resolve() != Path("params.yaml").resolve():
        raise ConfigError(
            f"--params {params_path}: the stages read params.yaml of the working folder {Path.cwd()}; "
            f"run the command in the folder of that file, {params_path.resolve().parent}"
        )
    return load_context(params_path)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=1, default=str))


def print_values(values: dict[str, Any], as_json: bool) -> None:
    """Print values by name, one per line or as JSON."""
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        click.echo(f"{name:36} {value:.4g}" if isinstance(value, float) else f"{name:36} {value}")
