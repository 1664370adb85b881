"""The table of models, which every module that lists models reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["double", "string"]


@dataclass(frozen=True)
class ModelSpec:
    """A model: its data, its training stage, and its functions as `module:name`."""

    name: str
    title: str  # in the report
    summary: str
    table: str  # for training and evaluation
    stage: str  # training stage
    evaluator: str  # (model folder, table folder, judge folder, Evaluate, policy for its rows) -> Evaluation
    opener: str  # (folder, ModelCard, threads) -> the model, tested by one inference
    shares_task: str | None = None  # its task on Kubeflow runs this stage too, because each task takes room
    judge: str | None = None  # the model that its evaluation needs
    has_baseline: bool = False  # whether the first version is compared with a baseline
    app: Literal["decide", "creatives"] | None = None  # the app that serves it, in addition to `all`
    example_request: str | None = None  # (url, categories) -> a line about the response
    signature: str | None = None  # (folder) -> TableSignature; None for ONNX files

    @property
    def task(self) -> str:
        """The task on Kubeflow that trains it."""
        return self.shares_task or self.stage


@dataclass(frozen=True)
class TableSignature:
    """The columns of a model without ONNX file, and an example row."""

    inputs: Mapping[str, ColumnType]
    optional: frozenset[str]  # inputs that may be null
    output: tuple[str, ColumnType]
    example: Mapping[str, float | str]


_ROWS = (
    ModelSpec(
        name="gan",
        title="Picture generator",
        summary="Generates product pictures of a category. A separately trained reader evaluates them.",
        table="creatives",
        stage="train_gan",
        evaluator="adloom.stages.measure:measure_generator",
        opener="adloom.serving.models.loader:open_generator",
        judge="cnn",
        app="creatives",
        example_request="adloom.serving.client:request_pictures",
    ),
    ModelSpec(
        name="cnn",
        title="Picture reader",
        summary="Classifies product pictures and finds similar pictures.",
        table="creatives",
        stage="train_cnn",
        evaluator="adloom.stages.measure:measure_reader",
        opener="adloom.serving.models.loader:open_reader",
        app="creatives",
        example_request="adloom.serving.client:request_category",
    ),
    ModelSpec(
        name="lstm",
        title="Copywriter",
        summary="Writes short lines of advertising copy. It is measured by how well it predicts real lines.",
        table="copy",
        stage="train_lstm",
        evaluator="adloom.stages.measure:measure_copywriter",
        opener="adloom.serving.models.loader:open_copywriter",
        app="creatives",
        example_request="adloom.serving.client:request_lines",
    ),
    ModelSpec(
        name="style",
        title="Stylizer",
        summary="Paints pictures with the colours and strokes of others, in one pass, and dreams into them.",
        table="creatives",
        stage="train_style",
        evaluator="adloom.stages.measure:measure_stylizer",
        opener="adloom.serving.models.stylizer:open_stylizer",
        app="creatives",
        example_request="adloom.serving.client:request_stylized_picture",
    ),
    ModelSpec(
        name="music",
        title="Composer",
        summary="Composes melodies of whole bars. It is measured by how well it predicts the notes of real tunes.",
        table="tunes",
        stage="train_music",
        evaluator="adloom.stages.measure:measure_composer",
        opener="adloom.serving.models.composer:open_composer",
        app="creatives",
        example_request="adloom.serving.client:request_melody",
    ),
    ModelSpec(
        name="audience",
        title="Audience segments",
        summary="Groups customers by how recently, how often and how much they buy.",
        table="events",
        stage="segment",
        evaluator="adloom.stages.measure:measure_audience",
        opener="adloom.serving.models.loader:open_audience",
        app="decide",
        example_request="adloom.serving.client:request_segment",
        signature="adloom.audience.segmenter:describe_columns",
    ),
    ModelSpec(
        name="recommender",
        title="Recommender",
        summary="Recommends the next item to a user, from the items before.",
        table="events",
        stage="recommend",
        shares_task="segment",
        evaluator="adloom.stages.measure:measure_recommender",
        opener="adloom.serving.models.recommender:open_recommender",
        app="decide",
        example_request="adloom.serving.client:request_recommendation",
        signature="adloom.recommendation.recommender:describe_columns",
    ),
    ModelSpec(
        name="policy",
        title="Policy",
        summary="Decides which creative to show, with a probability for each candidate.",
        table="impressions",
        stage="train_policy",
        evaluator="adloom.stages.measure:measure_policy",
        opener="adloom.serving.models.loader:open_policy",
        judge="audience",
        has_baseline=True,
        app="decide",
        example_request="adloom.serving.client:request_decision",
        signature="adloom.policy.scorer:describe_columns",
    ),
)

MODELS: dict[str, ModelSpec] = {row.name: row for row in _ROWS}
