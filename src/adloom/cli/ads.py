"""`adloom ads`: ads made of the models' pictures and lines, or of an own picture and text."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adloom.cli.options import PARAMS, load_context, read_input
from adloom.config.brand import BRAND

if TYPE_CHECKING:
    from adloom.ads.brand import Brand
    from adloom.ads.rendering import ImageFormat
    from adloom.serving.creatives.ad_variants import CreativeBrief, PictureSource
    from adloom.serving.models.loader import Models
    from adloom.serving.models.sources import Sources

FOLDER = Path("models")
MODELS = ("gan", "cnn", "lstm", "policy", "audience")  # the policy is opened as a pair with its audience
SIZES = click.option(
    "--sizes", default="iab", show_default=True, help="Ad sizes: iab, social, all, or a list such as 300x250,728x90."
)
OUT = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("ads"), show_default=True,
    help="Folder of the ads, ads.json and the contact sheet index.html.",
)  # fmt: skip
KIT = click.option("--brand", type=Path, help="Brand kit; default: ADLOOM_BRAND, or brand.yaml.")
SAVE = click.option("--save", is_flag=True, help="Also put the ads into the library, as drafts.")
FORMAT = click.option(
    "--format",
    "image_format",
    type=click.Choice(["png", "webp"]),
    default="png",
    show_default=True,
    help="Format of the ads.",
)
PROCESSES = click.option(
    "--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes that render."
)


@click.group("ads")
def ads() -> None:
    """
    Make ads in common sizes, as layered SVG and PNG.

    Example: adloom ads make --category Bag --n 20 --sizes iab
    """


@ads.command("make")
@click.option("--category", required=True, help="Category of pictures and lines.")
@click.option("--n", type=click.IntRange(1, 500), default=20, show_default=True, help="How many variants.")
@SIZES
@click.option("--headline", help="Text of all variants; default: lines that the copywriter writes.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Equal seeds give equal ads."
)
@click.option("--models", type=Path, help="Folder of models; default: models, else the registry's champions.")
@PARAMS
@KIT
@OUT
@FORMAT
@SAVE
@PROCESSES
def make(
    category: str,
    n: int,
    sizes: str,
    headline: str | None,
    seed: int,
    models: Path | None,
    params_path: Path,
    brand: Path | None,
    out: Path,
    image_format: "ImageFormat",
    save: bool,
    processes: int,
) -> None:
    """
    Draw pictures and write lines, combine them into ads, and choose the most promising and varied ones.

    Example: adloom ads make --category Bag --n 20 --sizes iab --out ads
    """
    from adloom.ads.placements import parse_sizes
    from adloom.serving.creatives.ad_variants import CreativeBrief
    from adloom.serving.models import loader

    brief = CreativeBrief(
        n, parse_sizes(sizes), seed, category, None, _require_line(headline) if headline is not None else None
    )
    loaded = loader.load(_find_models(models, params_path), processes)
    _export(replace(brief, format=image_format), loaded, _load_brand(brand), out, save, processes)


@ads.command("compose")
@click.argument("picture", type=click.Path(path_type=Path))
@click.argument("headline")
@SIZES
@click.option("--category", help="Category, for the disclaimers that it needs.")
@click.option("--n", type=click.IntRange(1, 9), default=3, show_default=True, help="How many designs.")
@KIT
@OUT
@FORMAT
@SAVE
@PROCESSES
def compose(
    picture: Path,
    headline: str,
    sizes: str,
    category: str | None,
    n: int,
    brand: Path | None,
    out: Path,
    image_format: "ImageFormat",
    save: bool,
    processes: int,
) -> None:
    """
    Compose ads of the picture PICTURE and the text HEADLINE.

    Example: adloom ads compose bag.jpg "Made to be worn every day" --sizes social
    """
    from adloom.ads.placements import parse_sizes
    from adloom.serving.creatives.ad_variants import CreativeBrief
    from adloom.serving.models.loader import Models

    brief = CreativeBrief(n, parse_sizes(sizes), 0, category, _read(picture), _require_line(headline))
    _export(replace(brief, format=image_format), Models({}, {}), _load_brand(brand), out, save, processes)


def _find_models(folder: Path | None, params_path: Path) -> "Sources":
    """Find the models of a folder, else the registry's champions."""
    from adloom.config.settings import Settings
    from adloom.serving.models import bundle_cache, sources

    if folder or FOLDER.is_dir():
        return sources.find_in_folder(folder or FOLDER, MODELS)
    _, context = load_context(params_path)
    return sources.find_champions(context.registry, bundle_cache.open_cache(Settings()), MODELS)


def _read(picture: Path) -> "PictureSource":
    from adloom.data.picture_files import PictureError
    from adloom.data.pictures import describe_error
    from adloom.errors import DataError
    from adloom.serving.api.schemas import MAX_PICTURE_PIXELS
    from adloom.serving.creatives.ad_variants import read_picture

    try:
        return read_picture(read_input(picture))
    except PictureError as error:
        raise DataError(f"{picture}: {describe_error(error, MAX_PICTURE_PIXELS)}") from None


def _load_brand(path: Path | None) -> "Brand":
    from adloom.ads.brand import load_brand
    from adloom.config.settings import Settings

    return load_brand(path or Settings().brand or BRAND)


def _require_line(headline: str) -> str:
    import re

    from adloom.config.brand import LINE
    from adloom.errors import ConfigError

    if not re.fullmatch(LINE, headline):
        raise ConfigError(f"headline: expected a line of text without control characters, got {headline[:60]!r}")
    return headline


def _clear(out: Path) -> None:
    """Create the folder, or remove the files of an earlier command, which the new contact sheet would not describe."""
    from adloom.ads.placements import PLACEMENTS

    out.mkdir(parents=True, exist_ok=True)
    names = [f"[0-9][0-9][0-9]-{size}.{suffix}" for size in PLACEMENTS for suffix in ("png", "webp", "svg")]
    for path in [path for name in ("index.html", "ads.json", *names) for path in out.glob(name)]:
        path.unlink()


def _export(brief: "CreativeBrief", models: "Models", brand: "Brand", out: Path, save: bool, processes: int) -> None:
    """Write the ads that keep all rules, and show the reasons of the others."""
    from adloom.ads.contact_sheet import ContactSheet, SheetItem
    from adloom.config.settings import Settings
    from adloom.errors import DataError
    from adloom.library.location import has_library, open_library
    from adloom.serving.api.problems import Problem
    from adloom.serving.creatives.ad_variants import plan_variants
    from adloom.serving.creatives.ads import finish_ads, save_ad, trace_picture
    from adloom.serving.creatives.issuer import open_issuer

    settings = Settings()
    issuer, library = open_issuer(settings), open_library(settings) if save or has_library(settings) else None
    if brief.picture:
        brief = replace(brief, picture=trace_picture(brief.picture, issuer))
    try:
        plan = plan_variants(brief, models, brand.kit, library.list_rejected_draws() if library else {})
    except Problem as problem:
        raise DataError(problem.detail) from None
    _clear(out)
    sheet = ContactSheet(brand.kit.name, "; ".join(plan.basis))
    for finished in finish_ads(brief, plan, brand, issuer, processes):
        saved = save_ad(finished, plan, library) if library and save else None
        name = f"{finished.number:03}-{finished.ad.request.placement.name}"
        identity = saved.id if saved else None
        sheet.items.append(
            SheetItem(finished.number, name, finished.ad, finished.file, finished.variant.reward, identity)
        )
        if not finished.ad.findings:
            (out / f"{name}.{brief.format}").write_bytes(finished.file)
            (out / f"{name}.svg").write_text(finished.ad.svg, encoding="utf-8")
    (out / "index.html").write_text(sheet.to_html(), encoding="utf-8")
    (out / "ads.json").write_text(sheet.to_json(), encoding="utf-8")
    for reason in sheet.list_reasons():
        click.echo(reason, err=True)
    click.echo(f"{out}: {sheet.exported} of {len(sheet.items)} ads keep all rules; order: {sheet.basis}")
    if not sheet.exported:
        sys.exit(1)
