"""What every stage that makes a model does around its work: a tracked run, a draft of the artifact, and their link."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from adloom.config.base import Block
from adloom.context import Outside
from adloom.storage import manifest
from adloom.storage.manifest import Draft
from adloom.tracking.base import Run


@contextmanager
def tracked(
    stage: str, table: Path, target: Path, params: Block, outside: Outside, others: Mapping[str, Path] | None = None
) -> Iterator[tuple[Draft, Run]]:
    """
    Yield a draft, which becomes the artifact `target` when the block ends, and the run that is told of it.

    The draft has the table's facts; `others` are further inputs by name. Raises ArtifactError when the table was
    changed.
    """
    facts = manifest.verify(table).facts
    tags = {"dataset_digest": manifest.digest(table), "params_digest": params.digest()}
    with outside.tracker.run(stage, params.model_dump(mode="json"), tags) as run:
        with manifest.draft(target, stage, params, {"table": table, **(others or {})}) as made:
            made.facts.update(facts)
            made.environment.update(outside.kernels)
            yield made, run
        run.tags({"manifest_digest": manifest.digest(target)})
