"""Sections of the picture generator's report."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from adloom.arrays import Float32Array, Float64Array, Int64Array, UInt8Array
from adloom.creatives import figures, memorization
from adloom.creatives.conditions import ConditionSpace
from adloom.creatives.inference import PictureGenerator
from adloom.creatives.memorization import NearestTraining
from adloom.creatives.pictures import split_batches, to_pixels
from adloom.creatives.table import Creatives, CreativeTable
from adloom.evaluation import figures as style
from adloom.evaluation.metric import Figure, History, Lines, Metric, Section, Table

SHOWN = 10  # pictures in a row
ROWS, STRIPS = 40, 12  # categories at most on the sheet, and with an interpolation
PAIRS = 8  # nearest neighbours shown
CURVES = (
    "Losses of the two opponents tell of balance, not of quality. The kernel distance to training pictures chooses the "
    "epoch, except with reconstruction."
)


def draw_sheet(generated: Creatives, categories: list[str]) -> Figure:
    """Draw the first pictures of each category."""
    shown = list(enumerate(categories))[:ROWS]
    rows = [(name, generated.pixels[generated.category == number][:SHOWN]) for number, name in shown]
    of_all = f" The first {ROWS} of {len(categories)} categories." if len(categories) > ROWS else ""
    caption = f"The first pictures drawn of each category, not selected.{of_all}"
    return Figure("Sample sheet", caption, partial(figures.draw_rows, rows))


def draw_interpolation(
    generator: PictureGenerator, space: ConditionSpace, shape: tuple[int, int, int], seed: int
) -> Figure:
    """Draw the way between two noise vectors for each category."""
    names = space.categories[:STRIPS]
    z = np.tile(interpolate(generator.latent, SHOWN, seed), (len(names), 1))
    condition = space.encode(np.repeat(np.arange(len(names)), SHOWN))
    pixels = np.empty((len(z), *shape), np.uint8)
    for batch in split_batches(len(z), *shape[1:]):
        pixels[batch] = to_pixels(generator(z[batch], condition[batch]))
    strips: list[UInt8Array] = np.split(pixels, len(names))
    caption = (
        "From one noise vector to another in equal steps, the same two for every category. A generator that has learnt "
        "the data changes one picture into the other; one that repeats training pictures jumps."
    )
    return Figure("Interpolation", caption, partial(figures.draw_rows, list(zip(names, strips, strict=True))))


def interpolate(latent: int, steps: int, seed: int) -> Float32Array:
    """Return noise vectors (steps, latent) on the great circle through two random ones, from one to the other."""
    first, second = np.random.default_rng(seed).standard_normal((2, latent))
    cosine = float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))
    angle = np.arccos(np.clip(cosine, -1, 1))
    share = np.linspace(0, 1, steps)[:, None]
    if np.sin(angle) < 1e-6:  # in one dimension there is no circle
        way = (1 - share) * first + share * second
    else:
        way = (np.sin((1 - share) * angle) * first + np.sin(share * angle) * second) / np.sin(angle)
    vectors: Float32Array = way.astype(np.float32)
    return vectors


def draw_misread(predicted: Int64Array, generated: Creatives, categories: list[str]) -> list[Section]:
    """Return misread pictures of the worst category, if there are any."""
    wrong = predicted != generated.category
    if not wrong.any():
        return []
    worst = int(np.bincount(generated.category[wrong]).argmax())
    rows = np.flatnonzero(wrong & (generated.category == worst))[: 2 * PAIRS]
    captions = [f"read as\n{categories[predicted[row]]}" for row in rows]
    picture = partial(figures.draw_captioned, generated.pixels[rows], captions)
    return [Figure(f"Worst category: {categories[worst]}", "Drawn as asked, taken for something else.", picture)]


def list_small(counts: Int64Array, categories: list[str], least: int) -> list[Section]:
    """Return the categories with fewer than `least` training pictures, if there are any."""
    lines = [f"{name}: {counts[number]}" for number, name in enumerate(categories) if counts[number] < least]
    caption = f"Fewer than {least} training pictures. They do not count for the lowest agreement of a category."
    return [Lines("Small categories", caption, lines)] if lines else []


def tabulate_categories(metrics: Mapping[str, Metric], categories: list[str]) -> list[Section]:
    """Return the table of agreement per category, if there was a reader."""
    known = [(name, metrics[f"agreement.{name}"]) for name in categories if f"agreement.{name}" in metrics]
    if not known:
        return []
    rows: list[list[str | float | int]] = [
        [name, metric.n, round(metric.value, 3), f"{metric.low:.3f} … {metric.high:.3f}"]
        for name, metric in sorted(known, key=lambda pair: pair[1].value)
    ]
    caption = "Share of drawn pictures that the reader takes for the category asked, the worst first."
    return [Table("Categories", caption, ["category", "drawn", "agreement", "95 % interval"], rows)]


def draw_distances(drawn: NearestTraining, test: NearestTraining) -> Figure:
    """Draw the distances to the nearest training pictures."""
    groups = {"drawn pictures": drawn, "real test pictures": test}
    unit = f"distance to the nearest / to the {memorization.SCALE_NEIGHBOUR}th"
    relative = {name: near.relative for name, near in groups.items()}
    pixels = {name: near.pixels for name, near in groups.items()}
    threshold = memorization.copy_threshold(test)
    panels = [(unit, relative, threshold), ("distance to the nearest, grey levels", pixels, None)]
    caption = (
        "How near pictures lie to their nearest training picture, mirrored or not. Copies would pile up near 0, left "
        "of the threshold, which 0.1 % of real new pictures pass. Plain distances (right) fall for smooth ones, too."
    )
    return Figure("Nearest training pictures", caption, partial(figures.draw_histograms, panels))


def draw_pairs(
    words: tuple[str, str],
    index: Int64Array,
    distance: Float64Array,
    generated: Creatives,
    train: Int64Array,
    creatives: CreativeTable,
) -> Figure:
    """Draw the pictures with the least distances (generated,) above the training pictures of these indices."""
    closest = np.argsort(distance, kind="stable")[:PAIRS]
    nearest = creatives.decode(train[index[closest]])
    labels = [f"{distance[row]:.2f}" for row in closest]
    names = ("drawn", "nearest training")
    return Figure(*words, partial(figures.draw_pairs, generated.pixels[closest], nearest, labels, names))


def draw_curves(history: History) -> Figure:
    """Draw the learning curves."""
    return Figure("Learning curves", CURVES, partial(style.draw_learning_curves, history))
