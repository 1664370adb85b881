"""Evaluations travel as files and come back as they were."""

from adloom.evaluation.metric import Evaluation, Figure, Lines, Metric, Table
from adloom.evaluation.sections import parse_findings, render_files

EVALUATION = Evaluation(
    metrics={"accuracy": Metric(0.9, 0.89, 0.91, 7000, "share")},
    samples={},
    sections=[
        Figure("Sample sheet", "One row per category", b"\x89PNG one"),
        Table("Sizes", "Users per segment", ["segment", "users"], [["loyal", 120], ["lapsed", 3.5]]),
        Lines("Lines", "Drawn at temperature 1", ["so soft", "très bien"]),
        Figure("Curve", "Loss by step", b"\x89PNG two"),
    ],
)


def test_written_findings_can_be_read() -> None:
    result = parse_findings(render_files(EVALUATION))
    assert (result.metrics, result.sections) == (EVALUATION.metrics, EVALUATION.sections)


def test_each_figure_is_a_file_of_its_own() -> None:
    files = render_files(EVALUATION)
    assert sorted(files) == ["figure-0.png", "figure-3.png", "metrics.json", "sections.json"]
    assert files["figure-3.png"] == b"\x89PNG two"
    assert "très bien".encode() in files["sections.json"]
