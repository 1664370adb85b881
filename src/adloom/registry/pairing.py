"""Audience and policy become champions as a pair: a policy needs the segments it was trained with."""

from adloom.errors import UserError
from adloom.registry.base import CHAMPION, ModelVersion, Registry, find_alias, find_digest

POLICY, AUDIENCE = "policy", "audience"
AUDIENCE_TAG = "audience_digest"  # of a policy: the audience it was trained with; absent without segments


def find_companions(registry: Registry, version: ModelVersion) -> list[ModelVersion]:
    """
    Return the versions to promote together with this one.

    Raises UserError when the policy's audience is not registered, or the champion policy needs another audience.
    """
    if version.model == POLICY and (digest := version.tags.get(AUDIENCE_TAG)):
        audience = find_digest(registry.versions(AUDIENCE), digest)
        if audience is None:
            raise UserError(
                f"policy {version.version}: trained with audience {digest[:12]}, which is not registered; "
                "`adloom register` registers both"
            )
        return [] if CHAMPION in audience.aliases else [audience]
    policy = find_alias(registry.versions(POLICY), CHAMPION) if version.model == AUDIENCE else None
    if policy and policy.tags.get(AUDIENCE_TAG, version.digest) != version.digest:
        raise UserError(
            f"audience {version.version}: the champion, policy {policy.version}, needs another audience; `adloom run` "
            f"trains a policy with this one, {_advise_promotion(registry, version)}"
        )
    return []


def find_former_policy(registry: Registry, audience: ModelVersion, champions: list[int]) -> list[ModelVersion]:
    """
    Return the policy to roll back together with an audience, if the champion policy needs another.

    `champions` are the former champion policies, oldest first. Raises UserError when none of them fits.
    """
    policies = {version.version: version for version in registry.versions(POLICY)}
    champion = find_alias(list(policies.values()), CHAMPION)
    if champion is None or champion.tags.get(AUDIENCE_TAG, audience.digest) == audience.digest:
        return []
    trained_with = [number for number in champions if policies[number].tags.get(AUDIENCE_TAG) == audience.digest]
    if not trained_with:
        raise UserError(
            f"audience {audience.version}: the champion, policy {champion.version}, needs another audience, and no "
            f"former champion was trained with this one, {_advise_promotion(registry, audience)}"
        )
    return [policies[trained_with[-1]]]


def _advise_promotion(registry: Registry, audience: ModelVersion) -> str:
    """Return the end of a sentence with the command."""
    policies = [v.version for v in registry.versions(POLICY) if v.tags.get(AUDIENCE_TAG) == audience.digest]
    if not policies:
        return "and none is registered"
    return f"and `adloom promote policy {policies[-1]}` promotes both"
