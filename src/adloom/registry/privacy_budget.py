"""The privacy budget: epsilon of all versions of a model together, in the tags of the versions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from adloom.registry.base import ModelVersion, Registry

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


def register_release(
    registry: Registry, model: str, folder: Path, tags: Mapping[str, str], budget: float
) -> tuple[ModelVersion, str | None]:
    """
    Register a release with its EPSILON_TAG; return its version, and why it is over the budget, or None.

    Of processes that register at the same time, those over the budget with the versions before theirs delete their own.
    """
    known = {version.version for version in registry.versions(model)}
    version = registry.register(model, folder, tags)
    earlier = [other for other in registry.versions(model) if other.version < version.version]
    overrun = find_overrun(earlier, version.digest, float(tags[EPSILON_TAG]), budget)
    if overrun is None or version.version in known:
        return version, None
    registry.delete(version)
    return version, overrun
