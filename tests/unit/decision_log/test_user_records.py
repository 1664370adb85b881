"""The records of users are found again by user and time."""

from struct import Struct

import pytest

from adloom.decision_log.user_records import MINUTE, UserRecords

PACK = Struct(">16sQ?I").pack
ANNA, BEN = bytes(16)[:-1] + b"\x00", bytes.fromhex("ff" * 15 + "00")


def unpack(*records: tuple[bytes, int, bool, int]) -> UserRecords:
    return UserRecords.unpack(b"".join(PACK(*record) for record in records))


def test_records_are_sorted_by_user_and_time() -> None:
    records = unpack((BEN, 9, False, 2), (ANNA, 5, True, 0), (BEN, 3, True, 0))
    assert [records.format_name(0), records.format_name(1)] == ["00" * 16, "ff" * 15 + "00"]
    assert records.time.tolist() == [5, 3, 9]
    assert records.count_clicks().tolist() == [1, 1]
    assert records.list_arms().tolist() == [[1, 2]]


@pytest.mark.parametrize(("step", "most"), [(MINUTE // 10, [("00" * 16, 10)]), (MINUTE // 4, [])])
def test_a_burst_is_more_of_a_kind_within_a_minute_than_the_limit(step: int, most: list[tuple[str, int]]) -> None:
    records = unpack(*((ANNA, number * step, True, 0) for number in range(30)), (BEN, 0, True, 0))
    assert list(records.find_bursts(True, 5)) == most
    assert list(records.find_bursts(True, 10)) == []
    assert list(records.find_bursts(False, 1)) == []


def test_no_records_have_no_users() -> None:
    records = unpack()
    assert (records.count_clicks().tolist(), list(records.find_bursts(True, 1))) == ([], [])
    assert records.list_arms().tolist() == []
