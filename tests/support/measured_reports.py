"""Reports of models; equal models with equal tables and judges are measured once."""

import shutil

from tests.support.copywriters import EVALUATE

from adloom.context import StageContext
from adloom.stages import evaluate
from adloom.stages.judging import Candidate
from adloom.storage import manifest

REPORTS: dict[tuple[str, ...], dict[str, bytes]] = {}  # the files of each


def write_report(candidate: Candidate, context: StageContext) -> Candidate:
    """Write the report of a model with cheap measurements; return the model."""
    inputs = (candidate.model, candidate.table, candidate.judge)
    digests = tuple(manifest.digest(folder) for folder in inputs)
    if digests not in REPORTS:
        evaluate.run(evaluate.Inputs(*inputs), evaluate.Outputs(candidate.report), EVALUATE, context)
        REPORTS[digests] = {path.name: path.read_bytes() for path in candidate.report.iterdir()}
    shutil.rmtree(candidate.report, ignore_errors=True)
    candidate.report.mkdir(parents=True)
    for name, content in REPORTS[digests].items():
        (candidate.report / name).write_bytes(content)
    return candidate
