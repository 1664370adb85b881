"""Show where in a picture the reader sees a category."""

from functools import partial
from typing import Protocol

import numpy as np

from adloom.arrays import Float32Array
from adloom.creatives import figures
from adloom.creatives.inference import PictureReader
from adloom.creatives.pictures import to_floats
from adloom.creatives.table import CreativeTable
from adloom.evaluation.metric import Evaluation, Figure

PER_CATEGORY, SHOWN = 2, 24  # pictures


class EvidenceReader(PictureReader, Protocol):
    """A reader that locates evidence."""

    def locate_evidence(self, picture: Float32Array) -> Float32Array | None:
        """Map pictures in [-1, 1] to the evidence for each category (batch, categories, height, width), if it can."""
        ...


def evaluate(reader: EvidenceReader, creatives: CreativeTable, categories: list[str]) -> Evaluation:
    """Draw the first test pictures of each category with the evidence for the category that the reader sees."""
    rows = creatives.find_test_rows(categories)
    truth = creatives.number_categories(rows, categories)
    first = [np.flatnonzero(truth == number)[:PER_CATEGORY] for number in range(len(categories))]
    shown = np.concatenate(first)[:SHOWN]
    pixels = creatives.decode(rows[shown])
    evidence = reader.locate_evidence(to_floats(pixels))
    if evidence is None:
        return Evaluation({}, {}, [])
    seen = reader(to_floats(pixels)).probabilities.argmax(1)
    heat = evidence[np.arange(len(seen)), seen] - evidence.mean(1)
    names = zip((categories[number] for number in truth[shown]), (categories[number] for number in seen), strict=True)
    captions = [f"is {own}\nread {read}" for own, read in names]
    caption = "Bright places speak for the category that the reader sees, more than for the others."
    return Evaluation(
        {}, {}, [Figure("Evidence", caption, partial(figures.draw_captioned, pixels, captions, heat=heat))]
    )
