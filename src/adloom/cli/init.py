"""`adloom init` and `adloom params`: a new project, and its parameters with every default."""

from pathlib import Path

import click

from adloom.cli.options import PARAMS, print_json


@click.command("init")
@click.argument("folder", type=Path)
@click.option("--preset", metavar="NAME", help="Change the parameters for a purpose, such as classic_dcgan.")
def init(folder: Path, preset: str | None) -> None:
    """
    Write params.yaml, dvc.yaml and the compiled pipelines into a new folder, which names the project.

    Example: adloom init my-shop && cd my-shop && adloom run
    """
    from adloom.datasets.project import init_project

    for path in init_project(folder, preset):
        click.echo(path)


@click.command("params")
@PARAMS
@click.option("--schema", is_flag=True, help="Print the JSON Schema of params.yaml, with a sentence per key.")
def params(params_path: Path, schema: bool) -> None:
    """
    Check params.yaml and print it with every default filled in.

    Example: adloom params --schema
    """
    from adloom.config.params import Params, load

    print_json(Params.model_json_schema() if schema else load(params_path).model_dump(mode="json", by_alias=True))
