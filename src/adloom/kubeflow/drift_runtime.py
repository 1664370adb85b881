"""The code that the scoring pipeline's component `drift` runs in its pod."""

import logging
import shutil
from pathlib import Path

from adloom.config import params as parameters
from adloom.config.drift import Drift
from adloom.config.settings import Settings
from adloom.errors import AdloomError
from adloom.kubeflow.component_runtime import Artifact, Artifacts, describe_artifact, link_artifacts, registry_context
from adloom.kubeflow.retraining import request_retraining
from adloom.retry import RETRY
from adloom.stages import runner
from adloom.storage import manifest

UNSET = "drift.reference: not set, so that nothing was compared"

logger = logging.getLogger(__name__)


@RETRY
def find_drift(project: str, block: str, tables: Artifacts, report: Artifact, page: Artifact) -> None:
    """
    Compare the prepared tables with `drift.reference`, and ask for a retraining on an alarm.

    A trigger server without an answer is a warning: the next run asks again.
    """
    params, context = parameters.parse(Drift, block), registry_context(project)
    if params.reference is None:
        manifest.skip(Path(report.path), "drift", params, UNSET)
        Path(page.path).write_text(f"<p>{UNSET}</p>\n", encoding="utf-8")
        return
    with link_artifacts({"current": tables}) as root:
        paths = {"reference": params.reference, "current": str(root / "current"), "report": report.path}
        result = runner.run_stage("drift", paths, params, context)
    shutil.copyfile(Path(report.path) / "report.html", page.path)
    describe_artifact(report, context)
    try:
        outcome = request_retraining(str(result["reason"]), params, Settings(), context.tracker)
    except AdloomError as error:
        outcome = str(error)
        logger.warning("%s", outcome)
    report.metadata["retraining"] = outcome
