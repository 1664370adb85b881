"""`adloom verify`: where pictures and lines come from, and whether they were changed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adloom.cli.options import AS_JSON, name_sidecar, print_json, read_input
from adloom.config.settings import Settings

if TYPE_CHECKING:
    from adloom.credentials.records import Sidecar
    from adloom.serving.api.credentials_schemas import VerifyAnswer
    from adloom.serving.creatives.issuer import Issuer


MIDI = b"MThd"  # a MIDI file begins with it


@click.command("verify")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option(
    "--sidecar",
    type=click.Path(path_type=Path),
    help="Sidecar of FILE, a text with a line of copy or a MIDI file; that of a MIDI file is found next to it.",
)
@AS_JSON
def verify(files: tuple[Path, ...], sidecar: Path | None, as_json: bool) -> None:
    """
    Say where pictures (PNG, JPEG, WebP), lines and MIDI files come from, and whether they were changed; offline.

    The exit code is 0 if every file is whole, and ours or by a trusted signer; else 1.

    Example: adloom verify bag.png shoe.webp
    """
    from adloom.serving.creatives.issuer import find_issuer

    if sidecar and len(files) > 1:
        raise click.UsageError("--sidecar: belongs to one FILE")
    issuer = find_issuer(Settings())
    answers = {str(path): _verify(path, sidecar, issuer) for path in files}
    if as_json:
        print_json([{"file": name, **answer.model_dump(mode="json")} for name, answer in answers.items()])
    else:
        for name, answer in answers.items():
            click.echo(f"{name}: {_summarize(answer)}")
    sys.exit(0 if all(each.state == "whole" and (each.ours or each.trusted_by) for each in answers.values()) else 1)


def _verify(path: Path, sidecar: Path | None, issuer: "Issuer") -> "VerifyAnswer":
    """Verify one file. Raises DataError when it cannot be used."""
    from adloom.credentials.perceptual_index import MAX_PIXELS
    from adloom.data.picture_files import PictureError
    from adloom.data.pictures import describe_error
    from adloom.errors import DataError
    from adloom.serving.creatives.verify import describe

    content = read_input(path)
    if content.startswith(MIDI):
        default = name_sidecar(path)
        known = _read_sidecar(sidecar or default) if sidecar or default.exists() else None
        return describe(issuer.verify_content(content, known), None)
    if sidecar:
        return describe(issuer.verify_content(_strip_line(path, content), _read_sidecar(sidecar)), None)
    try:
        return describe(*issuer.verify_picture(content))
    except PictureError as error:
        raise DataError(f"{path}: {describe_error(error, MAX_PIXELS)}") from None


def _strip_line(path: Path, content: bytes) -> bytes:
    """Return a line of copy without its line break. Raises DataError."""
    from adloom.errors import DataError

    try:
        return content.decode().rstrip("\r\n").encode()
    except UnicodeDecodeError:
        raise DataError(f"{path}: not text (UTF-8); expected a line of copy") from None


def _read_sidecar(path: Path) -> "Sidecar":
    from pydantic import ValidationError

    from adloom.credentials.records import Sidecar
    from adloom.errors import DataError

    try:
        return Sidecar.model_validate_json(read_input(path))
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise DataError(f"{path}: not a sidecar: {reason}; expected the `sidecar` that was answered with it") from None


def _summarize(answer: "VerifyAnswer") -> str:
    """Return the answer in one line."""
    parts = [f"{answer.state} ({', '.join(answer.changed)})" if answer.changed else answer.state]
    if answer.signed_by is not None:
        trust = f"trusted by {answer.trusted_by}" if answer.trusted_by else "trusted by nobody"
        parts.append(f"signed by {answer.signed_by}{', ours' if answer.ours else ', not ours'}, {trust}")
    if answer.match:
        parts.append(f"shows {answer.match.id} ({answer.match.kind}, certainty {answer.match.certainty:.4f})")
    if origin := answer.origin or (answer.match.origin if answer.match else None):
        facts = {"model": origin.model, "version": origin.version, "seed": origin.seed, "number": origin.number}
        known = {**facts, **origin.facts}.items()
        parts.append(", ".join(f"{name} {value}" for name, value in known if value is not None))
    if answer.ingredients:
        parts.append(f"made from {', '.join(ingredient.title for ingredient in answer.ingredients)}")
    return "".join(character if character.isprintable() else "?" for character in "; ".join(parts))
