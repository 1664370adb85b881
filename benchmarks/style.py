"""
Compare ways to paint a picture in a style: CPU seconds and losses at 256 pixels, and the sheet of the documentation.

python benchmarks/style.py models/style coffee.png chelsea.png --reader models/cnn --sheet docs/assets/style.png

The losses are measured in the pretrained features. The column "neutral" is the style loss in random filters at four
sizes, blind to even colours, relative to the content's, since no way to paint has seen them.

The pictures may be any; those of the documentation are in scikit-image's wheel, below skimage/data, dedicated to the
public domain (CC0) by Rachel Michetti and Stefan van der Walt. The styles are drawn from a seed.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional

from adloom.arrays import Float32Array
from adloom.creatives import gram_transfer_net
from adloom.creatives.dream import dream
from adloom.creatives.pictures import draw_sheet, to_floats, to_pixels
from adloom.creatives.reader_features_net import load_reader_features
from adloom.creatives.style_judge_net import StyleJudge
from adloom.creatives.style_losses_net import compute_grams, style_loss
from adloom.creatives.textures import draw_textures
from adloom.onnx_models.runtime import DreamGradient, Stylizer

EDGE, STYLES, SEED = 256, 2, 4
STEPS = (30, 150)
FILTERS, SIZES = 64, (1, 2, 4, 8)  # random filters of 5 x 5 pixels, and parts of the edge
HISTORY, EVALUATIONS = 10, 10  # of L-BFGS; the second until the picture shifts and the history starts anew
LAYERS = (4, 7, 10)
COLOURS = 160  # of the sheet, so that it stays small
COLUMNS = 5
Way = Callable[[Float32Array, Float32Array], Float32Array]


def main() -> None:
    """Print a table, and write the sheet: content, style, the ways to paint, then three dreams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--reader", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    judge, ways = StyleJudge(arguments.model, arguments.threads), build_ways(arguments)
    contents = [read_picture(path) for path in arguments.pictures]
    styles = to_floats(draw_textures(STYLES, EDGE, SEED))
    print("content style method                CPU seconds  style loss  neutral  content loss")
    rows: list[Float32Array] = []
    for number, content in enumerate(contents):
        style = styles[number % STYLES][None]
        results = {name: measure(name, way, judge, content, style, number) for name, way in ways.items()}
        rows += [content, style, *(results[name] for name in ("in one pass", "own reader, 150", f"Adam, {STEPS[-1]}"))]
    if arguments.sheet:
        gradient = DreamGradient(arguments.model, arguments.threads)
        dreamt = [paint_dream(contents[0], gradient, layer) for layer in LAYERS]
        write_sheet(np.concatenate([*rows, contents[0], *dreamt]), arguments.sheet)


def build_ways(arguments: argparse.Namespace) -> dict[str, Way]:
    """Return the ways to paint by name: functions of a content and a style."""
    judge, stylize = StyleJudge(arguments.model, arguments.threads), Stylizer(arguments.model, arguments.threads)
    reader, most = load_reader_features(arguments.reader / "reader.onnx"), STEPS[-1]

    def use_reader(content: Float32Array, style: Float32Array) -> Float32Array:
        pair = torch.from_numpy(content), torch.from_numpy(style)
        return gram_transfer_net.transfer_style(*pair, reader, strength=1, steps=most, seed=SEED).numpy()

    def use_lbfgs(content: Float32Array, style: Float32Array) -> Float32Array:
        with mock.patch.object(gram_transfer_net, "_minimise", minimise_by_lbfgs):
            return judge.optimise(content, style, most, SEED)

    return {
        "nothing": lambda content, _: content,
        "in one pass": lambda content, style: stylize(content, style, np.ones(1, np.float32)),
        **{f"Adam, {n}": lambda content, style, n=n: judge.optimise(content, style, n, SEED) for n in STEPS},  # type: ignore[misc]
        f"L-BFGS, {most}": use_lbfgs,
        f"own reader, {most}": use_reader,
    }


def minimise_by_lbfgs(problem: Any, start: torch.Tensor, steps: int, _: Callable[[], object]) -> torch.Tensor:
    """Optimise as the product does, but by L-BFGS with as many evaluations of the loss as Adam has steps."""
    levels = gram_transfer_net._create_levels(start)
    while steps > 0:
        state, used = problem._generator.get_state(), 0
        most = min(steps, EVALUATIONS)
        optimizer = torch.optim.LBFGS(
            levels, max_iter=most, max_eval=most, history_size=HISTORY, line_search_fn="strong_wolfe"
        )

        def evaluate() -> float:
            nonlocal used
            used += 1
            optimizer.zero_grad()  # noqa: B023 # called in this round only
            problem._generator.set_state(state)  # noqa: B023 # the same shift
            loss = problem.loss(gram_transfer_net._add_levels(start, levels))
            loss.backward()
            return float(loss.detach())

        optimizer.step(evaluate)  # type: ignore[no-untyped-call] # torch's stub lacks it
        steps -= used
    return gram_transfer_net._add_levels(start, levels).detach()


def measure(
    name: str, way: Way, judge: StyleJudge, content: Float32Array, style: Float32Array, number: int
) -> Float32Array:
    """Print a line about one way to paint; return the picture."""
    way(content, style) if name == "in one pass" else None  # the first use is slow
    begin = time.process_time()
    painted = way(content, style)
    seconds = time.process_time() - begin
    (style_part,), (content_part,) = judge.measure(painted, content, style)
    neutral = measure_neutrally(painted, style) / measure_neutrally(content, style)
    values = f"{seconds:12.2f} {style_part:11.3f} {neutral:8.3f} {content_part:13.3f}"
    print(f"{number:7} {number % STYLES:5} {name:20} {values}", flush=True)
    return painted


def measure_neutrally(painted: Float32Array, style: Float32Array) -> float:
    """Return the style loss of a picture in random filters."""
    filters = torch.randn(FILTERS, 3, 5, 5, generator=torch.Generator().manual_seed(SEED))
    filters = filters - filters.mean((2, 3), keepdim=True)  # blind to even colours
    layers = []
    for picture in (painted, style):
        small = [functional.avg_pool2d(torch.from_numpy(picture), size) for size in SIZES]
        layers.append([functional.relu(functional.conv2d(part, filters)) for part in small])
    return float(style_loss(layers[0], compute_grams(layers[1])))


def paint_dream(picture: Float32Array, gradient: DreamGradient, layer: int) -> Float32Array:
    """Return a picture (1, 3, EDGE, EDGE) with what a layer sees in it."""
    return dream(picture[0], lambda moved: gradient(moved, layer), octaves=4, steps=10, seed=SEED)[None]


def read_picture(path: Path) -> Float32Array:
    """Return the middle square of a picture (1, 3, EDGE, EDGE)."""
    with Image.open(path) as picture:
        square = ImageOps.fit(picture.convert("RGB"), (EDGE, EDGE), Image.Resampling.LANCZOS)
    return to_floats(np.asarray(square).transpose(2, 0, 1))[None]


def write_sheet(pictures: Float32Array, target: Path) -> None:
    """Write a small PNG with a palette."""
    halves = pictures.reshape(len(pictures), 3, EDGE // 2, 2, EDGE // 2, 2).mean((3, 5))
    with Image.open(io.BytesIO(draw_sheet(to_pixels(halves), COLUMNS, scale=1))) as sheet:
        sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(target)


if __name__ == "__main__":
    main()
