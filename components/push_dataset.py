"""Keep the prepared dataset by content in the DVC remote. Never cached: what is there already is not sent again."""

from kfp.dsl import Dataset, Input

from components._component import component


@component
def push_dataset(
    project: str,
    creatives: Input[Dataset],
    copy: Input[Dataset],
    events: Input[Dataset],
    impressions: Input[Dataset],
) -> str:
    """Push the four tables and give out the digest of the dataset."""
    from adloom.kubeflow.component import push_dataset

    return push_dataset(project, {"creatives": creatives, "copy": copy, "events": events, "impressions": impressions})
