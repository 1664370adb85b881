"""An evaluation as files of an artifact, and back: metrics.json, sections.json and a PNG for each figure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from adloom.evaluation.metric import Evaluation, Figure, Lines, Metric, Section, Table, from_json, to_json

METRICS = "metrics.json"
SECTIONS = "sections.json"


@dataclass(frozen=True)
class Findings:
    """What a report knows of an evaluated model."""

    metrics: Mapping[str, Metric]
    sections: list[Section]


def to_files(evaluation: Evaluation) -> dict[str, bytes]:
    """Return the files of an evaluation by name; its samples stay behind."""
    pictures = {f"figure-{i}.png": s.png for i, s in enumerate(evaluation.sections) if isinstance(s, Figure)}
    entries = [_entry(section, f"figure-{i}.png") for i, section in enumerate(evaluation.sections)]
    text = json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return {METRICS: to_json(evaluation.metrics).encode(), SECTIONS: text.encode(), **pictures}


def from_files(files: Mapping[str, bytes]) -> Findings:
    """Read what `to_files` made."""
    sections = [_section(entry, files) for entry in json.loads(files[SECTIONS])]
    return Findings(from_json(files[METRICS].decode()), sections)


def metrics_of(folder: Path) -> dict[str, Metric]:
    """Read the metrics alone."""
    return from_json((folder / METRICS).read_text(encoding="utf-8"))


def from_folder(folder: Path) -> Findings:
    """Read the artifact `to_files` was written to."""
    return from_files({path.name: path.read_bytes() for path in folder.iterdir()})


def _entry(section: Section, picture: str) -> dict[str, object]:
    match section:
        case Figure(title, caption):
            return {"kind": "figure", "title": title, "caption": caption, "file": picture}
        case Table():
            return {"kind": "table", **asdict(section)}
        case Lines():
            return {"kind": "lines", **asdict(section)}


def _section(entry: dict[str, object], files: Mapping[str, bytes]) -> Section:
    kind = entry.pop("kind")
    if kind == "figure":
        return Figure(str(entry["title"]), str(entry["caption"]), files[str(entry["file"])])
    return (Table if kind == "table" else Lines)(**entry)  # type: ignore[arg-type]
