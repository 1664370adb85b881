"""`adloom library`: look at the creative library, review, add and export."""

import getpass
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from adloom.cli.options import AS_JSON, print_json, read_input
from adloom.library.records import ID_PREFIX, Creative, CreativeQuery, Kind, State

if TYPE_CHECKING:
    from adloom.library.export import TableFormat
    from adloom.library.library import Library

KIND = click.option("--kind", type=click.Choice(get_args(Kind)), help="Only this kind.")
STATE = click.option("--state", type=click.Choice(get_args(State)), help="Only this state.")
CATEGORY = click.option("--category", help="Only this category.")
IDS = click.argument("ids", nargs=-1, required=True, metavar="ID…")
BY = click.option("--by", default=getpass.getuser, show_default="the system's user", help="Who decides.")
READER = Path("models/cnn")
SHORT = 12  # digits of an id in tables
WIDEST = 40  # characters of a text in tables


@click.group("library")
def library() -> None:
    """
    Look at the creative library, review, add and export.

    ID may be the first digits of an id.

    Example: adloom library list --state draft
    """


@contextmanager
def _open() -> "Iterator[Library]":
    from adloom.config.settings import Settings
    from adloom.library.location import open_library

    with closing(open_library(Settings())) as opened:
        yield opened


@library.command("list", short_help="List creatives, the newest first.")
@KIND
@STATE
@CATEGORY
@click.option("--placement", metavar="SIZE", help="Only ads of this size, such as 300x250.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@AS_JSON
def list_creatives(limit: int, as_json: bool, **query: Any) -> None:
    """
    List creatives, the newest first.

    Example: adloom library list --kind picture --state approved --category Bag
    """
    with _open() as opened:
        found = opened.find(CreativeQuery(**query), limit)
    if as_json:
        print_json([creative.model_dump(mode="json") for creative in found])
        return
    for creative in found:
        click.echo(_format(creative))
    click.echo(f"{len(found)} creatives" + (", perhaps more; --limit shows them" if len(found) == limit else ""))


@library.command("show", short_help="Show a creative with its chain and reviews.")
@click.argument("creative_id", metavar="ID")
@AS_JSON
def show(creative_id: str, as_json: bool) -> None:
    """
    Show a creative, what it was made from and for, and its reviews.

    Example: adloom library show 9f86d081884c
    """
    with _open() as opened:
        creative = opened.get(opened.resolve(creative_id))
        ancestors = {ancestor.id: ancestor for ancestor in opened.find_ancestors(creative)}
        children = opened.find(CreativeQuery(parent=creative.id))
        history = opened.list_reviews(creative.id)
    if as_json:
        record = creative.model_dump(mode="json")
        chain = {"ancestors": list(ancestors), "children": [child.id for child in children]}
        print_json(record | chain | {"history": [review.model_dump(mode="json") for review in history]})
        return
    for name, value in creative.drop_embeddings().model_dump(mode="json").items():
        if value not in (None, [], {}):
            click.echo(f"{name:12} {value}")
    click.echo("\nmade from")
    for line in _draw_tree(creative, ancestors) or ["  nothing else"]:
        click.echo(line)
    for title, lines in {"parent of": map(_format, children), "reviews": map(str, _list_reviews(history))}.items():
        click.echo("\n".join(["", title, *(f"  {line}" for line in lines)]))


@library.command("approve", short_help="Approve creatives.")
@IDS
@click.option("--reason", help="Why; required to approve what was rejected.")
@BY
@click.option(
    "--encoder",
    metavar="URI",
    help="Sentence encoder, such as all-minilm-l6-v2, so that policies score the texts of ads; default: that one if it "
    "was downloaded.",
)
def approve(ids: tuple[str, ...], reason: str | None, by: str, encoder: str | None) -> None:
    """
    Approve creatives: decisions, exports and trainings may use them.

    Example: adloom library approve 9f86d081884c
    """
    _encode_texts(ids, encoder)
    _review(ids, "approved", by, reason)


@library.command("reject", short_help="Reject creatives.")
@IDS
@click.option("--reason", required=True, help="Why.")
@BY
def reject(ids: tuple[str, ...], reason: str, by: str) -> None:
    """
    Reject creatives: decisions never show them, and their seed never draws them again.

    Example: adloom library reject 9f86d081884c --reason "the bag has two handles"
    """
    _review(ids, "rejected", by, reason)


@library.command("add", short_help="Add pictures, ads or text files of lines.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--kind", type=click.Choice(get_args(Kind)), default="picture", show_default=True, help="What they are.")
@click.option("--category", help="Their category.")
@click.option("--placement", metavar="SIZE", help="The size of an ad, such as 300x250; its own by default.")
@click.option(
    "--reader",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a picture reader, which gives embeddings and missing categories; default: models/cnn.",
)
def add(files: tuple[Path, ...], kind: str, category: str | None, placement: str | None, reader: Path | None) -> None:
    """
    Add your own creatives as drafts; a text file has a line of copy per line.

    Example: adloom library add --category Bag bag.png
    """
    _check_names(category, placement)
    described = _describe_files(files, kind, category, placement)
    if kind != "line" and (reader or READER.is_dir()):
        described = _read(described, reader)
    with _open() as opened:
        for creative, content in described:
            stored = opened.add(creative, content)
            click.echo(_format(stored))
            if (stored.kind, stored.category) != (creative.kind, creative.category or stored.category):
                click.echo(f"{_shorten(stored.id)}: in the library already, its kind and category stay", err=True)


@library.command("export", short_help="Write creatives and tables of them into a folder.")
@click.argument("folder", type=Path)
@KIND
@click.option("--state", type=click.Choice(get_args(State)), default="approved", show_default=True, help="Their state.")
@CATEGORY
@click.option(
    "--format",
    "table_format",
    type=click.Choice(["csv", "jsonl"]),
    default="csv",
    show_default=True,
    help="Tables for spreadsheets, or with exact texts for programs.",
)
def export(folder: Path, table_format: "TableFormat", **query: Any) -> None:
    """
    Write pictures and ads with the table `creatives`, and lines as the table `copy`; `ingest` reads both.

    Example: adloom library export approved --category Bag
    """
    from adloom.library.export import export

    with _open() as opened:
        found = opened.find(CreativeQuery(**query), limit=None)
        export(opened, found, folder, table_format)
    click.echo(f"{folder}: {len(found)} creatives")


@library.command("migrate", short_help="Bring the database to the schema of this version.")
def migrate() -> None:
    """
    Bring the database to the schema of this version, as a user that may create tables.

    Other commands and the services do so too if they may.

    Example: adloom library migrate
    """
    with _open() as opened:
        click.echo(f"{opened.database.name}: schema {opened.database.read_version()}")


def _review(ids: Sequence[str], state: str, by: str, reason: str | None) -> None:
    with _open() as opened:
        for creative_id in [opened.resolve(text) for text in ids]:
            click.echo(_format(opened.review(creative_id, state, by, reason)))


def _encode_texts(ids: Sequence[str], uri: str | None) -> None:
    """Store the embeddings of the texts of ads and lines. Does nothing without an encoder."""
    from adloom.config.settings import Settings
    from adloom.context import build_context
    from adloom.library.features import round_embedding
    from adloom.stages.pretrained import ENCODER
    from adloom.stages.text_embeddings import embed_texts

    settings = Settings()
    if uri is None and not (settings.home / "downloads" / ENCODER).is_dir():
        return
    context = build_context(settings, "adloom")
    with _open() as opened:
        said = [c for c in (opened.get(opened.resolve(text)) for text in ids) if c.kind != "picture" and c.text]
        embeddings, digest = embed_texts([c.text or "" for c in said], uri or ENCODER, context) if said else ([], "")
        for creative, embedding in zip(said, embeddings, strict=True):
            if embedding is not None:
                features = {"text_embedding": round_embedding(embedding), "text_encoder": digest}
                opened.add_features(creative.id, features)


def _check_names(category: str | None, placement: str | None) -> None:
    """Raise ConfigError for a category or a size that no request can name."""
    from adloom.data.context import MAX_ID_LENGTH
    from adloom.errors import ConfigError

    if category is not None and not 0 < len(category) <= MAX_ID_LENGTH:
        raise ConfigError(f"--category: {len(category)} characters, expected 1 to {MAX_ID_LENGTH}")
    if placement is not None and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", placement):
        raise ConfigError(f"--placement {placement[:40]!r}: expected width and height in pixels, such as 300x250")


def _read(described: Iterator[tuple[Creative, bytes]], folder: Path | None) -> Iterator[tuple[Creative, bytes]]:
    """Yield pictures with what a reader sees in them. Raises DataError for a folder without a reader."""
    from adloom.errors import DataError
    from adloom.serving.library.readings import add_readings
    from adloom.serving.models import loader
    from adloom.serving.models.sources import ModelArtifact

    models = loader.open_models({"cnn": ModelArtifact(folder or READER, None)}, threads=1)
    if reason := models.absent.get("cnn"):
        if folder:
            raise DataError(f"--reader {folder}: {reason}")
        click.echo(f"pictures get no embedding: {reason}", err=True)
    for creative, content in described:
        (read,) = add_readings([creative], [content], models.loaded.get("cnn"))
        yield read, content


def _describe_files(
    files: Sequence[Path], kind: str, category: str | None, placement: str | None
) -> Iterator[tuple[Creative, bytes]]:
    """Yield the records and contents of files. Raises DataError, with the path, for an unusable one."""
    from pydantic import ValidationError

    from adloom.errors import DataError
    from adloom.library.features import describe_line, describe_picture

    for path in files:
        content = read_input(path)
        try:
            if kind == "line":
                lines = list(filter(None, map(str.strip, content.decode("utf-8-sig").splitlines())))
                if not lines:
                    raise DataError("no text; expected a line of copy per line")
                yield from ((describe_line(line, category=category), line.encode()) for line in lines)
            else:
                creative = describe_picture(content, "ad" if kind == "ad" else "picture", category=category)
                size = placement or f"{creative.width}x{creative.height}"
                yield creative.model_copy(update={"placement": size} if kind == "ad" else {}), content
        except UnicodeDecodeError:
            raise DataError(f"{path}: not text in UTF-8; expected a line of copy per line") from None
        except ValidationError as error:
            raise DataError(f"{path}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


def _format(creative: Creative) -> str:
    size = f"{creative.width}x{creative.height}" if creative.width else ""
    what = f"{size} {creative.text or ''}".strip()
    text = what if len(what) <= WIDEST else f"{what[: WIDEST - 1]}…"
    start = f"{_shorten(creative.id)}  {creative.kind:7}  {creative.state:8}"
    return f"{start}  {creative.category or '-':16}  {text}".rstrip()


def _shorten(creative_id: str) -> str:
    return creative_id.removeprefix(ID_PREFIX)[:SHORT]


def _draw_tree(creative: Creative, ancestors: dict[str, Creative], depth: int = 1) -> list[str]:
    """Return a line per parent, indented below what was made from it."""
    lines = []
    for parent in creative.parents:
        known = ancestors.get(parent)
        origin = f" ({known.model.name}, seed {known.seed})" if known and known.model else ""
        lines.append("  " * depth + (_format(known) + origin if known else f"{_shorten(parent)}  not in the library"))
        lines += _draw_tree(known, ancestors, depth + 1) if known else []
    return lines


def _list_reviews(history: Sequence[Any]) -> Iterator[str]:
    for review in history:
        yield f"{review.time:%Y-%m-%d %H:%M} {review.before} → {review.state} by {review.actor}: {review.reason or '-'}"
