"""A tracked run with the draft of a model's artifact."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from adloom.config.base import ConfigModel
from adloom.context import StageContext
from adloom.storage import manifest
from adloom.storage.manifest import Draft
from adloom.tracking.base import Run


@contextmanager
def track_run(
    stage: str,
    table: Path,
    target: Path,
    params: ConfigModel,
    context: StageContext,
    others: Mapping[str, Path] | None = None,
) -> Iterator[tuple[Draft, Run]]:
    """
    Yield a draft, which becomes the artifact `target` when the block ends, and its run.

    `others` are further inputs by name. Raises ArtifactError for a modified table.
    """
    facts = manifest.verify(table).facts
    tags = {"dataset_digest": manifest.digest(table), "params_digest": params.digest()}
    with context.tracker.start_run(stage, params.model_dump(mode="json"), tags) as run:
        with manifest.draft(target, stage, params, {"table": table, **(others or {})}) as draft:
            draft.facts.update(facts)
            draft.environment.update(context.kernels)
            yield draft, run
        run.set_tags({"manifest_digest": manifest.digest(target)})
