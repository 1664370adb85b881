"""Scan the sources and the champion, so that later tasks run again only if these changed. Never cached."""

from typing import NamedTuple

from components._component import component


@component
def snapshot(
    project: str,
    creatives: str,
    copy: str,
    events: str,
    impressions: str,
    tunes: str,
    prepare: str,
    expected: str,
    reason: str,
) -> NamedTuple(  # type: ignore[valid-type]
    "Sources", creatives=str, copy=str, events=str, impressions=str, tunes=str, privacy=str, sources=str, champion=str
):
    """Return a cache key per table, digests of key and erasure list, all digests as JSON, and the champion audience."""
    from collections import namedtuple

    from adloom.kubeflow.component_runtime import scan_sources

    tables = {"creatives": creatives, "copy": copy, "events": events, "impressions": impressions, "tunes": tunes}
    digests = scan_sources(project, tables, prepare, expected, reason)
    return namedtuple("Sources", digests)(**digests)
