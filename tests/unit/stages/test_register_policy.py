"""Registering policies: against the log, then against the champion, and never without the audience they decide with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import MakeTable
from tests.support import copywriters, policies
from tests.support.measured_reports import write_report
from tests.support.policies import simulate_impressions, write_policy
from tests.support.simulated_logs import WORLD
from tests.support.tiny_models import write_audience

from adloom.config.gate import Gate, MetricRule
from adloom.config.models import MODELS
from adloom.config.params import Params
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.errors import ArtifactError
from adloom.evaluation import sections
from adloom.evaluation.metric import Evaluation, Metric
from adloom.registry import promotion
from adloom.registry.base import CHAMPION, find_alias
from adloom.registry.verdict import Outcome
from adloom.stages.judging import Candidate
from adloom.stages.measure import measure
from adloom.stages.register import default_candidate, register, register_all
from adloom.storage import manifest, parquet
from adloom.world.simulator import World

AUDIENCE, POLICY = "audience", "policy"


def params(margin: float = 0.0, smallest: int = 1, *, approve: bool = False) -> Params:
    rules = [MetricRule(metric="smallest_segment", at_least=smallest)]
    gate = Gate.model_validate(
        {
            "approve": approve,
            "gan": [],
            "cnn": [],
            "lstm": [],
            "style": [],
            "music": [],
            "audience": rules,
            "recommender": [],
            "policy": [MetricRule(metric="click_rate", margin=margin)],
        }
    )
    return copywriters.params().model_copy(update={"gate": gate})


@pytest.fixture
def root(tmp_path: Path, make_table: MakeTable) -> Path:
    """Return a workspace whose pictures and copy were skipped, with impressions of the simulator."""
    for model, spec in MODELS.items():
        if model not in (AUDIENCE, POLICY):
            manifest.skip(tmp_path / "models" / model, spec.stage, Source(uri="x"), "no source")
            manifest.skip(tmp_path / "reports" / model, "evaluate", Source(uri="x"), "no source")
            manifest.skip(tmp_path / "data/dataset" / spec.table, "prepare", Source(uri="x"), "no source")
    make_table("impressions", simulate_impressions(8000))
    make_table("events", copywriters.copy_rows())  # of which nothing is asked here but its digest
    return tmp_path


def make(root: Path, context: StageContext, share: float | None, buyers: str = "1") -> None:
    """Make an audience, and a policy that follows the truth by a share, each with its report; no policy when None."""
    audience, policy = root / "models" / AUDIENCE, root / "models" / POLICY
    write_audience(audience, buyers.encode())
    smallest = {"smallest_segment": Metric(2, 2, 2, 4, "count")}
    with manifest.draft(root / "reports" / AUDIENCE, "evaluate", Source(uri="x"), {"model": audience}) as draft:
        for name, content in sections.render_files(Evaluation(smallest, {}, [])).items():
            (draft.path / name).write_bytes(content)
    if share is None:
        manifest.skip(policy, "train_policy", Source(uri="x"), "no source")
    else:
        write_policy(policy, root / "data/dataset/impressions", share, audience)
    write_report(default_candidate(POLICY, root), context)


def all_of(root: Path, context: StageContext, loaded: Params | None = None) -> dict[str, Outcome]:
    return {outcome.model: outcome for outcome in register_all((loaded or params()).register, context, root)}


def champions(context: StageContext) -> tuple[int | None, int | None]:
    versions = (find_alias(context.registry.versions(model), CHAMPION) for model in (AUDIENCE, POLICY))
    first, second = (version.version if version else None for version in versions)
    return first, second


@pytest.mark.slow
def test_the_first_policy_is_compared_with_the_log_and_takes_its_audience_along(
    root: Path, context: StageContext
) -> None:
    make(root, context, 1.0)
    outcomes = all_of(root, context)
    assert (outcomes[POLICY].verdict, outcomes[POLICY].champion) == ("promote", 1)
    assert (outcomes[AUDIENCE].verdict, outcomes[AUDIENCE].champion) == ("promote", 1)
    assert outcomes[POLICY].reasons[0].startswith("click_rate against the log: lift +0.0")
    tags = context.registry.versions(POLICY)[0].tags
    assert tags["audience_digest"] == manifest.digest(root / "models" / AUDIENCE)
    assert all_of(root, context) == outcomes
    assert len(context.registry.alias_events(POLICY)) == 2


@pytest.mark.slow
def test_a_first_policy_without_enough_evidence_waits_and_its_audience_does_not(
    root: Path, context: StageContext, make_table: MakeTable
) -> None:
    make_table("impressions", simulate_impressions(5000))
    make(root, context, 1.0)
    outcomes = all_of(root, context)
    assert (outcomes[POLICY].verdict, outcomes[POLICY].champion) == ("hold", None)
    prefix = "click_rate against the log: not enough evidence: about "
    assert outcomes[POLICY].reasons[0].startswith(prefix)
    needed = int(outcomes[POLICY].reasons[0].removeprefix(prefix).split(" more matured")[0].replace(",", ""))
    assert 100 < needed < 1_000_000
    assert champions(context) == (1, None)


@pytest.mark.slow
def test_a_policy_equal_to_the_log_is_held(root: Path, context: StageContext) -> None:
    make(root, context, 0.0)
    outcome = all_of(root, context)[POLICY]
    assert outcome.verdict == "hold"
    assert "more impressions like these would not help" in outcome.reasons[0]
    wide = all_of(root, context, params(margin=0.03))[POLICY]
    assert wide.verdict == "promote"


@pytest.mark.slow
def test_a_better_pair_replaces_the_pair(root: Path, context: StageContext) -> None:
    make(root, context, 0.5)
    all_of(root, context)
    make(root, context, 2.0, buyers="2")
    outcomes = all_of(root, context)
    assert outcomes[POLICY].reasons[0].startswith("click_rate against the champion: lift +0.0")
    assert [(o.verdict, o.version, o.champion) for o in (outcomes[AUDIENCE], outcomes[POLICY])] == [
        ("promote", 2, 2)
    ] * 2
    assert context.registry.alias_events(AUDIENCE)[-1].reason == "with policy 2"


@pytest.mark.slow
@pytest.mark.parametrize("share", [-1.0, 0.5])
def test_a_new_audience_waits_for_a_policy_that_is_good_enough(root: Path, context: StageContext, share: float) -> None:
    make(root, context, 1.0)
    all_of(root, context)
    make(root, context, share, buyers="2")
    outcomes = all_of(root, context)
    assert (outcomes[POLICY].verdict, outcomes[AUDIENCE].verdict) == ("hold", "hold")
    assert champions(context) == (1, 1)
    assert outcomes[AUDIENCE].reasons[-1].startswith("audience 2: the champion, policy 1, needs another audience")
    promotion.promote(context.registry, POLICY, 2, "looked at what it shows")
    assert champions(context) == (2, 2)


@pytest.mark.slow
def test_a_policy_waits_for_an_audience_that_is_good_enough(root: Path, context: StageContext) -> None:
    make(root, context, 0.5)
    all_of(root, context)
    make(root, context, 2.0, buyers="2")
    outcomes = all_of(root, context, params(smallest=3))
    assert (outcomes[AUDIENCE].verdict, outcomes[POLICY].verdict) == ("reject", "hold")
    assert outcomes[POLICY].reasons[-1] == "audience 2, its pair, is not promoted; `adloom models` says why"
    assert champions(context) == (1, 1)
    all_of(root, context)  # with the old bar both are good enough
    assert champions(context) == (2, 2)


@pytest.mark.slow
def test_a_new_policy_of_the_same_audience_is_promoted_alone(root: Path, context: StageContext) -> None:
    make(root, context, 0.5)
    all_of(root, context)
    make(root, context, 2.0)
    outcomes = all_of(root, context)
    assert champions(context) == (1, 2)
    assert outcomes[AUDIENCE].version == 1


@pytest.mark.slow
def test_without_a_policy_a_new_audience_waits_while_one_decides(root: Path, context: StageContext) -> None:
    make(root, context, 1.0)
    all_of(root, context)
    make(root, context, None, buyers="2")
    outcomes = all_of(root, context)
    assert (outcomes[AUDIENCE].verdict, outcomes[POLICY].verdict) == ("hold", "skipped")
    assert champions(context) == (1, 1)


@pytest.mark.slow
def test_a_pair_that_a_person_rolled_back_stays_withdrawn(root: Path, context: StageContext) -> None:
    make(root, context, 0.5)
    all_of(root, context)
    make(root, context, 2.0, buyers="2")
    all_of(root, context)
    promotion.rollback(context.registry, AUDIENCE, "segments mixed up")
    assert champions(context) == (1, 1)
    outcomes = all_of(root, context)
    assert (outcomes[AUDIENCE].verdict, outcomes[POLICY].verdict) == ("hold", "hold")
    make(root, context, 2.1, buyers="2")  # another policy of the audience that was withdrawn
    outcomes = all_of(root, context)
    assert outcomes[POLICY].reasons[-1] == "audience 2, its pair, was withdrawn by a person (segments mixed up)"
    assert champions(context) == (1, 1)


@pytest.mark.slow
def test_with_approve_a_person_promotes_the_pair(root: Path, context: StageContext) -> None:
    make(root, context, 1.0)
    outcomes = all_of(root, context, params(approve=True))
    assert champions(context) == (None, None)
    assert outcomes[POLICY].reasons[-1] == "gate.approve: `adloom promote policy 1` makes it champion, with audience 1"
    promotion.promote(context.registry, POLICY, 1, "looked at it")
    assert champions(context) == (1, 1)


@pytest.mark.slow
def test_a_registration_that_died_between_the_two_is_completed(root: Path, context: StageContext) -> None:
    make(root, context, 0.5)
    all_of(root, context)
    make(root, context, 2.0, buyers="2")
    all_of(root, context, params(approve=True))
    context.registry.set_alias(AUDIENCE, CHAMPION, 2, "with policy 2")  # and then the process was killed
    assert champions(context) == (2, 1)
    all_of(root, context)
    assert champions(context) == (2, 2)


@pytest.mark.slow
def test_a_champion_of_another_maturity_is_measured_on_the_same_impressions(root: Path, context: StageContext) -> None:
    make(root, context, 0.5)
    all_of(root, context)
    policy = default_candidate(POLICY, root)
    with (policy.model / "card.json").open() as stream:
        card = stream.read()
    assert '"maturity_hours": 2' in card
    with manifest.draft(root / "patient", "train_policy", Source(uri="3 hours"), {"table": policy.table}) as draft:
        (draft.path / "card.json").write_text(card.replace('"maturity_hours": 2', '"maturity_hours": 3'))
        policies.oracle_policy(World(WORLD, policies.SEED), 2.0).save(draft.path / "policy.npz")
    (root / "patient").replace(root / "models" / "newer")
    candidate = Candidate(root / "models" / "newer", policy.table, policy.judge, root / "reports" / "newer")
    outcome = register(write_report(candidate, context), params().register, context)
    assert (outcome.verdict, outcome.champion) == ("promote", 2)
    assert "against the champion" in outcome.reasons[0]


@pytest.mark.slow
def test_a_champion_whose_audience_is_lost_is_not_compared(root: Path, context: StageContext) -> None:
    make(root, context, 0.5)
    context.registry.register(POLICY, root / "models" / POLICY, {"audience_digest": "f" * 64})
    context.registry.set_alias(POLICY, CHAMPION, 1, "found somewhere", by="person")
    make(root, context, 2.0, buyers="2")
    outcome = all_of(root, context)[POLICY]
    assert outcome.verdict == "hold"
    assert "could not be compared with the champion" in outcome.reasons[0]
    assert champions(context) == (None, 1)


@pytest.mark.slow
def test_the_report_shows_the_rows_and_the_competing_policies(root: Path, context: StageContext) -> None:
    make(root, context, 1.0)
    findings = sections.read_findings(root / "reports" / POLICY)
    rows = parquet.read(root / "data/dataset/impressions", "holdout")
    counted = findings.metrics["impressions"].value
    assert counted + findings.metrics["immature"].value == len(rows)
    assert findings.metrics["logged_click_rate"].value == pytest.approx(rows["clicked"].mean(), rel=0.15)
    true = policies.true_value(1.0)
    assert findings.metrics["click_rate"].low <= true <= findings.metrics["click_rate"].high
    assert findings.metrics["unsupported"].value == 0
    titles = [section.title for section in findings.sections]
    assert titles == [
        "Click rates", "Policies compared", "Lift over time", "Estimators", "Impressions per creative",
        "Largest shifts", "Guardrails", "Exclusions",
    ]  # fmt: skip
    policy = default_candidate(POLICY, root)
    again = measure(policy.model, policy.table, policy.judge, copywriters.EVALUATE)
    assert sections.render_files(again) == {
        path.name: path.read_bytes() for path in files(root / "reports" / POLICY) if path.name != manifest.MANIFEST
    }


@pytest.mark.slow
@pytest.mark.parametrize(("share", "verdict"), [(1.0, "promote"), (-1.0, "hold")])
def test_estimated_propensities_are_judged_by_doubly_robust_lifts(
    root: Path, make_table: MakeTable, context: StageContext, share: float, verdict: str
) -> None:
    rows = parquet.read(root / "data/dataset/impressions")
    make_table("impressions", rows.assign(propensity=float("nan")))
    make(root, context, share)
    findings = sections.read_findings(root / "reports" / POLICY)
    titles = [section.title for section in findings.sections]
    assert "Estimated propensities" in titles
    assert "Lift over time" not in titles  # it is by inverse propensities
    [estimators] = [section for section in findings.sections if section.title == "Estimators"]
    assert [row[0] for row in estimators.rows] == ["doubly robust"]  # type: ignore[union-attr]
    outcome = all_of(root, context)[POLICY]
    assert outcome.verdict == verdict
    assert "against the log, with estimated propensities: " in outcome.reasons[0]


def files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_file())


@pytest.mark.slow
def test_a_policy_is_not_measured_with_another_audience(root: Path, context: StageContext) -> None:
    make(root, context, 1.0)
    write_audience(root / "other", b"2")
    policy = default_candidate(POLICY, root)
    with pytest.raises(ArtifactError, match="decides with another audience than .*other"):
        measure(policy.model, policy.table, root / "other", copywriters.EVALUATE)
