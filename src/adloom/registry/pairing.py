"""
Audience and policy are a pair: a policy decides with the very segments it was trained with.

Its version in the registry names the digest of that audience. So the champions of both change together: a policy takes
its audience along, and an audience other than the champion policy's waits for a policy that was made with it.
"""

from adloom.errors import UserError
from adloom.registry.base import CHAMPION, ModelVersion, Registry, find_alias

POLICY, AUDIENCE = "policy", "audience"
AUDIENCE_TAG = "audience_digest"  # tag of a policy: the audience it was trained with; absent when it knows no segments


def find_companions(registry: Registry, version: ModelVersion) -> list[ModelVersion]:
    """
    Return which versions have to become champion together with this one, so that the champions remain a pair.

    Raises UserError when there is no such version: a policy's audience is not registered, or the champion policy was
    made with another audience than this.
    """
    if version.model == POLICY and (pinned := version.tags.get(AUDIENCE_TAG)):
        return [audience] if CHAMPION not in (audience := _audience(registry, version, pinned)).aliases else []
    policy = find_alias(registry.versions(POLICY), CHAMPION) if version.model == AUDIENCE else None
    if policy and policy.tags.get(AUDIENCE_TAG, version.digest) != version.digest:
        raise UserError(
            f"audience {version.version}: policy {policy.version}, the champion, decides with another; a policy made "
            f"with this one (`adloom run` trains it) takes it along, {_fitting(registry, version)}"
        )
    return []


def find_former_policy(registry: Registry, audience: ModelVersion, champions: list[int]) -> list[ModelVersion]:
    """
    Return the policy that goes back with an audience: the last of its former champions made with it, oldest first.

    Raises UserError when the champion policy was made with another audience, and no former champion with this one.
    """
    policies = {version.version: version for version in registry.versions(POLICY)}
    now = find_alias(list(policies.values()), CHAMPION)
    if now is None or now.tags.get(AUDIENCE_TAG, audience.digest) == audience.digest:
        return []
    fitting = [number for number in champions if policies[number].tags.get(AUDIENCE_TAG) == audience.digest]
    if not fitting:
        raise UserError(
            f"audience {audience.version}: policy {now.version}, the champion, decides with another, and no champion "
            f"before it was made with this one, {_fitting(registry, audience)}"
        )
    return [policies[fitting[-1]]]


def _audience(registry: Registry, policy: ModelVersion, pinned: str) -> ModelVersion:
    found = next((version for version in registry.versions(AUDIENCE) if version.digest == pinned), None)
    if found is None:
        raise UserError(
            f"policy {policy.version}: made with audience {pinned[:12]}, which is not registered; `adloom register` "
            "registers both"
        )
    return found


def _fitting(registry: Registry, audience: ModelVersion) -> str:
    """Return how a person promotes an audience: with a policy that was made with it."""
    fitting = [v.version for v in registry.versions(POLICY) if v.tags.get(AUDIENCE_TAG) == audience.digest]
    if not fitting:
        return "and none is registered"
    return f"and `adloom promote policy {fitting[-1]}` promotes both"
