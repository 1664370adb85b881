"""Judging: against the bars alone, against a champion, and never twice on the same evidence."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import MakeTable
from tests.support.copywriters import copy_rows, copywriter, params
from tests.support.measured_reports import write_report

from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.errors import ArtifactError
from adloom.registry.base import ModelVersion
from adloom.stages.judging import Candidate, build_tags, judge
from adloom.storage import manifest


@pytest.fixture
def candidate(tmp_path: Path, make_table: MakeTable, context: StageContext) -> Candidate:
    table = make_table("copy", copy_rows())
    return measured(copywriter(tmp_path / "lstm"), table, context)


def measured(model: Path, table: Path, context: StageContext) -> Candidate:
    return write_report(Candidate(model, table, model, model.with_name(f"report-{model.name}")), context)


def with_card(model: Path, target: Path, **card: object) -> Path:
    """Return a copy of a copywriter whose card.json has more."""
    with manifest.draft(target, "train_lstm", Source(uri="x"), {}) as draft:
        for path in model.iterdir():
            if path.name != manifest.MANIFEST:
                shutil.copy(path, draft.path)
        known = json.loads((draft.path / "card.json").read_text(encoding="utf-8"))
        draft.write_json("card.json", known | card)
    return target


def register(candidate: Candidate, context: StageContext) -> ModelVersion:
    judgement = judge(candidate, None, None, params().register, context)
    return context.registry.register("lstm", candidate.model, build_tags(candidate, judgement, params().register))


def test_a_judgement_is_read_from_the_tags_of_equal_evidence(candidate: Candidate, context: StageContext) -> None:
    first = judge(candidate, None, None, params().register, context)
    version = register(candidate, context)
    assert version.tags["dataset_digest"] == manifest.digest(candidate.table)
    assert json.loads(version.tags["numbers"]).keys() == {"bits_ratio"}
    marked = replace(version, tags={**version.tags, "reasons": '["from the tags"]'})
    again = judge(candidate, marked, None, params().register, context)
    assert again == replace(first, reasons=["from the tags"])
    changed = judge(candidate, marked, None, params(at_most=0.001).register, context)
    assert (changed.verdict, changed.evidence == first.evidence) == ("reject", False)


def test_a_champion_is_not_its_own_rival(candidate: Candidate, context: StageContext) -> None:
    version = register(candidate, context)
    alone = judge(candidate, None, None, params().register, context)
    assert judge(candidate, version, version, params().register, context) == alone


def test_a_champion_for_other_rows_is_not_compared(
    candidate: Candidate, context: StageContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    champion = register(
        measured(with_card(candidate.model, tmp_path / "other", categories=["Hat"]), candidate.table, context), context
    )
    with caplog.at_level(logging.WARNING, "adloom"):
        judgement = judge(candidate, None, champion, params().register, context)
    assert judgement.verdict == "hold"
    assert f"lstm champion {champion.version}: made for categories ['Hat']" in caplog.text


def test_a_report_of_another_model_is_refused(candidate: Candidate, context: StageContext, tmp_path: Path) -> None:
    other = copywriter(tmp_path / "other", 0.5)
    with pytest.raises(ArtifactError, match="measured another"):
        judge(replace(candidate, model=other), None, None, params().register, context)
