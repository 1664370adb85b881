"""`adloom log to-impressions`: rows worked by hand, equal bytes however the log lies, a table that prepare takes."""

import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.support.decision_logs import NOON, click, decision, frame_segment, write_segment

from adloom.cli.main import cli
from adloom.config.params import Period, Prepare
from adloom.config.sources import Ingest, Source
from adloom.context import StageContext
from adloom.data import privacy
from adloom.data.context import CLOCK_SKEW
from adloom.decision_log import impressions
from adloom.decision_log.impressions import ConversionReport
from adloom.decision_log.record import Feedback, Line
from adloom.errors import DataError
from adloom.stages import ingest, prepare, sources_lock
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderStore

DAY = 86_400_000_000  # µs
SECOND = 1_000_000


class Bench:
    """A place in which logs are written and converted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._numbers = count()

    def log(self, *segments: Sequence[Line]) -> Path:
        root = self.root / f"log-{next(self._numbers)}"
        for number, records in enumerate(segments):
            write_segment(root, frame_segment(records, process=f"{number:032x}"))
        return root

    def convert(self, *logs: Path) -> tuple[ConversionReport, dict[str, bytes]]:
        number = next(self._numbers)
        folder, scratch = self.root / f"made-{number}", self.root / f"scratch-{number}"
        folder.mkdir()
        scratch.mkdir()
        converted = impressions.convert([str(log) for log in logs], folder, scratch, FolderStore())
        return converted, {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def rows(self, *segments: Sequence[Line]) -> list[dict[str, Any]]:
        _, files = self.convert(self.log(*segments))
        return [row for content in files.values() for row in self._read(content)]

    def _read(self, content: bytes) -> Iterator[dict[str, Any]]:
        path = self.root / "read.parquet"
        path.write_bytes(content)
        yield from pq.read_table(path).to_pylist()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def at(microseconds: int) -> pd.Timestamp:
    return pd.Timestamp(microseconds, unit="us", tz="UTC")


def test_a_slate_becomes_a_row_per_slot_with_its_outcome(bench: Bench) -> None:
    bag = click(0, kind="conversion", value=20.0, time=NOON + 9 * SECOND)
    again = structs.replace(bag, feedback_id="order 2", value=5.5, time=NOON + 60 * SECOND)
    hidden = click(0, kind="complaint", time=NOON)
    arm = {"experiment": "autumn", "arm": "challenger", "arm_probability": 0.2}
    first, second = bench.rows([structs.replace(decision(0), **arm), click(0), bag, again, hidden])
    shared = {
        **arm,
        "timestamp": at(NOON),
        "user_id": "a" * 32,
        "user_key": "b" * 16,
        "placement": "home",
        "logging_policy": "d" * 64,
        "decision_id": "0" * 32,
        "ctx_device": "phone",
        "ctx_segment": "loyal",
    }
    assert first == {
        **shared,
        "impression_id": f"{'0' * 32}-1",
        "position": 1,
        "creative_id": "bag",
        "candidates": ["hat", "bag", "shoe"],
        "clicked": True,
        "propensity": 0.3,
        "conversions": 2,
        "value": 25.5,
        "complaints": 1,
        "outcome_at": at(NOON + SECOND),
        "conversion_at": at(NOON + 9 * SECOND),
    }
    assert second == {
        **shared,
        "impression_id": f"{'0' * 32}-2",
        "position": 2,
        "creative_id": "hat",
        "candidates": ["hat", "shoe"],
        "clicked": False,
        "propensity": 0.5 / 0.7,
        "conversions": 0,
        "value": 0.0,
        "complaints": 0,
        "outcome_at": None,
        "conversion_at": None,
    }


def test_slots_are_counted_from_where_the_first_one_is(bench: Bench) -> None:
    rows = bench.rows([structs.replace(decision(0), position=4)])
    assert [(row["impression_id"][-2:], row["position"]) for row in rows] == [("-1", 4), ("-2", 5)]


def test_repeated_feedback_counts_once(bench: Bench) -> None:
    sold = click(0, kind="conversion", value=3.0)
    told = [sold, structs.replace(sold, time=sold.time + SECOND, value=4.0)]  # without an id, one of a kind
    named = [structs.replace(sold, feedback_id="x", value=10.0), structs.replace(sold, feedback_id="x", value=10.0)]
    converted, _ = bench.convert(log := bench.log([decision(0), click(0), *told], [click(0), *named]))
    assert (converted.feedback, converted.repeated_feedback) == (3, 3)
    first, _ = bench.rows([decision(0), click(0), *told], [click(0), *named])
    assert (first["conversions"], first["value"], first["clicked"]) == (2, 13.0, True)
    assert bench.convert(log, log)[0] == converted


def test_feedback_of_one_id_counts_once_for_each_decision_creative_and_kind(bench: Bench) -> None:
    named = [
        click(number, creative_id=creative, kind=kind, feedback_id="order-1", value=1.0)
        for number in (0, 1)
        for creative in ("bag", "hat")
        for kind in ("click", "conversion")
    ]
    stranger = click(9, kind="conversion", feedback_id="order-1", time=NOON)  # came first, for no decision here
    converted, _ = bench.convert(bench.log([decision(0), decision(1), stranger, *named, *named]))
    assert (converted.feedback, converted.repeated_feedback, converted.lost_feedback) == (8, 8, 1)
    rows = bench.rows([decision(0), decision(1), stranger, *named])
    assert [(row["clicked"], row["conversions"], row["value"]) for row in rows] == [(True, 1, 1.0)] * 4


def test_feedback_before_its_decision_is_counted_apart_and_changes_nothing(bench: Bench) -> None:
    early = [click(0, time=NOON - CLOCK_SKEW - 1), click(0, kind="conversion", value=9.0, time=NOON - DAY)]
    converted, files = bench.convert(bench.log([decision(0), *early]))
    assert (converted.early_feedback, converted.feedback, converted.lost_feedback) == (2, 0, 0)
    assert files == bench.convert(bench.log([decision(0)]))[1]
    told_again, _ = bench.convert(bench.log([decision(0), *early, click(0)]))
    assert (told_again.early_feedback, told_again.feedback) == (2, 1)


def test_feedback_within_the_difference_of_clocks_came_with_its_decision(bench: Bench) -> None:
    first, _ = bench.rows([decision(0), click(0, time=NOON - CLOCK_SKEW)])
    assert (first["clicked"], first["outcome_at"]) == (True, at(NOON))


def test_a_decision_with_an_id_that_an_earlier_one_has_is_left_out_whole(bench: Bench) -> None:
    retried = decision(0, time=NOON + SECOND, chosen=["hat", "bag", "shoe"], propensities=[0.5, 0.6, 1.0])
    log = bench.log([retried], [decision(0), decision(0)])
    converted, _ = bench.convert(log)
    assert (converted.decisions, converted.impressions, converted.repeated_decisions) == (1, 2, 2)
    assert [row["creative_id"] for row in bench.rows([retried], [decision(0)])] == ["bag", "hat"]


def test_feedback_without_a_shown_creative_is_counted_and_ignored(bench: Bench) -> None:
    stray = [click(5), click(0, creative_id="shoe")]
    converted, files = bench.convert(bench.log([decision(0), *stray]))
    assert converted.lost_feedback == 2
    assert files == bench.convert(bench.log([decision(0)]))[1]


def test_days_are_files_and_a_late_click_changes_only_that_of_its_decision(bench: Bench) -> None:
    days = [[decision(0)], [decision(1, time=NOON + DAY)], [decision(2, time=NOON + 2 * DAY)]]
    before = bench.convert(bench.log(*days))[1]
    assert list(before) == ["2026-09-21.parquet", "2026-09-22.parquet", "2026-09-23.parquet"]
    late = click(0, time=NOON + 2 * DAY)
    after = bench.convert(bench.log(*days[:2], [*days[2], late]))[1]
    assert {name for name in before if before[name] != after[name]} == {"2026-09-21.parquet"}


def test_context_columns_are_the_union_of_all_names_unchanged(bench: Bench) -> None:
    odd = 'it\'s a "name"'
    first, _, third, _ = bench.rows([decision(0, context={odd: "x"}, segment=None)], [decision(1)])
    assert (first[f"ctx_{odd}"], first["ctx_device"], first["ctx_segment"]) == ("x", None, None)
    assert (third[f"ctx_{odd}"], third["ctx_device"], third["ctx_segment"]) == (None, "phone", "loyal")


def test_names_of_context_that_differ_by_case_are_two(bench: Bench) -> None:
    first, _ = bench.rows([decision(0, context={"Device": "x", "device": "y"})])
    assert (first["ctx_Device"], first["ctx_device"]) == ("x", "y")


def test_the_most_frequent_names_of_context_become_columns(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(impressions, "MAX_COLUMNS", 2)
    contexts = [{"rare": "1"}, {"often": "2", "b": "3"}, {"often": "4", "a": "5"}]
    history = [decision(number, context=context, segment=None) for number, context in enumerate(contexts)]
    log = bench.log([*history, *[history[0]] * 3])  # repeated feedback
    converted, _ = bench.convert(log)
    assert converted.context_names == 2
    assert "2 context names are excluded, such as 'b', 'rare'" in caplog.text
    rows = bench.rows(history)
    assert [(row["ctx_often"], row["ctx_a"]) for row in rows[::2]] == [(None, None), ("2", None), ("4", "5")]
    assert not {"ctx_b", "ctx_rare"} & rows[0].keys()


@pytest.mark.parametrize(
    "change", [{"time": 2**62}, {"position": 2**62}, {"context": {"a\0b": "x"}}, {"context": {"": "x"}}]
)
def test_a_record_that_cannot_be_converted_is_named_and_left_out(
    bench: Bench, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    log = bench.log([decision(0), decision(1, **change)])
    converted, files = bench.convert(log)
    assert (converted.decisions, converted.unreadable) == (1, 1)
    assert ":3: excluded: " in caplog.text
    assert next(iter(change)) in caplog.text
    assert files == bench.convert(bench.log([decision(0)]))[1]


def test_of_a_damaged_segment_the_rest_is_converted_and_the_loss_is_counted(bench: Bench) -> None:
    root = bench.root / "damaged"
    cut = write_segment(root, frame_segment([decision(number) for number in range(50)]))
    write_segment(root, frame_segment([decision(50)], number=1, before=50))
    (noise := cut.with_name("noise.jsonl.gz")).write_bytes(b"no gzip")
    os.truncate(cut, cut.stat().st_size - 40)
    converted, _ = bench.convert(root)
    assert converted.missing_records > 0
    assert converted.decisions + converted.missing_records == 51
    assert [what.partition(": damaged after line ")[0] for what in converted.damaged] == [str(cut), str(noise)]


def test_the_command_converts_readable_records_and_names_the_damaged_segment(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "impressions"
    path = write_segment(log, frame_segment([decision(0)]))
    (bad := path.with_name("bad.jsonl.gz")).write_bytes(path.read_bytes()[:60])
    done = CliRunner().invoke(cli, ["log", "to-impressions", str(log), "--out", str(out), "--json"])
    assert json.loads(done.stdout)["impressions"] == 2
    assert isinstance(done.exception, DataError)
    assert str(done.exception).startswith(f"1 damaged segments, 0 records missing; the rest was converted: {bad}: ")
    assert manifest.verify(out).rows == {"impressions": 2}


def test_only_their_owner_may_read_impressions(bench: Bench) -> None:
    bench.convert(bench.log([decision(0)]))
    assert {stat.S_IMODE(path.stat().st_mode) for path in bench.root.glob("made-*/*")} == {0o600}


def test_lines_that_are_none_of_a_log_are_counted_and_a_log_that_showed_nothing_is_refused(bench: Bench) -> None:
    header, end = frame_segment([])
    write_segment(bench.root / "odd", [header, b"{}\n", decision(0), end])
    assert bench.convert(bench.root / "odd")[0].unreadable == 1
    with pytest.raises(DataError, match="no decision showed a creative"):
        bench.convert(bench.log([decision(0, chosen=[], propensities=[])]))


@st.composite
def histories(draw: st.DrawFn) -> list[Line]:
    numbers = draw(st.lists(st.integers(0, 5), min_size=1, max_size=8))
    decided = [decision(n, time=NOON + n * DAY // 2) for n in numbers]
    values = st.sampled_from([0.1, 0.2, 0.7, None])
    told = [
        click(n, kind=draw(st.sampled_from(["click", "conversion"])), value=draw(values), feedback_id=draw(ids))
        for n in draw(st.lists(st.integers(0, 6), max_size=12))
        for ids in [st.sampled_from([None, "a", "b"])]
    ]
    return [*decided, *told]


@pytest.mark.slow
@settings(max_examples=15)
@given(histories(), st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_bytes_depend_on_the_records_and_not_on_how_they_lie(
    tmp_path_factory: pytest.TempPathFactory, history: list[Line], random: Any, parts: int
) -> None:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    converted, files = bench.convert(bench.log(history))
    shuffled = [*history, *history[:3]]
    random.shuffle(shuffled)
    again, others = bench.convert(bench.log(*([*shuffled[part::parts]] for part in range(parts))))
    assert others == files
    assert (again.impressions, again.decisions, again.feedback) == (
        converted.impressions,
        converted.decisions,
        converted.feedback,
    )
    assert again.impressions == 2 * again.decisions
    left_out = converted.repeated_feedback + converted.early_feedback + converted.lost_feedback
    assert converted.feedback + left_out == sum(isinstance(line, Feedback) for line in history)


def test_row_groups_do_not_depend_on_how_rows_came(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impressions, "ROWS_PER_SHARD", 7)
    history = [decision(number) for number in range(20)]
    one, other = bench.log(history), bench.log(history[10:], history[:10])
    assert bench.convert(one)[1] == bench.convert(other)[1]
    content = bench.convert(one)[1]["2026-09-21.parquet"]
    path = bench.root / "groups.parquet"
    path.write_bytes(content)
    groups = pq.ParquetFile(path).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [7, 7, 7, 7, 7, 5]


def test_the_table_passes_the_contract_and_its_users_meet_those_of_the_events(
    tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert context.pseudonym_key
    ann = privacy.pseudonymise("ann", context.pseudonym_key)
    mark = privacy.key_fingerprint(context.pseudonym_key)
    history = [decision(number, user=ann, user_key=mark) for number in range(3)]
    write_segment(
        tmp_path / "log", frame_segment([*history, decision(3, user=None, user_key=None, segment=None), click(1)])
    )
    shown = CliRunner().invoke(cli, ["log", "to-impressions", "log", "--out", "impressions", "--json"])
    assert json.loads(shown.output)["impressions"] == 8
    pd.DataFrame({"user_id": ["ann", "bob"], "timestamp": "2026-01-01"}).to_csv("orders.csv", index=False)
    sources = Ingest(
        events=Source(uri="orders.csv", format="csv", constants={"event": "purchase"}),
        impressions=Source(uri="impressions", format="parquet"),
    )
    period = Period(holdout_start=date(2026, 9, 21), end=date(2026, 10, 1))
    sources_lock.save(sources_lock.scan_table(sources, None, context), sources_lock.LOCK)
    ingest.run(ingest.Inputs(), ingest.Outputs(), sources, context)
    params = Prepare(events=period, impressions=period)
    counts = prepare.run(prepare.Inputs(), prepare.Outputs(), params, context)
    assert (counts["impressions_rows"], counts["impressions_quarantined"]) == (8, 0)
    rows = parquet.read(Path("data/dataset/impressions"))
    assert set(rows["user_id"].dropna()) == {ann} < set(parquet.read(Path("data/dataset/events"))["user_id"])
    assert rows["clicked"].sum() == 1
    assert "user_key" not in rows
    assert rows["ctx_segment"].fillna("none").tolist() == ["loyal"] * 6 + ["none"] * 2


def test_the_command_replaces_impressions_and_nothing_else(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "impressions"
    write_segment(log, frame_segment([decision(0)]))
    command = ["log", "to-impressions", str(log), "--out", str(out)]
    first = CliRunner().invoke(cli, [*command, "--json"])
    expected = ConversionReport(1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, [])
    assert json.loads(first.output) == asdict(expected)
    assert manifest.verify(out).rows == {"impressions": 2}
    assert CliRunner().invoke(cli, command).exit_code == 0
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").touch()
    refused = CliRunner().invoke(cli, [*command[:-1], str(tmp_path / "photos")])
    assert isinstance(refused.exception, DataError)
    assert (tmp_path / "photos" / "one.png").exists()
