"""The judge of styles: a style loss of 0 for the style itself, and optimised pictures in the same layers."""

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_efficientnet import write_weights

from adloom.creatives.efficientnet import load_efficientnet
from adloom.creatives.style_judge_net import StyleJudge, save_judge


@pytest.fixture
def judge(tmp_path: Path) -> StyleJudge:
    save_judge(load_efficientnet(write_weights(tmp_path)), tmp_path)
    return StyleJudge(tmp_path, 1)


def test_a_style_is_nearest_to_itself_and_a_content_to_itself(judge: StyleJudge) -> None:
    content, style = np.random.default_rng(1).uniform(-1, 1, (2, 1, 3, 32, 32)).astype(np.float32)
    style[:, :, 16:] = 0
    (own_style,), (far,) = judge.measure(style, content, style)
    (other,), (own_content,) = judge.measure(content, content, style)
    assert own_style < other
    assert own_content < far
    assert max(own_style, own_content) < 1e-9


def test_a_picture_is_optimised_in_the_contents_size(judge: StyleJudge) -> None:
    content, style = np.random.default_rng(1).uniform(-1, 1, (2, 1, 3, 32, 40)).astype(np.float32)
    assert judge.optimise(content, style, 1, seed=1).shape == content.shape
