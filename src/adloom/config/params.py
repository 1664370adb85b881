"""The typed form of params.yaml: one class per stage; unknown keys are errors."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from adloom.config.audience import GOAL_METRICS, RefreshPolicy, Segment, TrainPolicy
from adloom.config.base import AnyModel, ConfigModel, Share, describe_errors, load_file, require_match
from adloom.config.drift import Drift
from adloom.config.gate import Gate
from adloom.config.recommendation import Recommend
from adloom.config.resources import COMPONENTS, Pipeline
from adloom.config.sources import PRETRAINED_FEATURES, CopySplit, Ingest, Source
from adloom.config.training import SequenceTraining, Training
from adloom.errors import ConfigError

TABLES = ("creatives", "copy", "events", "impressions", "tunes")
Project = Annotated[
    str, require_match("[a-z][a-z0-9-]{0,39}", "at most 40 lower-case letters, digits and hyphens, such as my-shop")
]
Currency = Annotated[str, StringConstraints(pattern="^[A-Za-z]{3}$", to_upper=True)]  # of ISO 4217


Pretrained = Annotated[str, Field(min_length=1, description=PRETRAINED_FEATURES)]
PRETRAINED = "efficientnet-lite0"


def _to_utc(value: date) -> date:
    """Return a time without its zone, in UTC; a date stays."""
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) and value.tzinfo else value


Day = Annotated[date, Field(strict=False)]
Time = Annotated[datetime, Field(strict=False)]
Moment = Annotated[Day | Time, Field(union_mode="left_to_right"), AfterValidator(_to_utc)]


class Period(ConfigModel):
    """Dates that split a table: calibration before the holdout, then the holdout."""

    holdout_start: Moment = Field(
        description="First day of the holdout period (UTC), or a time such as 2026-11-26T17:30 for a log of hours."
    )
    end: Moment = Field(description="First day, or time, after the holdout period; later rows are quarantined.")


def _require_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


class InvalidTraffic(ConfigModel):
    """Rules that mark impressions which no person made; policies neither learn from them nor are judged by them."""

    impressions_per_hour: int | None = Field(
        300, gt=0, description="Impressions of a user in an hour (UTC); with more, all of that hour are marked."
    )
    clicks_per_minute: int | None = Field(
        10, gt=0, description="Clicks of a user within a minute; with more, all impressions of their hour are marked."
    )
    user_agents: Annotated[str, AfterValidator(_require_pattern)] = Field(
        r"(?<!cu)bot\b|crawl|spider|headless|slurp|curl/|wget|python-|java/|go-http|monitor|preview",
        description="Regular expression that is found in the `user_agent` of robots, in either case.",
    )


class Prepare(ConfigModel):
    """Contracts, privacy and splits."""

    max_quarantine_rate: Share = Field(
        0.01, description="The stage fails if a table has a larger share of broken rows."
    )
    max_pixels: int = Field(
        16_777_216, gt=0, le=89_478_485, description="Pictures with more pixels are quarantined without decoding."
    )
    picture_size: Literal[28, 32, 64, 128] | None = Field(
        None, description="Edge length to which pictures are resized; by default the most common one of the data."
    )
    transparency: Literal["white", "keep"] = Field(
        "white",
        description="Transparent pictures are laid on white; with keep they stay transparent, and the generator draws "
        "transparency too. Every other model sees them on white.",
    )
    copy_: CopySplit = Field(CopySplit(), alias="copy", description="Split of copy.")
    attributes: list[str] | None = Field(
        None, description="Attributes of creatives (attr_<name> without the prefix) that models learn; all by default."
    )
    derived_attributes: list[Literal["brightness", "aspect", "symmetry"]] = Field(
        [], description="Attributes that are measured on the pictures themselves."
    )
    events: Period | None = Field(None, description="Time split of events.")
    impressions: Period | None = Field(None, description="Time split of impressions.")
    invalid_traffic: InvalidTraffic = Field(InvalidTraffic(), description="Marks of impressions.")
    consent_column: str | None = Field(None, description="Rows without true in this column are dropped.")
    currency: Currency | None = Field(
        None, description="Currency into which values are converted, such as EUR; needs a column `currency`."
    )
    currency_rates: dict[Currency, Annotated[float, Field(gt=0, strict=False)]] = Field(
        {}, description="Other currency: value of one unit in `currency`, such as {USD: 0.92}."
    )
    erasure_list: str | None = Field(
        None, description="File of user ids, one per line or in a CSV column; their rows are dropped."
    )

    @model_validator(mode="after")
    def _check_currency(self) -> Self:
        if self.currency_rates and self.currency is None:
            raise ValueError("currency_rates need the currency they convert into; set prepare.currency")
        return self

    def for_table(self, table: str) -> Self:
        """Return the settings of one table, so that changes for other tables do not invalidate it."""
        pictures = {"max_pixels", "picture_size", "transparency", "attributes", "derived_attributes"}
        others = {"creatives": pictures, "copy": {"copy_"}, "events": {"events"}}
        others["impressions"] = {"impressions", "invalid_traffic"}
        timed = {"consent_column", "erasure_list", "currency", "currency_rates"}
        users = timed if table in ("creatives", "copy", "tunes") else set()
        foreign = users.union(*(fields for name, fields in others.items() if name != table))
        return self.model_copy(update={name: type(self).model_fields[name].default for name in foreign})


class TrainGan(Training):
    """The picture generator."""

    steps_per_epoch: int = Field(
        0, ge=0, description="Steps of the generator in an epoch; 0 chooses them from number and size of the pictures."
    )
    latent: int = Field(128, gt=0, description="Length of the noise vector z.")
    width: int = Field(
        0, ge=0, description="Channels of the widest resolution's feature maps; 0 chooses them from the size."
    )
    net: Literal["resize", "dcgan"] = Field(
        "resize",
        description="The networks: resize convolutions with a projecting discriminator, or the DCGAN of the tutorials, "
        "with transposed convolutions and one learning rate.",
    )
    channels_last: bool = Field(True, description="Memory layout of the pictures.")
    ema_decay: float = Field(0.998, ge=0, lt=1, description="Decay of the averaged weights, which form the model.")
    objective: Literal["auto", "bce", "hinge", "relativistic"] = Field(
        "auto", description="The adversarial loss; auto is relativistic, and bce in small sets."
    )
    spectral_norm: bool = Field(True, description="Whether the discriminator's weights have a spectral norm of 1.")
    gradient_penalty: float = Field(
        0, ge=0, description="Weight of the squared gradient norms of real and generated pictures (R1 and R2)."
    )
    augmentation: Literal["auto", "always", "never"] = Field(
        "auto", description="Whether real and generated pictures are moved at random; auto does so in small sets."
    )
    reconstruction: Share | None = Field(
        None,
        description="Share of a batch in which the generator learns to draw training pictures from their principal "
        "components; null chooses it from number and channels of the pictures.",
    )
    category_weight: float = Field(
        0.3, ge=0, description="Weight of the auxiliary classifier's loss in the generator's; 0 uses projection only."
    )
    patience: int = Field(
        4, gt=0, description="Epochs without a lower kernel distance that end a training without reconstruction."
    )


class TrainCnn(Training):
    """The picture reader."""

    steps_per_epoch: int = Field(
        0, ge=0, description="Optimizer steps in an epoch; 0 chooses them from number and size of the pictures."
    )
    width: int = Field(0, ge=0, description="Channels of the first layers; 0 chooses them from the size.")
    embedding: int = Field(64, gt=0, description="Length of the unit-length embedding.")
    channels_last: bool = Field(True, description="Memory layout of the pictures.")
    label_smoothing: Share = Field(0.05, description="Label smoothing of the category head.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's weight decay.")
    backbone: Literal["scratch", "efficientnet_lite0", "auto"] = Field(
        "auto",
        description="Network below the reader's head. auto compares both on split validation, up to 5,000 training "
        "pictures (10,000 in colour); with more, or in several processes, it is scratch.",
    )
    pretrained: Pretrained = PRETRAINED


class TrainLstm(SequenceTraining):
    """The copywriter."""

    vocabulary: int = Field(850, gt=0, description="Tokens of the byte-pair vocabulary.")


class TrainMusic(SequenceTraining):
    """The composer."""

    hidden: int = Field(128, gt=0, description="Width of the LSTM's state.")
    dropout: Share = Field(0.1, description="Dropout on embeddings and outputs.")


class TrainStyle(Training):
    """The stylizer."""

    pretrained: Pretrained = PRETRAINED
    width: int = Field(24, gt=0, description="Channels of the finest feature maps.")
    edge: int = Field(96, ge=32, multiple_of=8, description="Edge length of the training pictures.")
    drawn: int = Field(96, ge=4, description="Textures and scenes that are drawn from the seed to train on.")
    content_weight: float = Field(0.3, ge=0, strict=False, description="Weight of the content against the style.")


class Evaluate(ConfigModel):
    """How models are measured; intervals are 95 %."""

    seed: int = Field(7, ge=0, lt=2**32, description="Seed of sampling and of the bootstrap.")
    threads: int = Field(2, gt=0, description="CPU threads of ONNX Runtime; the result's bytes may depend on it.")
    bootstraps: int = Field(500, ge=20, description="Bootstrap draws per interval.")
    features: Pretrained | None = Field(
        None, description="Pretrained picture features that judge the GAN besides the reader; null leaves them out."
    )
    gan_samples: int = Field(5000, ge=100, description="Pictures generated to evaluate the GAN.")
    lstm_samples: int = Field(5000, ge=100, description="Lines generated to evaluate the LSTM.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature of these lines.")
    tunes: int = Field(50, gt=0, description="Tunes composed to evaluate the composer.")


class Register(ConfigModel):
    """The evaluation settings and the gate, which register reads."""

    evaluate: Evaluate
    gate: Gate


class Score(ConfigModel):
    """The scoring pipeline: champions over new tables."""

    creatives: Source | None = Field(None, description="Pictures to score with the champion reader.")
    events: Source | None = Field(None, description="Events; the champion segmenter assigns their users to segments.")
    to: str = Field("data/scored", description="Destination of the result: s3://bucket/prefix, or a path.")
    threads: int = Field(2, gt=0, description="CPU threads of ONNX Runtime; the result's bytes may depend on it.")


class Tune(ConfigModel):
    """The tuning pipeline: trials of a training stage side by side."""

    stage: Literal["train_gan", "train_cnn", "train_lstm", "train_music"] = Field(
        "train_cnn", description="The stage to tune."
    )
    trials: int = Field(16, gt=0, description="Number of trials; the first has the stage's own params.")
    epochs: int | None = Field(None, gt=0, description="Epochs of a trial; by default those of the stage.")


class Params(ConfigModel):
    """All of params.yaml."""

    project: Project = Field(description="Slug that prefixes experiments, registered models and S3 keys.")
    ingest: Ingest
    prepare: Prepare
    train_gan: TrainGan
    train_cnn: TrainCnn
    train_lstm: TrainLstm
    train_style: TrainStyle
    train_music: TrainMusic
    segment: Segment
    train_policy: TrainPolicy
    recommend: Recommend
    evaluate: Evaluate
    gate: Gate
    score: Score = Score()
    drift: Drift = Drift()
    tune: Tune = Tune()
    refresh_policy: RefreshPolicy = RefreshPolicy()
    pipeline: Pipeline = Pipeline()

    @property
    def report(self) -> Gate:
        """The block of the report stage."""
        return self.gate

    @property
    def register(self) -> Register:
        """The block of the register stage."""
        return Register(evaluate=self.evaluate, gate=self.gate)

    def block(self, stage: str) -> ConfigModel:
        """Return a stage's block."""
        return getattr(self, stage)  # type: ignore[no-any-return]

    @property
    def sources(self) -> dict[str, Source]:
        """The sources of tables, by key."""
        sources = {f"ingest.{table}": self.ingest.source(table) for table in TABLES}
        sources |= {"score.creatives": self.score.creatives, "score.events": self.score.events}
        sources["drift.impressions"] = self.drift.impressions
        return {key: source for key, source in sources.items() if source}

    @property
    def trainings(self) -> dict[str, Training]:
        """The blocks of the stages that train a network, by stage."""
        return {name: block for name, block in self if isinstance(block, Training)}

    @model_validator(mode="after")
    def _compare_the_goal(self) -> Self:
        """Check that the gate's comparisons of policies include the reward."""
        compared = {rule.metric for rule in self.gate.rules("policy") if rule.margin is not None}
        reward = self.train_policy.reward
        if compared and GOAL_METRICS[reward] not in compared:
            raise ValueError(
                f"gate.policy: no rule compares {GOAL_METRICS[reward]}, which train_policy.reward: {reward} optimises; "
                f"add {{metric: {GOAL_METRICS[reward]}, margin: 0}}"
            )
        return self

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Check rules that span several blocks."""
        if self.segment.segments_min > self.segment.segments_max:
            raise ValueError("segment: segments_min must not be above segments_max")
        for table in ("events", "impressions"):
            period: Period | None = getattr(self.prepare, table)
            if self.ingest.source(table) and period is None:
                raise ValueError(f"prepare.{table}: holdout_start and end are required because ingest.{table} is set")
            if period and datetime.fromisoformat(f"{period.holdout_start}") >= datetime.fromisoformat(f"{period.end}"):
                raise ValueError(f"prepare.{table}: holdout_start must be before end")
        if unknown := sorted(self.pipeline.stages.keys() - COMPONENTS):
            raise ValueError(
                f"pipeline.stages: unknown stage {unknown[0]}; expected one of {', '.join(sorted(COMPONENTS))}"
            )
        for rule in self.gate.rules("audience"):
            if rule.metric == "smallest_segment" and (rule.at_least or 0) > self.segment.min_segment_size:
                raise ValueError("gate.audience: smallest_segment must not be above segment.min_segment_size")
        return self


def stage_class(stage: str) -> type[ConfigModel]:
    """Return the class of a stage's block."""
    kinds: dict[str, type[ConfigModel]] = {"report": Gate, "register": Register}
    return kinds.get(stage) or Params.model_fields[stage].annotation  # type: ignore[return-value]


def parse(kind: type[AnyModel], text: str) -> AnyModel:
    """Parse a block from `to_json` output. Raises ConfigError."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"block of {kind.__name__}: {describe_errors(error, kind)}") from None


def load(path: Path) -> Params:
    """Read params.yaml. Raises ConfigError."""
    return load_file(path, Params, "`adloom init` writes one, --params names another")
