"""`adloom serve` and `adloom token`: the HTTP service and the tokens of its clients."""

from pathlib import Path

import click

from adloom.cli.options import HOST, PARAMS, PORT


@click.command("serve")
@PARAMS
@click.option(
    "--app",
    type=click.Choice(["all", "decide", "creatives"]),
    default="all",
    show_default=True,
    help="Endpoints: decisions and segments (decide), pictures and copy (creatives), or all in one process.",
)
@click.option("--models", type=Path, metavar="FOLDER", help="Serve these artifacts, not the registry's champions.")
@click.option("--follow", type=click.Choice(["champion"]), help="Serve each new champion without a restart.")
@click.option("--pin", "pins", multiple=True, metavar="MODEL=VERSION", help="Serve this version, not the champion.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that serve.")
@HOST
@PORT
def serve(
    params_path: Path,
    app: str,
    models: Path | None,
    follow: str | None,
    pins: tuple[str, ...],
    workers: int,
    host: str,
    port: int,
) -> None:
    """
    Serve the registry's champions, or the models of a folder, over HTTP.

    Clients need a token from the file that ADLOOM_TOKENS_FILE names; `adloom token` makes tokens. ADLOOM_AUTH=off
    serves every client without a token.

    Example: adloom serve --app decide --follow champion --pin audience=3
    """
    from adloom.serving import server

    if models and (follow or pins):
        raise click.UsageError("--models: cannot be combined with --follow or --pin, which need the registry")
    versions = dict(map(_parse_pin, pins))
    server.serve(server.ServeOptions(app, params_path, models, follow is not None, versions, workers), host, port)


def _parse_pin(text: str) -> tuple[str, int]:
    model, _, version = text.partition("=")
    if not version.isdecimal() or int(version) < 1:
        raise click.UsageError(f"--pin {text}: expected MODEL=VERSION, such as policy=3")
    return model, int(version)


@click.command("token")
@click.argument("name")
@click.option(
    "--scopes",
    default="decide,feedback",
    show_default=True,
    help="Its scopes: decide, feedback, studio, trigger, admin.",
)
@click.option("--rate", type=click.IntRange(1), help="Requests per second; no limit if not set.")
@click.option(
    "--file", "path", type=Path, default=Path("tokens"), show_default=True, help="Tokens file; it stores a hash."
)
def token(name: str, scopes: str, rate: int | None, path: Path) -> None:
    """
    Print a new token for clients of `adloom serve` or `adloom trigger-server`, and add its hash to the tokens file.

    Example: adloom token bidder --scopes decide,feedback --rate 2000 --file tokens
    """
    from adloom.serving.api import auth

    click.echo(auth.add_token(path, name, scopes.split(","), rate))
