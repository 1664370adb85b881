"""The privacy budget of a model's versions, by hand."""

import pytest

from adloom.registry.base import ModelVersion
from adloom.registry.privacy_budget import EPSILON_TAG, find_overrun

VERSIONS = [
    ModelVersion("audience", 1, {"manifest_digest": "a", EPSILON_TAG: "0.5"}),
    ModelVersion("audience", 2, {"manifest_digest": "b"}),  # without noise
    ModelVersion("audience", 3, {"manifest_digest": "c", EPSILON_TAG: "1.5"}),
]


@pytest.mark.parametrize(("digest", "epsilon", "is_over"), [("d", 1.0, False), ("d", 1.1, True), ("a", 9.0, False)])
def test_all_versions_share_the_budget_and_a_known_release_is_free(digest: str, epsilon: float, is_over: bool) -> None:
    assert (find_overrun(VERSIONS, digest, epsilon, budget=3.0) is not None) == is_over


def test_the_reason_names_what_was_spent() -> None:
    reason = find_overrun(VERSIONS, "d", 2.0, budget=3.0)
    assert reason
    assert reason.startswith("privacy: epsilon 2 and the 2 of versions 1, 3 are above segment.privacy.budget 3; ")
    assert find_overrun([], "d", 2.0, budget=1.0)
