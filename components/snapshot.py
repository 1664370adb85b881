"""Look at the sources, so that what follows runs again only when their files are others. Never cached."""

from typing import NamedTuple

from components._component import component


@component
def snapshot(
    project: str,
    creatives: str,
    copy: str,
    events: str,
    impressions: str,
    prepare: str,
    expected: str,
    reason: str,
) -> NamedTuple(  # type: ignore[valid-type]
    "Sources", creatives=str, copy=str, events=str, impressions=str, privacy=str, sources=str
):
    """Give out a digest of each table's files, one of the key and the erasure list, and all of them as JSON."""
    import json
    from collections import namedtuple

    from adloom.kubeflow.component import look

    tables = {"creatives": creatives, "copy": copy, "events": events, "impressions": impressions}
    found = look(project, tables, prepare, expected, reason)
    told = {**found, "sources": json.dumps(found, sort_keys=True)}
    return namedtuple("Sources", told)(**told)
