"""An evaluation as artifact files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from adloom.evaluation.metric import Evaluation, Figure, Lines, Metric, Section, Table, metrics_to_json, parse_metrics

METRICS = "metrics.json"
SECTIONS = "sections.json"


@dataclass(frozen=True)
class Findings:
    """A model's metrics and report sections."""

    metrics: Mapping[str, Metric]
    sections: list[Section]


def render_files(evaluation: Evaluation) -> dict[str, bytes]:
    """Return an evaluation's files by name, without samples."""
    pictures = {f"figure-{i}.png": s.png for i, s in enumerate(evaluation.sections) if isinstance(s, Figure)}
    entries = [_section_to_json(section, f"figure-{i}.png") for i, section in enumerate(evaluation.sections)]
    text = json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return {METRICS: metrics_to_json(evaluation.metrics).encode(), SECTIONS: text.encode(), **pictures}


def parse_findings(files: Mapping[str, bytes]) -> Findings:
    """Parse the output of `render_files`."""
    sections = [_parse_section(entry, files) for entry in json.loads(files[SECTIONS])]
    return Findings(parse_metrics(files[METRICS].decode()), sections)


def read_metrics(folder: Path) -> dict[str, Metric]:
    """Read metrics.json of a folder."""
    return parse_metrics((folder / METRICS).read_text(encoding="utf-8"))


def read_findings(folder: Path) -> Findings:
    """Read the findings of a folder."""
    return parse_findings({path.name: path.read_bytes() for path in folder.iterdir()})


def _section_to_json(section: Section, picture: str) -> dict[str, object]:
    match section:
        case Figure(title, caption):
            return {"kind": "figure", "title": title, "caption": caption, "file": picture}
        case Table():
            return {"kind": "table", **asdict(section)}
        case Lines():
            return {"kind": "lines", **asdict(section)}


def _parse_section(entry: dict[str, object], files: Mapping[str, bytes]) -> Section:
    kind = entry.pop("kind")
    if kind == "figure":
        return Figure(str(entry["title"]), str(entry["caption"]), files[str(entry["file"])])
    return (Table if kind == "table" else Lines)(**entry)  # type: ignore[arg-type]
