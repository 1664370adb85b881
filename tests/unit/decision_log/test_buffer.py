"""The buffer: its count is what lies in it, whatever was put in, written in part or failed in between."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from adloom.decision_log.buffer import Buffer
from adloom.decision_log.counters import ProcessCounters

LINES = st.binary(max_size=9).map(lambda line: line.replace(b"\n", b""))
STEPS = st.lists(st.one_of(st.tuples(st.just("put"), LINES), st.tuples(st.just("write"), st.floats(0, 1))))


def buffer(room: int) -> Buffer:
    return Buffer(room, ProcessCounters.create(Path("unused"), "a" * 32, "shop"))


@given(STEPS, st.integers(0, 40))
def test_lines_come_out_once_in_order_and_the_count_follows_them(steps: list[tuple[str, object]], room: int) -> None:
    waiting, received, written = buffer(room), b"", b""
    for _, value in steps:
        if isinstance(value, bytes):
            has_room = waiting.bytes + len(value) + 1 <= room
            assert waiting.put(value) == has_room
            received += value + b"\n" if has_room else b""
        else:
            waiting.gather()
            head = waiting.peek()
            kept = head.rfind(b"\n", 0, round(float(str(value)) * len(head))) + 1  # whole lines, as a disk has room
            if kept:
                waiting.remove(kept)
            written += head[:kept]
        assert waiting.bytes == len(received) - len(written)
        assert received.startswith(written)
        assert waiting.accepted == received.count(b"\n")
    waiting.gather()
    while head := waiting.peek():
        written += head
        waiting.remove(len(head))
    assert (written, waiting.bytes, waiting.age()) == (received, 0, 0)


def test_a_closed_buffer_takes_nothing() -> None:
    waiting = buffer(100)
    waiting.put(b"before")
    waiting.close()
    assert not waiting.put(b"after")
    assert waiting.bytes == 7
