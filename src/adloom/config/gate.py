"""The gate's rules in params.yaml."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, create_model, model_validator

from adloom.config.base import ConfigModel
from adloom.config.models import MODELS

Verdict = Literal["promote", "hold", "reject"]


class MetricRule(ConfigModel):
    """A bar for one metric, a margin against the champion, or both."""

    metric: str = Field(description="Name of a metric of the model's metrics.json.")
    at_least: float | None = Field(None, strict=False, description="Minimum value.")
    at_most: float | None = Field(None, strict=False, description="Maximum value.")
    margin: float | None = Field(
        None,
        ge=0,
        strict=False,
        description="Reject a candidate that is certainly worse than the champion by more than this. A policy must "
        "show that it is not; its rules with a margin, goal and guardrails, err together in at most 5 % of candidates.",
    )

    within_error: bool = Field(
        False,
        description="The better end of the 95 % interval must meet the bar instead of the value, so that few test rows "
        "alone reject nothing.",
    )

    beyond_error: bool = Field(
        False, description="The worse end of the 95 % interval must meet the bar instead of the value."
    )

    @model_validator(mode="after")
    def _check_direction(self) -> Self:
        if self.at_least is not None and self.at_most is not None:
            raise ValueError(f"rule for {self.metric}: set at_least or at_most, not both")
        if self.within_error and self.beyond_error:
            raise ValueError(f"rule for {self.metric}: set within_error or beyond_error, not both")
        if not self.has_bar and self.margin is None:
            raise ValueError(f"rule for {self.metric}: set at_least or at_most, or only a margin if more is better")
        return self

    @property
    def has_bar(self) -> bool:
        """Whether the rule has a bar; otherwise it only compares."""
        return self.at_least is not None or self.at_most is not None


class _Gate(ConfigModel):
    """The rules that a model must pass to become champion."""

    approve: bool = Field(False, description="True: only `adloom promote`, run by a person, makes a champion.")

    def rules(self, model: str) -> list[MetricRule]:
        """Return a model's rules."""
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
