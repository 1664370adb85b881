"""A finding is a line, with its next step below."""

from adloom.cli.doctor import SIGNS, format_finding
from adloom.doctor.finding import Kind, State


def test_lines_are_aligned_and_a_next_step_stands_below() -> None:
    first, second, below = format_finding(Kind.S3_OK("read")) + format_finding(Kind.KEY_OPEN("FILE: open", "close it"))
    assert (first[0], second[0]) == (SIGNS[State.OK], SIGNS[State.WARNING])
    assert first.index("read") == second.index("FILE") == below.index("→")
