"""The privacy budget: epsilon of all versions of a model together, in the tags of the versions."""

from collections.abc import Sequence

from adloom.registry.base import ModelVersion

EPSILON_TAG = "privacy_epsilon"


def find_overrun(versions: Sequence[ModelVersion], digest: str, epsilon: float, budget: float) -> str | None:
    """Return why another release would cost more than the budget, or None; a registered release costs nothing more."""
    spent = {version.version: float(version.tags[EPSILON_TAG]) for version in versions if EPSILON_TAG in version.tags}
    total = sum(spent.values())
    if total + epsilon <= budget or any(v.digest == digest and v.version in spent for v in versions):
        return None
    return (
        f"privacy: epsilon {epsilon:g} and the {total:g} of versions {', '.join(map(str, spent)) or 'none'} are above "
        f"segment.privacy.budget {budget:g}; users are hidden no longer if you raise it, so release less often"
    )
