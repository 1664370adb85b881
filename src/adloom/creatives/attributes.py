"""The attributes of creatives that models learn: categorical columns with a bounded number of values."""

import logging

import numpy as np
import pandas as pd

from adloom.arrays import Int64Array
from adloom.errors import DataError

MIN_PICTURES = 10  # training pictures that a value needs; a rarer one becomes OTHER
MAX_ATTRIBUTES = 8
MAX_VALUES = 50  # of an attribute
OTHER = "other"
ABSENT = -1  # label of a picture without the attribute
CHOICE = "name the attributes to learn in prepare.attributes"

log = logging.getLogger(__name__)


def list_values(columns: pd.DataFrame) -> dict[str, list[str]]:
    """
    Return the values of each attribute in training rows, rare ones as OTHER.

    An attribute with fewer than two values is left out. Raises DataError for too many attributes or values.
    """
    values = {str(name): _list_values(str(name), columns[name]) for name in columns}
    useful = {name: known for name, known in values.items() if len(known) > 1}
    for name in values.keys() - useful.keys():
        log.warning("creatives: attribute %s is left out, expected two values with %d pictures", name, MIN_PICTURES)
    if len(useful) > MAX_ATTRIBUTES:
        raise DataError(
            f"creatives: {len(useful)} attributes ({', '.join(useful)}), expected at most {MAX_ATTRIBUTES}; {CHOICE}"
        )
    for name, known in useful.items():
        if len(known) > MAX_VALUES:
            raise DataError(
                f"creatives: attribute {name} has {len(known)} values, expected at most {MAX_VALUES}; {CHOICE}"
            )
    return useful


def number_values(columns: pd.DataFrame, values: dict[str, list[str]]) -> Int64Array:
    """Return labels (rows, attributes): the index of each attribute's value, ABSENT when it is missing or unknown."""
    labels = np.full((len(columns), len(values)), ABSENT, np.int64)
    for number, (name, known) in enumerate(values.items()):
        index = {value: position for position, value in enumerate(known)}
        present = columns[name].notna() if name in columns else np.zeros(len(columns), bool)
        rare = index.get(OTHER, ABSENT)
        labels[present, number] = (
            [index.get(value, rare) for value in columns.loc[present, name]] if present.any() else []
        )
    return labels


def _list_values(name: str, column: "pd.Series[str]") -> list[str]:
    counts = column.value_counts().sort_index()
    frequent, rare = (counts[mask] for mask in (counts >= MIN_PICTURES, counts < MIN_PICTURES))
    if len(rare):
        examples = ", ".join(f"{value} ({count})" for value, count in rare.head(5).items())
        log.warning(
            "creatives: attribute %s: %d values with fewer than %d pictures become %r, such as %s",
            name, len(rare), MIN_PICTURES, OTHER, examples,
        )  # fmt: skip
    return sorted({*map(str, frequent.index), *([OTHER] if len(rare) else [])})
