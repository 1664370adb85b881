"""The rules of the gate, as params.yaml has them: bars, and by how much a candidate may be worse than the champion."""

from typing import Self

from pydantic import Field, model_validator

from adloom.config.base import ConfigModel


class MetricRule(ConfigModel):
    """A bar for one metric, and how much worse than the champion a candidate may be; one of the two may be absent."""

    metric: str = Field(description="Name of a metric of the model's metrics.json.")
    at_least: float | None = Field(None, strict=False, description="The value must not be below this.")
    at_most: float | None = Field(None, strict=False, description="The value must not be above this.")
    margin: float | None = Field(
        None, ge=0, strict=False, description="Worse than the champion by more than this, for certain: rejected."
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


class Gate(ConfigModel):
    """What a model must show before it becomes champion; read by report and register."""

    approve: bool = Field(False, description="True: only a person's `adloom promote` makes a champion.")
    gan: list[MetricRule] = Field(description="Rules for the picture generator.")
    cnn: list[MetricRule] = Field(description="Rules for the picture reader.")
    lstm: list[MetricRule] = Field(description="Rules for the copywriter.")
    audience: list[MetricRule] = Field(description="Rules for the audience segments.")
    policy: list[MetricRule] = Field(description="Rules for the policy; its margin is in clicks per impression.")

    def rules(self, model: str) -> list[MetricRule]:
        """Return the rules of one of MODELS."""
        return getattr(self, model)  # type: ignore[no-any-return]
