from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.brands import BRAND, HEADLINE, draw_bag, draw_photo, with_kit
from tests.support.http_client import png
from tests.support.tiny_models import LINES, write_policy

from adloom.ads.placements import IAB
from adloom.data.picture_files import PictureError
from adloom.policy.content_model import TEXT_BUCKETS, ContentModel
from adloom.policy.scorer import Policy
from adloom.serving.api.problems import Problem
from adloom.serving.creatives.ad_variants import CreativeBrief, plan_variants, read_picture
from adloom.serving.models.loader import Models

WORDS = {word for line in LINES for word in line.lower().split()}
BRIEF = CreativeBrief(n=3, placements=IAB[:1], seed=1, category="Bag")


def write(folder: Path) -> Path:
    write_policy(folder / "policy", None)
    return folder / "policy" / "policy.npz"


def without(models: Models, *names: str) -> Models:
    return replace(models, loaded={name: model for name, model in models.loaded.items() if name not in names})


def test_pictures_and_lines_of_the_models_are_combined(models: Models) -> None:
    plan = plan_variants(BRIEF, models, BRAND.kit)
    assert 1 <= len(plan.variants) <= 3
    assert {word for variant in plan.variants for word in variant.content.headline.lower().split()} <= WORDS
    assert {*plan.models} == {"gan", "cnn", "lstm", "policy"}
    assert all(
        variant.picture.origin and variant.picture.origin.seed == 1 and variant.content.category == "Bag"
        for variant in plan.variants
    )


def test_equal_seeds_give_equal_variants(models: Models) -> None:
    first, second = (plan_variants(BRIEF, models, BRAND.kit).variants for _ in range(2))
    assert [(v.content.headline, v.picture.file, v.design) for v in first] == [
        (v.content.headline, v.picture.file, v.design) for v in second
    ]


def test_each_call_to_action_is_used_in_turn(models: Models) -> None:
    kit = with_kit(calls_to_action=["Shop now", "See more"]).kit
    brief = replace(BRIEF, headline=HEADLINE)
    actions = [variant.content.action for variant in plan_variants(brief, models, kit).variants]
    assert actions == ["Shop now", "See more", "Shop now"][: len(actions)]


def test_a_given_picture_and_headline_need_no_model_and_vary_in_design() -> None:
    brief = replace(BRIEF, picture=read_picture(png(draw_bag())), headline=f" {HEADLINE} ")
    plan = plan_variants(brief, Models({}, {}), BRAND.kit)
    assert [variant.content.headline for variant in plan.variants] == [HEADLINE] * 3
    assert len({(variant.design.template, variant.design.scheme) for variant in plan.variants}) == 3
    assert len(plan_variants(replace(brief, n=20), Models({}, {}), BRAND.kit).variants) == 9
    assert (plan.variants[0].reward, plan.variants[0].line) == (None, None)
    assert plan.basis == ["no expected reward, because no policy is served: variety alone"]


def test_words_of_the_tone_come_first_and_banned_ones_never(models: Models) -> None:
    kit = with_kit(tone=["soft"], banned_words=["warm"]).kit
    lines = [v.line or "" for v in plan_variants(replace(BRIEF, n=8), without(models, "policy"), kit).variants]
    assert not any("warm" in line for line in lines)


def test_a_category_that_only_the_generator_knows_is_said(models: Models) -> None:
    plan = plan_variants(replace(BRIEF, category="Boot"), models, BRAND.kit)
    known = "Boot" in models.lstm.card.categories
    assert ("lines are of no category, because lstm does not know 'Boot'" in plan.basis) is not known


def test_an_unknown_category_is_refused(models: Models) -> None:
    with pytest.raises(Problem, match="'Hat' is not known to gan"):
        plan_variants(replace(BRIEF, category="Hat"), models, BRAND.kit)


def test_without_a_line_that_keeps_the_rules_a_headline_is_asked_for(models: Models) -> None:
    brief = replace(BRIEF, placements=[replace(IAB[0], max_characters=1)])
    with pytest.raises(Problem, match="the copywriter wrote no line that keeps the rules; give a headline"):
        plan_variants(brief, models, BRAND.kit)


class TestExpectedReward:
    def test_it_counts_pictures_and_texts_by_the_reader_that_the_policy_was_trained_with(
        self, models: Models, tmp_path: Path
    ) -> None:
        policy, cnn = Policy.load(write(tmp_path)), models.loaded["cnn"]
        dimensions = cnn.model.known.embedding.shape[1] + TEXT_BUCKETS + 1  # of a picture and of a text
        weights = np.zeros(dimensions)
        weights[-1] = 2.0  # of the length of a text, in units of 50 characters
        content = ContentModel(np.zeros((len(policy.categories) + 1, dimensions)), weights)
        scorer = replace(policy, content=content).scorer
        card = models.loaded["policy"].card.model_copy(update={"reader": cnn.origin.digest})
        trained = replace(models.loaded["policy"], model=scorer, card=card)
        plan = plan_variants(BRIEF, replace(models, loaded={**models.loaded, "policy": trained}), BRAND.kit)
        assert plan.basis[-1].endswith("the average of its category and what its picture and text add")
        prior = float(policy.prior[policy.categories.index("Bag")])
        rewards = [variant.reward for variant in plan.variants]
        assert rewards == pytest.approx([prior + 2 * len(v.content.headline) / 50 for v in plan.variants], rel=1e-5)
        assert rewards[0] == max(r for r in rewards if r is not None)

    def test_a_policy_without_a_reader_counts_texts(self, models: Models, tmp_path: Path) -> None:
        policy = Policy.load(write(tmp_path))
        weights = np.append(np.zeros(TEXT_BUCKETS), 2.0)
        content = ContentModel(np.zeros((len(policy.categories) + 1, len(weights))), weights)
        trained = replace(
            models.loaded["policy"],
            model=replace(policy, content=content).scorer,
            card=models.loaded["policy"].card.model_copy(update={"reader": None}),
        )
        plan = plan_variants(BRIEF, replace(models, loaded={**models.loaded, "policy": trained}), BRAND.kit)
        assert plan.basis[-1].endswith("the average of its category and what its text adds")
        prior = float(policy.prior[policy.categories.index("Bag")])
        rewards = [variant.reward for variant in plan.variants]
        assert rewards == pytest.approx([prior + 2 * len(v.content.headline) / 50 for v in plan.variants], rel=1e-5)

    def test_without_a_reader_it_is_the_average_of_the_category(self, models: Models) -> None:
        plan = plan_variants(BRIEF, without(models, "cnn"), BRAND.kit)
        assert plan.basis[-1].startswith("expected reward: the average of the category; the policy was not trained")
        assert len({variant.reward for variant in plan.variants}) == 1


class TestReadPicture:
    def test_it_keeps_small_pictures_and_reduces_large_ones(self) -> None:
        assert read_picture(png(draw_bag())).pixels.shape == (28, 28, 3)
        assert read_picture(png(np.zeros((1000, 2400, 3), np.uint8))).pixels.shape == (800, 1920, 3)
        assert read_picture(png(np.zeros((1, 1, 3), np.uint8))).pixels.shape == (1, 1, 3)

    def test_it_refuses_what_is_no_picture_or_too_large(self) -> None:
        with pytest.raises(PictureError, match="not a picture"):
            read_picture(b"hello")
        with pytest.raises(PictureError, match="more pixels"):
            read_picture(png(np.zeros((4200, 4200), np.uint8)))
        with pytest.raises(PictureError, match="truncated or damaged"):
            read_picture(png(draw_photo())[:900])
