"""The parameters of audience and policy."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from adloom.config.base import ConfigModel, Share

PLATFORM_MINIMA = {"none": 1, "platform_100": 100, "platform_1000": 1000}  # users that ad platforms ask for

GOAL_METRICS = {"click": "click_rate", "conversion": "conversion_rate", "value": "value_per_impression"}  # of rewards


class Privacy(ConfigModel):
    """Protection of the users behind segments."""

    k: int = Field(10, ge=1, description="Users that a published segment or number is about at least.")
    preset: Literal["none", "platform_100", "platform_1000"] = Field(
        "none", description="Smallest audience of ad platforms, where it is above k."
    )
    small_segments: Literal["merge", "suppress"] = Field(
        "merge", description="Merge a smaller segment into the nearest, or leave its users without one."
    )
    sensitive: list[str] = Field(
        [], description="Columns of events with values that must not be guessed from a segment, such as item_id."
    )
    diversity: int = Field(
        2, ge=2, description="Different values of each sensitive column in a published segment, at least."
    )
    epsilon: float | None = Field(
        None,
        gt=0,
        strict=False,
        description="Differential privacy of profiles.json: noise hides single users. Null adds none.",
    )
    budget: float = Field(
        10.0, gt=0, strict=False, description="Epsilon of all registered versions together; register refuses more."
    )

    @property
    def smallest(self) -> int:
        """The least number of users."""
        return max(self.k, PLATFORM_MINIMA[self.preset])


class Segment(ConfigModel):
    """Audience segments."""

    enabled: bool = Field(True, description="False writes a skipped artifact instead.")
    seed: int = Field(7, ge=0, lt=2**32, description="Seed of sampling and initialisation.")
    algorithms: list[Literal["kmeans", "agglomerative", "gaussian_mixture", "dbscan", "hdbscan"]] = Field(
        ["kmeans", "agglomerative", "gaussian_mixture", "dbscan", "hdbscan"],
        min_length=1,
        description="Algorithms that compete.",
    )
    segments_min: int = Field(4, ge=2, description="Smallest number of segments tried.")
    segments_max: int = Field(8, ge=2, description="Largest number of segments tried.")
    purchase: str = Field("purchase", description="The value of `event` that counts as a purchase.")
    bots: Literal["exclude", "segment"] = Field(
        "exclude",
        description="Users that prepare names for their share of all events are left out, or form the segment `bots`; "
        "fewer than privacy.k are left out always.",
    )
    exposure: str | None = Field(
        None, description="The value of `event` that is an exposure to an ad; by default no event is."
    )
    engine: Literal["duckdb", "spark"] = Field(
        "duckdb",
        description="Engine of the features: DuckDB in this process, or Spark (extra `spark`, Java 17), on this "
        "machine unless `spark-submit` started the stage.",
    )
    memory_gb: float = Field(
        1, gt=0, strict=False, description="Memory of the engine in GB (of Spark's driver); more goes to the disk."
    )
    sample: int = Field(
        3000,
        ge=100,
        description="Users for agglomerative clustering, DBSCAN and HDBSCAN; memory grows with their square.",
    )
    bootstraps: int = Field(10, gt=1, description="Refits that measure the stability (ARI).")
    min_segment_size: int = Field(100, gt=0, description="A smaller segment is merged into its nearest neighbour.")
    min_stability: Share = Field(0.9, description="A clustering below this ARI is chosen only if no other reaches it.")
    select_by: Literal["auc", "silhouette", "stability"] = Field(
        "auc", description="Measure on the calibration period that ranks the stable clusterings."
    )
    privacy: Privacy = Field(Privacy(), description="Protection of the users behind published segments.")


Exploration = Literal["softmax", "thompson"]


class TrainPolicy(ConfigModel):
    """The policy that chooses creatives."""

    enabled: bool = Field(True, description="False writes a skipped artifact instead.")
    seed: int = Field(
        7, ge=0, lt=2**32, description="Seed of the folds of the reward model behind doubly robust estimates."
    )
    reward: Literal["click", "conversion", "value"] = Field(
        "click",
        description="What the policy earns: whether an impression was clicked, whether it converted, or its value.",
    )
    attribution_hours: float | None = Field(
        None,
        gt=0,
        strict=False,
        description="Hours after an impression in which its outcome counts; null is maturity_hours.",
    )
    maturity_hours: float = Field(
        24,
        gt=0,
        strict=False,
        description="Hours until the outcomes of an impression are known; younger impressions are excluded.",
    )
    max_value: float | None = Field(
        None,
        gt=0,
        strict=False,
        description="Cap of an impression's value; null takes the 99 % quantile of the calibration period's values.",
    )
    max_user_share: float = Field(
        0.05,
        gt=0,
        lt=1,
        strict=False,
        description="Largest share of the rewards of one user, such as a bot; a user with more of them weighs less.",
    )
    models: list[Literal["uniform", "logging", "rates", "linear"]] = Field(
        ["uniform", "logging", "rates", "linear"], min_length=1, description="Models to compare; uniform is required."
    )
    temperatures: list[Annotated[float, Field(gt=0, strict=False)]] = Field(
        [2.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625],
        min_length=1,
        description="Softmax temperatures to compare; a lower one explores less. They scale the standard deviations "
        "of Thompson sampling.",
    )
    exploration: Exploration = Field(
        "softmax",
        description="How the linear model's scores become probabilities: a softmax, or Thompson sampling, which shows "
        "a creative with the probability that it is the best.",
    )
    floor: Share = Field(
        0.002, description="Minimum probability of a candidate, so that the next log has data on each."
    )
    threads: int = Field(2, gt=0, description="CPU threads of ONNX Runtime, as in evaluate.")
    text_encoder: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Sentence encoder of the creatives' texts: the catalogue's name, or a path or s3://bucket/prefix "
        "of its files; null scores new texts by their words.",
    )

    @model_validator(mode="after")
    def _check_attribution(self) -> Self:
        if (self.attribution_hours or 0) > self.maturity_hours:
            raise ValueError(
                f"attribution_hours: {self.attribution_hours:g} is above maturity_hours: {self.maturity_hours:g}; an "
                "impression must not count before its outcomes are known"
            )
        return self

    @model_validator(mode="after")
    def _require_uniform(self) -> Self:
        if "uniform" not in self.models:
            raise ValueError("models: uniform is required; it is the fallback when no estimate is reliable")
        return self


class RefreshPolicy(ConfigModel):
    """`adloom policy refresh`: the policy between two trainings."""

    max_divergence: float = Field(
        0.05, gt=0, strict=False, description="Largest KL divergence from the champion, in nats per decision."
    )
    click_hours: int = Field(
        2, gt=0, description="Hours after an impression in which a refresh counts its click; memory grows with them."
    )
