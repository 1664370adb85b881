"""The contact sheet: one self-contained page with all ads, and the same as JSON."""

import base64
import json
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby
from typing import Any

from adloom.ads.making import Ad


@dataclass(frozen=True)
class SheetItem:
    """An ad on the sheet."""

    variant: int
    name: str  # of its files
    ad: Ad
    file: bytes  # with credentials
    reward: float | None
    creative_id: str | None  # in the library

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return f"data:image/{self.ad.request.format};base64,{base64.b64encode(self.file).decode()}"

    def to_dict(self) -> dict[str, Any]:
        """Return its entry in ads.json."""
        request = self.ad.request
        return {
            "variant": self.variant,
            "size": request.placement.name,
            "file": None if self.ad.findings else f"{self.name}.{request.format}",
            "headline": request.content.headline,
            "call_to_action": request.content.action,
            "category": request.content.category,
            "template": request.design.template,
            "scheme": request.design.scheme,
            "treatment": request.design.treatment,
            "bytes": len(self.file),
            "expected_reward": self.reward,
            "id": self.creative_id,
            "findings": [{"rule": finding.rule, "reason": finding.reason} for finding in self.ad.findings],
        }


@dataclass
class ContactSheet:
    """All ads of one command."""

    brand: str
    basis: str  # of the ranking
    items: list[SheetItem] = field(default_factory=list)

    @property
    def exported(self) -> int:
        """The number of ads without findings."""
        return sum(not item.ad.findings for item in self.items)

    def list_reasons(self) -> list[str]:
        """Return a line per finding."""
        return [f"{item.name}: {each.rule}: {each.reason}" for item in self.items for each in item.ad.findings]

    def to_json(self) -> str:
        """Return ads.json."""
        content = {"brand": self.brand, "basis": self.basis, "ads": [item.to_dict() for item in self.items]}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def to_html(self) -> str:
        """Return the page."""
        from jinja2 import Environment, StrictUndefined

        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        text = files("adloom.ads").joinpath("contact_sheet.html").read_text(encoding="utf-8")
        groups = groupby(self.items, lambda item: item.variant)
        variants = [
            (number, sorted(group, key=lambda item: item.ad.request.placement.height)) for number, group in groups
        ]
        return environment.from_string(text).render(sheet=self, variants=variants) + "\n"
