"""Evaluate the stylizer on styles it has not seen, against optimised and untouched pictures."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from adloom.arrays import AnyArray, Float32Array, Float64Array, UInt8Array
from adloom.config.params import Evaluate
from adloom.creatives import figures
from adloom.creatives.dream import dream
from adloom.creatives.pictures import enlarge, to_floats, to_pixels
from adloom.creatives.table import CreativeTable
from adloom.creatives.textures import draw_textures
from adloom.evaluation import figures as curves
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, History, Metric, Sample, Section, Table

EDGE = 96  # pixels of the pictures that are measured
PAIRS, BATCH = 32, 8  # contents, each in one style
OPTIMISED, STEPS = 3, 60  # pairs that are also optimised, and the optimiser's steps
UNSEEN = 1_000_003  # added to the seed: textures that no training has drawn
DREAM_LAYER = 7


class Stylize(Protocol):
    """A stylizer: contents and styles (batch, 3, height, width) in [-1, 1], and strengths (batch,), to pictures."""

    def __call__(self, content: Float32Array, style: Float32Array, strength: Float32Array) -> Float32Array:
        """Paint contents in styles."""
        ...


class DreamGradient(Protocol):
    """The gradient of a layer's activation by a picture (1, 3, height, width)."""

    def __call__(self, picture: Float32Array, layer: int) -> Float32Array:
        """Return the gradient."""
        ...


class Judge(Protocol):
    """The layers in which pictures are compared."""

    def measure(
        self, pictures: Float32Array, contents: Float32Array, styles: Float32Array
    ) -> tuple[Float64Array, Float64Array]:
        """Return style and content losses (pictures,)."""
        ...

    def optimise(self, content: Float32Array, style: Float32Array, steps: int, seed: int) -> Float32Array:
        """Return one picture by optimisation."""
        ...


def evaluate(
    stylize: Stylize,
    gradient: DreamGradient,
    judge: Judge,
    creatives: CreativeTable,
    params: Evaluate,
    history: History,
) -> Evaluation:
    """Measure a stylizer on pictures of split test. Raises DataError when there is none."""
    contents, styles = _draw_pairs(creatives, params.seed)
    batches = [slice(first, first + BATCH) for first in range(0, len(contents), BATCH)]
    strengths = np.ones(len(contents), np.float32)
    painted = np.concatenate([stylize(contents[rows], styles[rows], strengths[rows]) for rows in batches])
    few = slice(min(OPTIMISED, len(contents)))
    pairs = zip(contents[few], styles[few], strict=True)
    optimised = np.concatenate(
        [judge.optimise(content[None], style[None], STEPS, params.seed) for content, style in pairs]
    )
    losses = judge.measure(painted, contents, styles)
    samples = build_samples(*losses, judge.measure(contents, contents, styles)[0])
    best = judge.measure(optimised, contents[few], styles[few])
    samples |= {
        f"optimised_{name}": sample
        for name, sample in build_samples(*best, judge.measure(contents[few], contents[few], styles[few])[0]).items()
    }
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    dreamt = dream(contents[0], lambda picture: gradient(picture, DREAM_LAYER), octaves=2, steps=8, seed=params.seed)
    shown = [contents[few], styles[few], painted[few], optimised]
    sections: list[Section] = [
        _draw_examples([to_pixels(part) for part in shown]),
        _draw_dream(to_pixels(np.stack([contents[0], dreamt]))),
        _tabulate(metrics),
        Figure("Learning curves", "Losses on training pictures.", partial(curves.draw_learning_curves, history)),
    ]
    return Evaluation(metrics, samples, sections)


def build_samples(styles: AnyArray, contents: AnyArray, untouched: AnyArray) -> dict[str, Sample]:
    """Return the samples of style losses, content losses and the style losses of the contents themselves (pairs,)."""
    return {
        "style_ratio": Sample((styles, untouched), statistics.ratio, "ratio"),
        "content_change": Sample((contents,), statistics.mean, "ratio"),
    }


def _draw_pairs(creatives: CreativeTable, seed: int) -> tuple[Float32Array, Float32Array]:
    """Return test pictures and as many textures."""
    rows = creatives.find_test_rows(creatives.list_categories())
    chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:PAIRS])
    contents = to_floats(enlarge(creatives.decode(chosen), EDGE))
    return contents, to_floats(draw_textures(len(contents), EDGE, seed + UNSEEN))


def _draw_examples(parts: Sequence[UInt8Array]) -> Figure:
    names = ("content", "style", "in one pass", f"optimised, {STEPS} steps")
    caption = "Test pictures in styles that the training has not seen."
    return Figure(
        "Stylised pictures", caption, partial(figures.draw_rows, list(zip(names, parts, strict=True)), scale=2)
    )


def _draw_dream(pair: UInt8Array) -> Figure:
    caption = f"A test picture, and what block {DREAM_LAYER} of the pretrained network sees in it."
    return Figure("A dream", caption, partial(figures.draw_rows, [("", pair)], scale=2))


def _tabulate(metrics: dict[str, Metric]) -> Table:
    rows: list[list[str | float | int]] = [["nothing is done", 1.0, 0.0]]
    for name, prefix in (("in one pass", ""), (f"optimised, {STEPS} steps", "optimised_")):
        rows.append([name, *(round(metrics[prefix + metric].value, 3) for metric in ("style_ratio", "content_change"))])
    caption = "Style loss divided by that of the untouched picture, and relative change of the content's features."
    return Table("Losses", caption, ["picture", "style_ratio", "content_change"], rows)
