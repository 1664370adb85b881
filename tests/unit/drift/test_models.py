"""Users and creatives as the champions see them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from adloom.config.drift import Drift
from adloom.drift.detection import detect
from adloom.drift.features import Feature
from adloom.drift.models import CreativeFeatures, UserFeatures, build_creative_features, build_user_features

RNG = np.random.default_rng(0)


def draw_users(money: float = 1.0) -> UserFeatures:
    values = RNG.gamma(2, 10, (400, 5))
    values[:, 2] *= money
    ids = pd.Series(RNG.integers(10**9, size=400).astype(str))
    return UserFeatures(ids, values, np.where(values[:, 1] > 20, "often", "rarely"))


def draw_creatives(shift: float = 0.0) -> CreativeFeatures:
    category = RNG.choice(np.array(["Bag", "Coat"], object), 200)
    return CreativeFeatures(category, category, RNG.normal(shift, 1, (200, 8)))


def alarms(features: list[Feature]) -> list[str]:
    return [alarm.feature for alarm in detect(features, None, {}, {}, Drift()).alarms]


def test_users_who_spend_more_have_drifted_in_their_money_alone() -> None:
    assert alarms(build_user_features(draw_users(), draw_users())) == []
    assert alarms(build_user_features(draw_users(), draw_users(2.0))) == ["monetary"]


def test_users_without_segments_have_five_features() -> None:
    reference = replace(draw_users(), segment=None)
    assert [feature.kind for feature in build_user_features(reference, draw_users())] == ["feature"] * 5
    assert build_user_features(draw_users(), draw_users())[-1].kind == "segments"


def test_other_pictures_have_drifted_in_their_embedding() -> None:
    assert alarms(build_creative_features(draw_creatives(), draw_creatives())) == []
    assert alarms(build_creative_features(draw_creatives(), draw_creatives(1.0))) == ["embedding"]
