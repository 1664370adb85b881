"""The stage register: always registered, promoted only by the verdict, and never twice the same."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.conftest import MakeTable
from tests.support.copywriters import copy_rows, copywriter, params
from tests.support.measured_reports import write_report

from adloom.config.models import MODELS
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.errors import ArtifactError, ConfigError, ExternalServiceError
from adloom.registry import promotion
from adloom.registry.base import CHAMPION, ModelVersion
from adloom.registry.memory import MemoryRegistry
from adloom.stages.judging import Candidate
from adloom.stages.register import Inputs, Outputs, default_candidate, register, register_all, run
from adloom.storage import manifest


@pytest.fixture
def table(make_table: MakeTable) -> Path:
    """Return prepared lines of copy."""
    return make_table("copy", copy_rows())


def measured(model: Path, table: Path, context: StageContext) -> Candidate:
    return write_report(Candidate(model, table, model, model.with_name(f"report-{model.name}")), context)


def known(context: StageContext) -> list[tuple[int, str, tuple[str, ...]]]:
    return [(v.version, v.tags["verdict"], v.aliases) for v in context.registry.versions("lstm")]


def test_the_first_that_clears_its_bars_is_champion(tmp_path: Path, context: StageContext, table: Path) -> None:
    candidate = measured(copywriter(tmp_path / "lstm"), table, context)
    outcome = register(candidate, params().register, context)
    assert (outcome.model, outcome.version, outcome.verdict, outcome.champion) == ("lstm", 1, "promote", 1)
    assert outcome.reasons[0].startswith("bits_ratio ")
    assert known(context) == [(1, "promote", ("challenger", "champion"))]
    tags = context.registry.versions("lstm")[0].tags
    assert tags["manifest_digest"] == manifest.digest(candidate.model)
    assert tags["dataset_digest"] == manifest.digest(table)
    assert tags["params_digest"] == manifest.read(candidate.model).params


def test_one_below_its_bar_is_registered_and_is_not_champion(
    tmp_path: Path, context: StageContext, table: Path
) -> None:
    candidate = measured(copywriter(tmp_path / "lstm"), table, context)
    outcome = register(candidate, params(at_most=0.001).register, context)
    assert (outcome.version, outcome.verdict, outcome.champion) == (1, "reject", None)
    assert "expected at most 0.001" in outcome.reasons[0]
    assert known(context) == [(1, "reject", ("challenger",))]


def test_the_same_content_twice_is_one_version_and_moves_nothing(
    tmp_path: Path, context: StageContext, table: Path
) -> None:
    candidate = measured(copywriter(tmp_path / "lstm"), table, context)
    first = register(candidate, params().register, context)
    moves = context.registry.alias_events("lstm")
    assert register(candidate, params().register, context) == first
    assert context.registry.alias_events("lstm") == moves
    assert len(context.registry.versions("lstm")) == 1


@pytest.mark.slow
def test_a_worse_candidate_does_not_replace_the_champion(tmp_path: Path, context: StageContext, table: Path) -> None:
    register(measured(copywriter(tmp_path / "good"), table, context), params().register, context)
    outcome = register(measured(copywriter(tmp_path / "worse", 0.5), table, context), params().register, context)
    assert (outcome.version, outcome.verdict, outcome.champion) == (2, "reject", 1)
    assert "worse by more than 0.01; the champion stays" in outcome.reasons[1]
    assert known(context) == [(1, "promote", ("champion",)), (2, "reject", ("challenger",))]


@pytest.mark.slow
def test_a_better_candidate_replaces_the_champion(tmp_path: Path, context: StageContext, table: Path) -> None:
    register(measured(copywriter(tmp_path / "worse", 0.5), table, context), params().register, context)
    outcome = register(measured(copywriter(tmp_path / "good"), table, context), params().register, context)
    assert (outcome.version, outcome.verdict, outcome.champion) == (2, "promote", 2)
    assert "not worse by more than 0.01" in outcome.reasons[1]


@dataclass
class Overtaken(MemoryRegistry):
    """A registry in which another becomes champion while the first one is fetched to be compared with."""

    other: Candidate | None = None

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        if self.other:
            other, self.other = self.other, None
            winner = self.register(version.model, other.model, {"verdict": "promote", "reasons": "[]"})
            self.set_alias(version.model, CHAMPION, winner.version, "was quicker")
        return super().fetch(version, folder)


@pytest.mark.slow
def test_a_champion_that_came_meanwhile_is_compared_with_too(
    tmp_path: Path, context: StageContext, table: Path
) -> None:
    registry = Overtaken(tmp_path / "overtaken")
    world = replace(context, registry=registry)
    weak, better, best = (measured(copywriter(tmp_path / f"{s}", s), table, context) for s in (0.3, 0.5, 1.0))
    register(weak, params().register, world)
    registry.other = best
    outcome = register(better, params().register, world)
    assert (outcome.verdict, outcome.champion) == ("reject", 2)
    assert [(v.version, v.aliases) for v in registry.versions("lstm")] == [
        (1, ()),
        (2, ("champion",)),
        (3, ("challenger",)),
    ]
    assert [move.reason for move in registry.alias_events("lstm") if move.alias == CHAMPION][-1] == "was quicker"


@pytest.mark.slow
def test_endless_new_champions_are_an_error(tmp_path: Path, context: StageContext, table: Path) -> None:
    registry = Restless(tmp_path / "restless")
    world = replace(context, registry=registry)
    for skew in (0.5, 0.4):
        register(measured(copywriter(tmp_path / f"{skew}", skew), table, context), params().register, world)
    registry.restless = True
    moves = registry.alias_events("lstm")
    with pytest.raises(ExternalServiceError, match=r"^lstm: 5 new champions"):
        register(measured(copywriter(tmp_path / "good"), table, context), params().register, world)
    assert all(
        move.alias == CHAMPION and move.reason == "no, this one" for move in registry.alias_events("lstm")[len(moves) :]
    )


@dataclass
class Restless(MemoryRegistry):
    """A registry in which somebody names another champion whenever the one that is champion is fetched."""

    restless: bool = False

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        if self.restless:
            self.set_alias(version.model, CHAMPION, 3 - version.version, "no, this one")
        return super().fetch(version, folder)


def test_with_approve_a_person_has_to_promote(tmp_path: Path, context: StageContext, table: Path) -> None:
    candidate = measured(copywriter(tmp_path / "lstm"), table, context)
    outcome = register(candidate, params(approve=True).register, context)
    assert (outcome.verdict, outcome.champion) == ("promote", None)
    assert outcome.reasons[-1] == "gate.approve: `adloom promote lstm 1` makes it champion"
    promotion.promote(context.registry, "lstm", 1, "looked at its lines")
    assert register(candidate, params(approve=True).register, context).champion == 1


@pytest.mark.slow
def test_a_version_that_a_person_rolled_back_stays_withdrawn(
    tmp_path: Path, context: StageContext, table: Path
) -> None:
    register(measured(copywriter(tmp_path / "worse", 0.5), table, context), params().register, context)
    better = measured(copywriter(tmp_path / "good"), table, context)
    register(better, params().register, context)
    promotion.rollback(context.registry, "lstm", "it promised free shipping")
    outcome = register(better, params().register, context)
    assert (outcome.version, outcome.verdict, outcome.champion) == (2, "hold", 1)
    assert outcome.reasons == [
        "a person withdrew this version (it promised free shipping); `adloom promote lstm 2` brings it back"
    ]
    promotion.promote(context.registry, "lstm", 2, "the line is blocked now")
    assert register(better, params().register, context).champion == 2


@pytest.mark.slow
def test_a_champion_for_other_categories_is_not_compared(tmp_path: Path, context: StageContext, table: Path) -> None:
    register(measured(copywriter(tmp_path / "lstm"), table, context), params().register, context)
    other = copywriter(tmp_path / "other", 0.9)
    card = (other / "card.json").read_text().replace("Coats", "Jackets")
    with manifest.draft(tmp_path / "new", "train_lstm", Source(uri="new"), {}) as draft:
        for path in other.iterdir():
            if path.name != manifest.MANIFEST:
                (draft.path / path.name).write_bytes(card.encode() if path.name == "card.json" else path.read_bytes())
    outcome = register(measured(tmp_path / "new", table, context), params().register, context)
    assert (outcome.verdict, outcome.champion) == ("hold", 1)
    assert "could not be compared with the champion; " in outcome.reasons[1]


def test_stricter_rules_judge_the_champion_and_leave_it_champion(
    tmp_path: Path, context: StageContext, table: Path
) -> None:
    candidate = measured(copywriter(tmp_path / "lstm"), table, context)
    register(candidate, params().register, context)
    outcome = register(candidate, params(at_most=0.001).register, context)
    assert (outcome.version, outcome.verdict, outcome.champion) == (1, "reject", 1)
    assert known(context) == [(1, "reject", ("challenger", "champion"))]


def test_an_interrupted_registration_is_completed_by_the_next(
    tmp_path: Path, context: StageContext, table: Path
) -> None:
    candidate = measured(copywriter(tmp_path / "lstm"), table, context)
    register(
        candidate, params(approve=True).register, context
    )  # a version without champion, as if the process had died there
    assert register(candidate, params().register, context).champion == 1
    assert len(context.registry.versions("lstm")) == 1


def test_a_report_of_another_model_is_refused(tmp_path: Path, context: StageContext, table: Path) -> None:
    candidate = measured(copywriter(tmp_path / "lstm"), table, context)
    other = copywriter(tmp_path / "other", 0.5)
    with pytest.raises(ArtifactError, match=r"report-lstm: measured another .*other; `adloom run` measures this one"):
        register(Candidate(other, table, other, candidate.report), params().register, context)
    assert context.registry.versions("lstm") == []


def test_a_skipped_model_is_not_registered(tmp_path: Path, context: StageContext, table: Path) -> None:
    model = tmp_path / "lstm"
    manifest.skip(model, "train_lstm", Source(uri="x"), "no source: ingest.copy is not given")
    candidate = measured(model, table, context)
    outcome = register(candidate, params().register, context)
    assert (outcome.model, outcome.version, outcome.verdict) == ("lstm", None, "skipped")
    assert outcome.reasons == ["no source: ingest.copy is not given"]


def test_without_paths_all_models_are_registered(
    tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for model in MODELS:
        paths = default_candidate(model)
        stage = MODELS[model].stage
        for folder, stage_name in ((paths.model, stage), (paths.report, "evaluate")):
            manifest.skip(folder, stage_name, Source(uri="x"), "not today")
    assert [outcome.model for outcome in register_all(params().register, context)] == list(MODELS)
    values = run(Inputs(), Outputs(), params().register, context)
    assert values["gan.verdict"] == "skipped"
    assert values["audience.reason.1"] == "not today"


def test_one_model_is_shown_in_full(tmp_path: Path, context: StageContext, table: Path) -> None:
    one = measured(copywriter(tmp_path / "lstm"), table, context)
    values = run(Inputs(one.model, one.table, one.judge, one.report), Outputs(), params().register, context)
    assert values == {
        "lstm.verdict": "promote",
        "lstm.version": 1,
        "lstm.champion": 1,
        "lstm.reason.1": values["lstm.reason.1"],
    }
    with pytest.raises(ConfigError, match="give --model, --table and --report, or no option"):
        run(Inputs(model=one.model), Outputs(), params().register, context)


def test_noisy_profiles_above_the_privacy_budget_are_not_registered(tmp_path: Path, context: StageContext) -> None:
    with manifest.draft(tmp_path / "audience", "segment", Source(uri="test"), {}) as draft:
        draft.facts["epsilon"] = "2"
        draft.write_json("card.json", {"model": "audience", "params": {"privacy": {"budget": 1.5}}})
    outcome = register(Candidate(*[tmp_path / "audience"] * 4), params().register, context)
    assert (outcome.version, outcome.verdict) == (None, "reject")
    assert "privacy: epsilon 2 and the 0 of versions none are above segment.privacy.budget 1.5" in outcome.reasons[0]
    assert context.registry.versions("audience") == []
