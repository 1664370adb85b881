"""
Compare the stylizer with optimised pictures: seconds and losses at 256 pixels, and the sheet of the documentation.

python benchmarks/style.py models/style coffee.png chelsea.png --sheet docs/assets/style.png

The pictures may be any; those of the documentation are in scikit-image's wheel, below skimage/data, dedicated to the
public domain (CC0) by Rachel Michetti and Stefan van der Walt. The styles are drawn from a seed.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from adloom.arrays import Float32Array
from adloom.creatives.dream import dream
from adloom.creatives.pictures import draw_sheet, to_floats, to_pixels
from adloom.creatives.style_judge_net import StyleJudge
from adloom.creatives.textures import draw_textures
from adloom.onnx_models.runtime import DreamGradient, Stylizer

EDGE, STYLES, SEED = 256, 2, 4
STEPS = (30, 150)
LAYERS = (4, 7, 10)
COLOURS = 160  # of the sheet, so that it stays small


def main() -> None:
    """Print a table, and write the sheet: content, style, in one pass, optimised, then three dreams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    judge, stylize = StyleJudge(arguments.model, arguments.threads), Stylizer(arguments.model, arguments.threads)
    gradient = DreamGradient(arguments.model, arguments.threads)
    contents = [read_picture(path) for path in arguments.pictures]
    styles = to_floats(draw_textures(STYLES, EDGE, SEED))
    print("content style method                seconds  style loss  content loss")
    rows: list[Float32Array] = []
    for number, content in enumerate(contents):
        style = styles[number % STYLES][None]
        ways: dict[str, Callable[[], Float32Array]] = {"nothing": lambda content=content: content}  # type: ignore[misc]
        ways["in one pass"] = lambda c=content, s=style: stylize(c, s, np.ones(1, np.float32))  # type: ignore[misc]
        for steps in STEPS:
            ways[f"optimised, {steps} steps"] = lambda c=content, s=style, n=steps: judge.optimise(c, s, n, SEED)  # type: ignore[misc]
        results = {name: measure(name, way, judge, content, style, number) for name, way in ways.items()}
        rows += [content, style, results["in one pass"], results[f"optimised, {STEPS[-1]} steps"]]
    dreamt = [
        dream(contents[0][0], lambda p, layer=layer: gradient(p, layer), octaves=4, steps=10, seed=SEED)[None]  # type: ignore[misc]
        for layer in LAYERS
    ]
    if arguments.sheet:
        write_sheet(np.concatenate([*rows, contents[0], *dreamt]), arguments.sheet)


def measure(
    name: str,
    way: Callable[[], Float32Array],
    judge: StyleJudge,
    content: Float32Array,
    style: Float32Array,
    number: int,
) -> Float32Array:
    """Print a line about one way to paint; return the picture."""
    way() if name == "in one pass" else None  # the first use is slow
    begin = time.perf_counter()
    painted = way()
    seconds = time.perf_counter() - begin
    (style_loss,), (content_loss,) = judge.measure(painted, content, style)
    print(
        f"{number:7} {number % STYLES:5} {name:20} {seconds:8.2f} {style_loss:11.3f} {content_loss:13.3f}", flush=True
    )
    return painted


def read_picture(path: Path) -> Float32Array:
    """Return the middle square of a picture (1, 3, EDGE, EDGE)."""
    with Image.open(path) as picture:
        square = ImageOps.fit(picture.convert("RGB"), (EDGE, EDGE), Image.Resampling.LANCZOS)
    return to_floats(np.asarray(square).transpose(2, 0, 1))[None]


def write_sheet(pictures: Float32Array, target: Path) -> None:
    """Write a small PNG with a palette, four pictures a row."""
    halves = pictures.reshape(len(pictures), 3, EDGE // 2, 2, EDGE // 2, 2).mean((3, 5))
    with Image.open(io.BytesIO(draw_sheet(to_pixels(halves), 4, scale=1))) as sheet:
        sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(target)


if __name__ == "__main__":
    main()
