"""The condition of a picture: its category and attributes as the columns that the generator reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from adloom.arrays import Float32Array, Int64Array


@dataclass(frozen=True)
class ConditionSpace:
    """
    The columns of a condition: one per category, then one per value of each attribute.

    The weights of the categories sum to 1. An attribute has a 1 for its value, or zeros alone when it is not given.
    """

    categories: list[str]
    attributes: dict[str, list[str]] = field(default_factory=dict)  # attribute: its values

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """Return the space of a model by its card.json; models of older versions have no attributes."""
        return cls(card["categories"], card.get("attributes", {}))

    @property
    def sizes(self) -> list[int]:
        """The number of columns of the category and of each attribute."""
        return [len(self.categories), *map(len, self.attributes.values())]

    @property
    def columns(self) -> int:
        """The number of all columns."""
        return sum(self.sizes)

    def take_turns(self, labels: Int64Array, number: int) -> Int64Array:
        """Return labels (number, 1 + attributes): the categories in turn, each with its own rows in turn."""
        rows = [labels[labels[:, 0] == category] for category in range(len(self.categories))]
        turns = [rows[n % len(rows)][n // len(rows) % len(rows[n % len(rows)])] for n in range(number)]
        return np.array(turns)

    def encode(self, labels: Int64Array) -> Float32Array:
        """
        Return conditions (rows, columns) of labels (rows,) or (rows, 1 + attributes).

        Labels are the index of the category and of each attribute's value; a negative or missing one is not given.
        """
        labels = labels.reshape(len(labels), -1)
        first = np.cumsum([0, *self.sizes])
        condition = np.zeros((len(labels), self.columns), np.float32)
        row, which = np.nonzero(labels >= 0)
        condition[row, first[which] + labels[row, which]] = 1
        return condition

    def mix(self, weights: Mapping[str, float], attributes: Mapping[str, str]) -> Float32Array:
        """Return the condition (columns,) of weighted categories with known attribute values."""
        labels = [
            values.index(attributes[name]) if name in attributes else -1 for name, values in self.attributes.items()
        ]
        condition: Float32Array = self.encode(np.array([[-1, *labels]]))[0]
        for category, weight in weights.items():
            condition[self.categories.index(category)] = weight / sum(weights.values())
        return condition


@dataclass(frozen=True)
class Conditions:
    """The conditions of many pictures; only those that are read are encoded."""

    space: ConditionSpace
    labels: Int64Array  # (pictures, 1 + attributes)

    def __getitem__(self, rows: Int64Array) -> Float32Array:
        """Return the conditions (rows, columns) of these rows."""
        return self.space.encode(self.labels[rows])
