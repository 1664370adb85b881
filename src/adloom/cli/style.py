"""`adloom stylize` and `adloom dream`: pictures made from pictures."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adloom.cli.options import FiniteRange, check_outputs, read_input, write_output
from adloom.config.params import PRETRAINED
from adloom.config.settings import Settings

if TYPE_CHECKING:
    from adloom.arrays import Float32Array, UInt8Array
    from adloom.creatives.efficientnet import EfficientNetLite0
    from adloom.creatives.style_losses_net import StyleFeatures
    from adloom.credentials.origin import Origin

MAX_PIXELS = 89_478_485  # of a file's header, as prepare.max_pixels allows at most
SIZE = click.option(
    "--size",
    type=click.IntRange(32, 1024),
    default=256,
    show_default=True,
    help="Longest edge of the result in pixels.",
)
SEED = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=7, show_default=True, help="Equal seeds give equal pictures."
)
FEATURES = click.option(
    "--features", default=PRETRAINED, show_default=True, help="Network: the catalogue's name, or a path of its file."
)
THREADS = click.option(
    "--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="CPU threads; the bytes depend on it."
)
READER = Path("models/cnn")
PICTURE = click.Path(path_type=Path)


@click.command("stylize")
@click.argument("content", type=PICTURE)
@click.argument("style", type=PICTURE)
@click.argument("out", type=PICTURE)
@click.option(
    "--strength",
    type=FiniteRange(0, 1),
    default=1.0,
    show_default=True,
    help="0 keeps the content, 1 takes the whole style.",
)
@click.option("--steps", type=click.IntRange(1, 1000), default=150, show_default=True, help="Steps of the optimiser.")
@SIZE
@SEED
@THREADS
@click.option(
    "--features",
    default=PRETRAINED,
    show_default=True,
    help="Network: the catalogue's name, a path of its file, or a folder of a reader, such as models/cnn.",
)
def stylize(
    content: Path,
    style: Path,
    out: Path,
    strength: float,
    steps: int,
    size: int,
    seed: int,
    threads: int,
    features: str,
) -> None:
    """
    Paint the picture CONTENT with the colours and strokes of the picture STYLE, and write OUT, a PNG.

    Example: adloom stylize bag.png painting.jpg bag-painted.png --strength 0.7
    """
    import torch

    from adloom.creatives.gram_transfer_net import transfer_style

    _check_target(out, content, style)
    torch.set_num_threads(threads)
    picture, model = (torch.from_numpy(_to_floats(_read(path, size)))[None] for path in (content, style))
    layers, name = _load_features(features)
    with _open_bar("stylize", steps) as bar:
        painted = transfer_style(picture, model, layers, strength=strength, steps=steps, seed=seed, advance=bar.update)
    origin = _describe(name, seed, strength=strength, steps=steps)
    _write(out, painted[0].numpy(), origin, {"content": content, "style": style})
    click.echo(f"{out}: painted with the features of {name}")


@click.command("dream")
@click.argument("image", type=PICTURE)
@click.argument("out", type=PICTURE)
@click.option(
    "--layer", type=click.IntRange(0, 15), default=7, show_default=True, help="Block: 0 to 3 lines, 9 to 15 animals."
)
@click.option(
    "--octaves",
    type=click.IntRange(1, 8),
    default=4,
    show_default=True,
    help="Sizes to dream in, each 1.4 times the last.",
)
@click.option("--steps", type=click.IntRange(1, 100), default=10, show_default=True, help="Steps per octave.")
@SIZE
@SEED
@THREADS
@FEATURES
def dream(
    image: Path, out: Path, layer: int, octaves: int, steps: int, size: int, seed: int, threads: int, features: str
) -> None:
    """
    Paint into the picture IMAGE what a layer of the network sees in it, and write OUT, a PNG.

    Example: adloom dream bag.png bag-dreamt.png --layer 10
    """
    import torch

    from adloom.creatives import dream as dreams

    _check_target(out, image)
    torch.set_num_threads(threads)
    picture = _to_floats(_read(image, size))
    gradient = _build_gradient(_load_network(features), layer)
    with _open_bar("dream", steps * len(dreams.list_octaves(picture.shape[1:], octaves))) as bar:
        dreamt = dreams.dream(picture, gradient, octaves=octaves, steps=steps, seed=seed, advance=bar.update)
    origin = _describe(PRETRAINED, seed, layer=layer, octaves=octaves, steps=steps)
    _write(out, dreamt, origin, {"picture": image})


def _build_gradient(net: "EfficientNetLite0", layer: int) -> "Callable[[Float32Array], Float32Array]":
    import torch

    from adloom.creatives.dream_net import DreamGradient

    module, weights = DreamGradient(net, layer + 1), torch.eye(layer + 1)[layer]

    def gradient(picture: "Float32Array") -> "Float32Array":
        with torch.no_grad():
            return module(torch.from_numpy(picture), weights).numpy()  # type: ignore[no-any-return]

    return gradient


def _load_features(uri: str) -> "tuple[StyleFeatures, str]":
    """Return the layers of a network and its name; the project's reader serves when the network is out of reach."""
    from adloom.creatives.reader_features_net import load_reader_features
    from adloom.creatives.style_losses_net import pretrained_features
    from adloom.errors import ExternalServiceError
    from adloom.storage import manifest

    folder = Path(uri)
    if (folder / "reader.onnx").is_file():
        manifest.verify(folder)
        return load_reader_features(folder / "reader.onnx"), f"{uri} {manifest.digest(folder)}"
    try:
        return pretrained_features(_load_network(uri)), PRETRAINED
    except ExternalServiceError as error:
        if not (READER / "reader.onnx").is_file():
            raise
        click.echo(f"{error}; using {READER} instead", err=True)
    return _load_features(str(READER))


def _load_network(uri: str) -> "EfficientNetLite0":
    from adloom.context import build_context
    from adloom.creatives.efficientnet import load_efficientnet
    from adloom.stages.pretrained import fetch_pretrained

    return load_efficientnet(fetch_pretrained(uri, build_context(Settings(), "adloom")))


def _read(path: Path, size: int) -> "UInt8Array":
    """Return a picture's pixels (height, width, 3). Raises DataError when it cannot be used."""
    from adloom.data.picture_files import PictureError
    from adloom.data.pictures import decode_within, describe_error
    from adloom.errors import DataError

    try:
        return decode_within(read_input(path), size, MAX_PIXELS)
    except PictureError as error:
        raise DataError(f"{path}: {describe_error(error, MAX_PIXELS)}") from None


def _check_target(out: Path, *inputs: Path) -> None:
    from adloom.errors import ConfigError

    if out.suffix.lower() != ".png":
        raise ConfigError(f"{out}: expected a name that ends in .png")
    check_outputs((out,), inputs)


def _to_floats(pixels: "UInt8Array") -> "Float32Array":
    from adloom.creatives.pictures import to_floats

    return to_floats(pixels.transpose(2, 0, 1))


def _describe(model: str, seed: int, **facts: object) -> "Origin":
    from adloom.credentials.origin import COMPOSITE, Origin

    return Origin(model, seed=seed, facts={name: str(value) for name, value in facts.items()}, source_type=COMPOSITE)


def _write(out: Path, picture: "Float32Array", origin: "Origin", inputs: dict[str, Path]) -> None:
    """Write a signed PNG that names its inputs."""
    from adloom.creatives.pictures import encode_pngs, to_pixels
    from adloom.credentials.signer import Ingredient
    from adloom.serving.creatives.issuer import open_issuer

    ingredients = [Ingredient(name, path.read_bytes()) for name, path in inputs.items()]
    (issued,) = open_issuer(Settings()).issue_pictures(encode_pngs(to_pixels(picture)[None]), [origin], ingredients)
    write_output(out, issued)


def _open_bar(name: str, steps: int) -> "AbstractContextManager[Any]":
    from tqdm import tqdm

    return tqdm(desc=name, total=steps, unit="step", disable=Settings().quiet)
