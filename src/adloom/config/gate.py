"""The rules of the gate, as params.yaml has them: bars, and by how much a candidate may be worse than the champion."""

from typing import TYPE_CHECKING, Self

from pydantic import Field, create_model, model_validator

from adloom.config.base import ConfigModel
from adloom.config.models import MODELS


class MetricRule(ConfigModel):
    """A bar for one metric, and how much worse than the champion a candidate may be; one of the two may be absent."""

    metric: str = Field(description="Name of a metric of the model's metrics.json.")
    at_least: float | None = Field(None, strict=False, description="The value must not be below this.")
    at_most: float | None = Field(None, strict=False, description="The value must not be above this.")
    margin: float | None = Field(
        None,
        ge=0,
        strict=False,
        description="Rejected when certainly worse than the champion by more.",
    )

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if self.at_least is not None and self.at_most is not None:
            raise ValueError(f"rule for {self.metric}: give one of at_least and at_most, not both")
        if not self.has_bar and self.margin is None:
            raise ValueError(
                f"rule for {self.metric}: give at_least or at_most; or a margin alone, where more is better"
            )
        return self

    @property
    def has_bar(self) -> bool:
        """Whether there is a bar; a margin alone asks for a comparison only."""
        return self.at_least is not None or self.at_most is not None


class _Gate(ConfigModel):
    """What a model must show before it becomes champion; read by report and register."""

    approve: bool = Field(False, description="True: only a person's `adloom promote` makes a champion.")

    def rules(self, model: str) -> list[MetricRule]:
        """Return the rules of one of MODELS."""
        return getattr(self, model)  # type: ignore[no-any-return]


if TYPE_CHECKING:
    Gate = _Gate
else:  # a field for each row of the table of models
    Gate = create_model(
        "Gate",
        __base__=_Gate,
        __doc__=_Gate.__doc__,
        **{
            spec.name: (list[MetricRule], Field(description=f"Rules for the {spec.title.lower()}."))
            for spec in MODELS.values()
        },
    )
