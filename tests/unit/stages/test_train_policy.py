"""The stage: an artifact from impressions, equal bytes every time, with segments and pictures where there are any."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support.impression_tables import impressions_frame
from tests.support.policies import PARAMS, simulate_impressions
from tests.support.tiny_encoder import WIDTH, pin_encoder
from tests.support.tiny_models import CATEGORIES, write_audience, write_reader

from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.creatives.pictures import encode_pngs
from adloom.data.privacy import PUBLISHED_KEY, pseudonymise
from adloom.errors import ArtifactError, DataError
from adloom.policy.content_model import TEXT_BUCKETS
from adloom.policy.scorer import Policy, ScoringRequest
from adloom.stages.train_policy import Inputs, Outputs, run
from adloom.storage import manifest
from adloom.tracking.memory import MemoryTracker


@pytest.fixture
def inputs(tmp_path: Path, make_table: MakeTable) -> Inputs:
    """Return impressions of the simulator, and nothing else."""
    for name in ("audience", "creatives", "cnn", "copy"):
        manifest.skip(tmp_path / name, "segment", Source(uri="x"), "no source")
    table = make_table("impressions", simulate_impressions())
    return Inputs(table, *(tmp_path / name for name in ("audience", "creatives", "cnn", "copy")))


def train(inputs: Inputs, out: Path, context: StageContext) -> dict[str, float]:
    return dict(run(inputs, Outputs(out), PARAMS, context))


def card(out: Path) -> dict[str, object]:
    return dict(json.loads((out / "card.json").read_text(encoding="utf-8")))


def test_impressions_become_a_policy(inputs: Inputs, tmp_path: Path, context: StageContext) -> None:
    out = tmp_path / "policy"
    metrics = train(inputs, out, context)
    made = manifest.verify(out)
    assert set(made.files) == {"policy.npz", "card.json", "history.json"}
    assert set(made.inputs) == {"table", "audience", "creatives", "cnn", "copy"}
    told = card(out)
    assert told["audience"] is None
    assert told["impressions"] == {
        "immature": 2000, "late": 0, "without_propensity": 0, "without_segment": 0, "capped_users": 0,
        "capped_value": 0, "invalid": {}, "propensity_estimated": 0,  # the log says
    }  # fmt: skip
    chosen = told["chosen"]
    assert isinstance(chosen, dict)
    assert chosen["model"] == "linear"
    assert metrics["click_rate"] == chosen["value"]
    assert [c["verdict"] == "chosen" for c in told["candidates"]].count(True) == 1  # type: ignore[attr-defined]
    policy = Policy.load(out / "policy.npz")
    assert (policy.temperature, policy.floor) == (0.3, PARAMS.floor)
    assert isinstance(context.tracker, MemoryTracker)
    assert context.tracker.runs[-1].recorded_tags["manifest_digest"] == manifest.digest(out)


@pytest.mark.slow
def test_the_same_impressions_give_the_same_bytes(inputs: Inputs, tmp_path: Path, context: StageContext) -> None:
    train(inputs, tmp_path / "one", context)
    train(inputs, tmp_path / "deeper" / "other", context)
    assert manifest.digest(tmp_path / "one") == manifest.digest(tmp_path / "deeper" / "other")


@pytest.mark.slow
def test_the_holdout_period_is_not_looked_at(
    inputs: Inputs, make_table: MakeTable, tmp_path: Path, context: StageContext
) -> None:
    train(inputs, tmp_path / "one", context)
    rows = simulate_impressions().copy()
    rows.loc[rows["split"] == "holdout", "clicked"] = True
    train(replace(inputs, impressions=make_table("impressions", rows)), tmp_path / "other", context)
    files = [(tmp_path / name / "policy.npz").read_bytes() for name in ("one", "other")]
    assert files[0] == files[1]


def test_users_decide_by_their_segment(
    make_table: MakeTable, inputs: Inputs, tmp_path: Path, context: StageContext
) -> None:
    audience = tmp_path / "models" / "audience"
    write_audience(audience, users=[str(number) for number in range(400)])
    rng = np.random.default_rng(0)
    user, shown = rng.integers(500, size=6000), rng.choice(["a", "b"], 6000)
    liked = (user < 200) == (shown == "a")
    rows = impressions_frame(
        creative_id=shown, clicked=rng.random(6000) < np.where(liked, 0.3, 0.05), hours=np.arange(6000) / 20,
        user_id=[pseudonymise(str(number), PUBLISHED_KEY) for number in user],
    )  # fmt: skip
    table = make_table("impressions", rows.assign(split="calibration"))
    train(replace(inputs, impressions=table, audience=audience), tmp_path / "policy", context)
    told = card(tmp_path / "policy")
    assert told["audience"] == manifest.digest(audience)
    assert told["impressions"]["without_segment"] == pytest.approx(6000 / 5, rel=0.1)  # type: ignore[index]
    policy = Policy.load(tmp_path / "policy" / "policy.npz")
    lately = policy.probabilities({"placement": "top", "segment": "segment-1"}, ["a", "b"])
    others = policy.probabilities({"placement": "top", "segment": "segment-2"}, ["a", "b"])
    assert lately[0] > 0.8
    assert others[0] < 0.2


@pytest.mark.parametrize(
    ("reward", "best", "metric"), [("click", 0, "click_rate"), ("value", 1, "value_per_impression")]
)
def test_a_policy_shows_what_earns_the_reward(
    inputs: Inputs, make_table: MakeTable, tmp_path: Path, context: StageContext, reward: str, best: int, metric: str
) -> None:
    """Creative a has three times the clicks of b; a click on b is worth ten times as much."""
    rng = np.random.default_rng(1)
    shown = rng.choice(["a", "b"], 6000)
    clicked = rng.random(6000) < np.where(shown == "a", 0.3, 0.1)
    value = np.where(clicked, np.where(shown == "a", 2.0, 20.0) * rng.lognormal(0, 0.3, 6000), np.nan)
    bought: dict[str, Any] = {"value": value.round(2), "conversions": clicked.astype(int), "user_id": np.arange(6000)}
    rows = impressions_frame(creative_id=shown, clicked=clicked, hours=np.arange(6000) / 20, **bought)
    table = make_table("impressions", rows.assign(split="calibration"))
    params = PARAMS.model_copy(update={"reward": reward})
    made = run(replace(inputs, impressions=table), Outputs(tmp_path / "policy"), params, context)
    policy = Policy.load(tmp_path / "policy" / "policy.npz")
    assert policy.probabilities({"placement": "top"}, ["a", "b"])[best] > 0.8
    assert made[metric] == card(tmp_path / "policy")["chosen"]["value"]  # type: ignore[index]
    told = card(tmp_path / "policy")["reward"]
    assert told == ({"kind": "click"} if reward == "click" else {"kind": "value", "cap": pytest.approx(38, rel=0.15)})


def test_no_policy_is_chosen_for_one_user(
    inputs: Inputs, make_table: MakeTable, tmp_path: Path, context: StageContext
) -> None:
    """One of 1,000 users clicks a at every sight of it; without this user, a and b are alike."""
    rng = np.random.default_rng(0)
    user, shown = rng.integers(1000, size=6000), rng.choice(["a", "b"], 6000)
    user[rng.random(6000) < 0.04] = 0
    clicked = np.where(user == 0, shown == "a", rng.random(6000) < 0.02)
    rows = impressions_frame(creative_id=shown, clicked=clicked, hours=np.arange(6000) / 20, user_id=user.astype(str))
    table = make_table("impressions", rows.assign(split="calibration"))
    train(replace(inputs, impressions=table), tmp_path / "policy", context)
    told = card(tmp_path / "policy")
    assert told["chosen"]["model"] == "uniform"  # type: ignore[index]
    assert told["impressions"]["capped_users"] == 1  # type: ignore[index]


def pictures(names: list[str]) -> pd.DataFrame:
    """Pictures that each are much like the others of their category."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 200, (len(CATEGORIES), 1, 28, 28))
    pixels = [patterns[i % 3] + rng.integers(0, 50, (1, 28, 28)) for i in range(len(names))]
    return pd.DataFrame(
        {
            "creative_id": names,
            "category": [CATEGORIES[i % 3] for i in range(len(names))],
            "image": encode_pngs(np.array(pixels, np.uint8)),
            "width": 28, "height": 28, "channels": 1,
            "split": "train",
        }
    )  # fmt: skip


@pytest.mark.slow
def test_a_new_picture_is_scored_like_those_it_resembles(
    make_table: MakeTable, inputs: Inputs, tmp_path: Path, context: StageContext
) -> None:
    write_reader(tmp_path / "reader")
    rng = np.random.default_rng(0)
    names = [f"shown-{i}" for i in range(6)]
    shown = rng.choice(names, 9000)
    good = np.isin(shown, ["shown-0", "shown-3"])  # the bags
    rows = impressions_frame(
        creative_id=shown, clicked=rng.random(9000) < np.where(good, 0.2, 0.05), hours=np.arange(9000) / 20,
        propensity=1 / 6,
    )  # fmt: skip
    table = make_table("impressions", rows.assign(split="calibration"))
    creatives = make_table("creatives", pictures([*names, "new-bag", "new-boot", "new-coat"]))
    joined = replace(inputs, impressions=table, creatives=creatives)
    train(replace(joined, cnn=tmp_path / "reader"), tmp_path / "policy", context)
    told = card(tmp_path / "policy")
    assert told["creatives"] == {"history": 6, "new": 3}
    assert told["categories"] == CATEGORIES
    policy = Policy.load(tmp_path / "policy" / "policy.npz")
    scores = policy.scorer.scores([ScoringRequest({"placement": "top"}, policy.creatives)])
    score = dict(zip(policy.creatives, scores, strict=True))
    assert score["new-bag"] > max(score["new-boot"], score["new-coat"]) + 0.2
    unseen = policy.probabilities({"placement": "top"}, ["x", "y"], {"x": "Bag", "y": "Coat"})
    assert unseen[0] > unseen[1]
    train(joined, tmp_path / "unread", context)
    assert card(tmp_path / "unread")["creatives"] == {"history": 6, "new": 0}


def test_a_new_text_is_scored_by_its_sentence_without_any_reader(
    make_table: MakeTable, inputs: Inputs, tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts with the word wool are clicked four times as often."""
    encoder = pin_encoder(tmp_path / "encoder", monkeypatch)
    words = ["soft", "coat", "red", "bag", "new"]
    texts = [" ".join([*pair, last]) for pair in itertools.combinations(words, 2) for last in ("wool", "of it")]
    names = [f"shown-{number:02}" for number in range(len(texts))]
    rng = np.random.default_rng(0)
    shown = rng.integers(len(names), size=9000)
    clicked = rng.random(9000) < np.where(shown % 2 == 0, 0.2, 0.05)
    rows = impressions_frame(
        creative_id=np.array(names)[shown], clicked=clicked, hours=np.arange(9000) / 20, propensity=1 / len(names)
    )
    table = make_table("impressions", rows.assign(split="calibration"))
    creatives = pictures([*names, "new-wool", "new-other"])
    creatives["category"], creatives["text"] = "Coat", [*texts, "red soft bag of wool", "red soft bag of it"]
    params = PARAMS.model_copy(update={"text_encoder": str(encoder)})
    own = replace(inputs, impressions=table, creatives=make_table("creatives", creatives))
    run(own, Outputs(tmp_path / "policy"), params, context)
    assert card(tmp_path / "policy")["text_encoder"] == manifest.sha256(encoder / "model.safetensors")
    assert card(tmp_path / "policy")["reader"] is None
    policy = Policy.load(tmp_path / "policy" / "policy.npz")
    assert policy.content is not None
    assert policy.content.weights.shape == (TEXT_BUCKETS + 1 + WIDTH,)
    wool, other = policy.bias[[policy.creatives.index(name) for name in ("new-wool", "new-other")]]
    assert wool > other + 0.3


@pytest.mark.slow
def test_pictures_of_another_shop_are_not_joined(
    inputs: Inputs, make_table: MakeTable, tmp_path: Path, context: StageContext
) -> None:
    write_reader(tmp_path / "reader")
    creatives = make_table("creatives", pictures(["elsewhere-1", "elsewhere-2"]))
    train(replace(inputs, creatives=creatives, cnn=tmp_path / "reader"), tmp_path / "policy", context)
    assert card(tmp_path / "policy")["categories"] == []


def test_without_impressions_or_switched_off_there_is_no_policy(
    inputs: Inputs, tmp_path: Path, context: StageContext
) -> None:
    manifest.skip(tmp_path / "none", "prepare", Source(uri="x"), "no source: ingest.impressions is not given")
    assert train(replace(inputs, impressions=tmp_path / "none"), tmp_path / "policy", context) == {}
    assert manifest.read(tmp_path / "policy").skipped == "no source: ingest.impressions is not given"
    assert run(inputs, Outputs(tmp_path / "policy"), PARAMS.model_copy(update={"enabled": False}), context) == {}
    assert manifest.read(tmp_path / "policy").skipped == "train_policy.enabled is false"


def test_a_log_that_cannot_teach_leaves_nothing_behind(
    inputs: Inputs, make_table: MakeTable, tmp_path: Path, context: StageContext
) -> None:
    table = make_table("impressions", simulate_impressions().assign(clicked=False))
    with pytest.raises(DataError, match="expected some but not all"):
        train(replace(inputs, impressions=table), tmp_path / "made" / "policy", context)
    assert not list((tmp_path / "made").iterdir())


def test_a_log_of_one_creative_reports_no_click_rate(
    inputs: Inputs, make_table: MakeTable, tmp_path: Path, context: StageContext
) -> None:
    rows = impressions_frame("a" * 40, clicked=[False, True] * 20).assign(split="calibration")
    table = make_table("impressions", rows)
    numbers = train(replace(inputs, impressions=table), tmp_path / "policy", context)
    assert numbers == {"temperature": 1, "creatives": 1}


@pytest.mark.slow
def test_a_log_without_propensities_does_not_stop_the_run(
    inputs: Inputs, make_table: MakeTable, tmp_path: Path, context: StageContext, caplog: pytest.LogCaptureFixture
) -> None:
    table = make_table("impressions", simulate_impressions().assign(propensity=np.nan))
    train(replace(inputs, impressions=table), tmp_path / "policy", context)
    told = card(tmp_path / "policy")
    assert told["impressions"]["propensity_estimated"] == 4000  # type: ignore[index]
    assert told["chosen"]["model"] == "linear"  # type: ignore[index]
    assert "no row has a propensity: they are estimated, and intervals are wider" in caplog.text


def test_a_changed_audience_is_refused(inputs: Inputs, tmp_path: Path, context: StageContext) -> None:
    write_audience(tmp_path / "models" / "audience")
    (tmp_path / "models" / "audience" / "members.npz").write_bytes(b"")
    given = replace(inputs, audience=tmp_path / "models" / "audience")
    with pytest.raises(ArtifactError, match=r"members.npz: changed since it was written"):
        train(given, tmp_path / "policy", context)
