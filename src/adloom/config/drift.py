"""The block `drift` of params.yaml."""

from pydantic import Field

from adloom.config.base import ConfigModel, Share
from adloom.config.sources import Source


class Drift(ConfigModel):
    """Alarms when new data differs from the data that the models learned from."""

    reference: str | None = Field(
        None,
        description="Folder of the prepared tables that the models learned from, such as s3://bucket/prefix with "
        "events, impressions and creatives below; unset, the scoring pipeline does not look for drift.",
    )
    impressions: Source | None = Field(
        None,
        description="Recent impressions, which the scoring pipeline compares in addition to the tables that it scores.",
    )
    false_alarms: Share = Field(
        0.05, gt=0, description="Share of the alarms that may be false (Benjamini-Hochberg over all features)."
    )
    min_psi: float = Field(
        0.1, ge=0, strict=False, description="Population stability index below which a change raises no alarm."
    )
    min_rate_change: float = Field(
        0.1, ge=0, strict=False, description="Relative change of the click rate below which it raises no alarm."
    )
    maturity_hours: float = Field(
        24, ge=0, strict=False, description="Hours in which a click counts, as in train_policy."
    )
    cooldown_hours: float = Field(
        24, ge=0, strict=False, description="Hours after a retraining request in which further alarms send none."
    )
    threads: int = Field(2, gt=0, description="CPU threads of ONNX Runtime, as in evaluate.")
