"""Decisions and feedback are joined by id."""

from pathlib import Path

from tests.support.decision_logs import OTHER, click, decision, frame_segment, verify_log, write_segment


def test_a_user_with_half_of_many_clicks_is_reported(tmp_path: Path) -> None:
    def counted(decided: int, users: int) -> int:
        """The finding where all decisions are clicked, and all but those of some users are of one user."""
        root = tmp_path / f"{decided}-{users}"
        write_segment(
            root, frame_segment([decision(number, user=f"{min(number, users) + 1:032x}") for number in range(decided)])
        )
        clicks = [click(number) for number in range(decided)]
        write_segment(root, frame_segment(clicks, process=OTHER))
        write_segment(root, frame_segment(clicks, process=OTHER, number=1, before=decided))  # repeated feedback
        return verify_log(root).counts["one_user"]

    assert [counted(100, 50), counted(101, 51), counted(99, 0)] == [50, 0, 0]
