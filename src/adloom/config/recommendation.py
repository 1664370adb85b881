"""The parameters of the recommender."""

from typing import Literal, Self

from pydantic import Field, model_validator

from adloom.config.base import ConfigModel
from adloom.config.training import SequenceTraining


class Factors(ConfigModel):
    """Matrix factorisation by alternating least squares."""

    factors: int = Field(32, gt=0, description="Numbers that describe a user or an item.")
    iterations: int = Field(10, gt=0, description="Rounds of alternating solutions.")
    alpha: float = Field(4.0, gt=0, strict=False, description="Confidence in the items that a user has.")
    regularization: float = Field(10.0, gt=0, strict=False, description="Penalty of large factors.")


class ItemLstm(SequenceTraining):
    """The LSTM over items."""

    epochs: int = Field(12, gt=0, description="Epochs; a checkpoint is written after each.")
    steps_per_epoch: int = Field(80, gt=0, description="Optimizer steps in an epoch.")
    batch_size: int = Field(32, gt=0, description="Pieces of sequences per batch.")
    learning_rate: float = Field(0.006, gt=0, description="Peak learning rate.")
    threads: int = Field(1, gt=0, description="CPU threads; the result's bytes depend on it.")
    hidden: int = Field(64, gt=0, description="Width of the LSTM's state.")
    dropout: float = Field(0.3, ge=0, le=1, description="Dropout on embeddings and outputs.")
    length: int = Field(50, gt=0, description="Items of a user that are encoded, the last ones.")


class Recommend(ConfigModel):
    """The next item for a user."""

    enabled: bool = Field(True, description="False writes a skipped artifact instead.")
    seed: int = Field(7, ge=0, lt=2**32, description="Seed of the first factors and of the intervals.")
    models: list[Literal["popularity", "neighbours", "factors", "lstm"]] = Field(
        ["popularity", "neighbours", "factors", "lstm"],
        min_length=1,
        description="Models to compare; popularity is required.",
    )
    validation: float = Field(
        0.2, gt=0, lt=1, description="Share of the calibration period's events, the last ones, that choose the model."
    )
    items: int = Field(
        100_000, gt=0, description="Items that are recommended at most, the most frequent; memory grows with them."
    )
    users: int = Field(
        100_000, gt=0, description="Users that models other than popularity learn from at most, evenly spaced."
    )
    neighbours: int = Field(50, gt=0, description="Neighbours of an item in item-kNN.")
    factors: Factors = Field(Factors(), description="Matrix factorisation.")
    lstm: ItemLstm = Field(ItemLstm(), description="Training of the LSTM over items.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "popularity" not in self.models:
            raise ValueError("models: popularity is required; users without items get it")
        if self.lstm.processes > 1:
            raise ValueError("lstm: nodes and devices must be 1; it trains in the stage's own process")
        return self
