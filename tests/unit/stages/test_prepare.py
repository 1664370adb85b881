"""prepare: from raw tables to the dataset, one table at a time; errors leave nothing."""

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from tests.support.slow_pictures import many_scans
from tests.support.toy_tunes import tune_rows

from adloom.config.base import ConfigModel
from adloom.config.params import TABLES, Period, Prepare
from adloom.config.sources import Ingest
from adloom.config.value_formats import PLAIN_FORMAT, ValueFormat
from adloom.context import StageContext
from adloom.data import duplicates, pictures, privacy
from adloom.data.contracts import RAW_TABLE
from adloom.data.invalid_traffic import BURST, EARLY, ROBOT
from adloom.errors import ArtifactError, ConfigError, DataError
from adloom.stages import ingest, prepare, sources_lock
from adloom.stages.prepare import Inputs, Outputs
from adloom.stages.sources_lock import SourceFiles, SourcesLock
from adloom.storage import manifest, parquet

KEY = b"a key for tests only"  # the one of the outside fixture
YEAR = Period(holdout_start=date(2026, 7, 1), end=date(2026, 10, 1))
PARAMS = Prepare(events=YEAR, impressions=YEAR, max_quarantine_rate=0.1)


class Bench:
    """A folder with raw tables, in which the stage runs."""

    def __init__(self, folder: Path, context: StageContext) -> None:
        self.folder = folder
        self.context = context
        self.inputs = Inputs(folder / "sources.lock", *(folder / "raw" / table for table in TABLES))
        self.outputs = Outputs(*(folder / "dataset" / table for table in TABLES))
        self.lock(privacy.key_fingerprint(KEY))
        for table in TABLES:
            manifest.skip(
                getattr(self.inputs, f"raw_{table}"), "ingest", ConfigModel(), f"no source: ingest.{table} is not given"
            )

    def lock(self, key: str | None, erasure: SourceFiles | None = None) -> None:
        self.folder.mkdir(exist_ok=True)
        sources_lock.save(SourcesLock(key=key, erasure=erasure, tables={}), self.folder / "sources.lock")

    def raw(
        self,
        table: str,
        rows: pd.DataFrame,
        *,
        private: bool = True,
        value_format: ValueFormat = PLAIN_FORMAT,
        warnings: Sequence[str] = (),
    ) -> None:
        with manifest.draft(getattr(self.inputs, f"raw_{table}"), "ingest", ConfigModel(), {}) as draft:
            parquet.write(rows, draft.path, RAW_TABLE)
            draft.facts = {
                "source": "shop",
                "licence": "own work",
                "private": "yes" if private else "no",
                "value_format": value_format.to_json(),
                "warnings": json.dumps(warnings),
            }

    def run(self, params: Prepare = PARAMS) -> Mapping[str, float]:
        return prepare.run(self.inputs, self.outputs, params, self.context)

    def rows(self, table: str) -> pd.DataFrame:
        manifest.verify(getattr(self.outputs, table))
        return parquet.read(getattr(self.outputs, table))

    def summary(self, table: str) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((getattr(self.outputs, table) / "summary.json").read_text())
        return summary

    def left(self) -> list[str]:
        """What lies where the dataset is written, skipped tables apart."""
        artifacts = sorted((self.folder / "dataset").glob("*"))
        return [
            path.name for path in artifacts if not (path / "manifest.json").is_file() or not manifest.skip_reason(path)
        ]


@pytest.fixture
def bench(tmp_path: Path, context: StageContext) -> Bench:
    return Bench(tmp_path, context)


def orders(count: int = 20, **changes: Any) -> pd.DataFrame:
    days = [f"2026-{1 + i % 9:02}-15" for i in range(count)]
    rows = {"user_id": [f"u{i % 7}" for i in range(count)], "timestamp": days, "event": "purchase", "value": "5"}
    return pd.DataFrame({**rows, **changes}).astype("str")


def picture(number: int, size: int = 64, mode: str = "RGB") -> bytes:
    noise = np.random.default_rng(number).integers(0, 255, (size, size, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def creatives(*images: bytes, categories: int = 2) -> pd.DataFrame:
    names = [str(i) for i in range(len(images))]
    return pd.DataFrame(
        {"creative_id": names, "category": [f"c{i % categories}" for i in range(len(images))], "image": images}
    )


RAW = {
    "creatives": creatives(*(picture(i) for i in range(30))),
    "copy": pd.DataFrame({"copy_id": [str(i) for i in range(30)], "text": [f"line {i}" for i in range(30)]}),
    "events": orders(),
    "impressions": pd.DataFrame(
        {
            "impression_id": [str(i) for i in range(20)],
            "timestamp": orders()["timestamp"],
            "placement": "home",
            "creative_id": "c",
            "clicked": "1",
            "ctx_device": "phone",
        }
    ),
    "tunes": tune_rows().drop(columns="split"),
}
COLUMNS = {
    "creatives": "creative_id category image text kind width height channels source licence split",
    "copy": "copy_id text category group impressions clicks body split",
    "events": "user_id timestamp event item_id quantity value currency split half",
    "impressions": "impression_id timestamp user_id placement position creative_id candidates clicked propensity "
    "logging_policy decision_id conversions value currency complaints cost weight outcome_at "
    "conversion_at experiment arm arm_probability ctx_device invalid invalid_reason split",
    "tunes": "tune_id title notation key metre split",
}


@pytest.mark.parametrize("table", TABLES)
def test_each_table_alone_is_prepared(bench: Bench, table: str) -> None:
    bench.raw(table, RAW[table])
    assert set(bench.run().items()) >= {(f"{table}_rows", len(RAW[table])), (f"{table}_quarantined", 0)}
    rows = bench.rows(table)
    assert list(rows.columns) == COLUMNS[table].split()
    assert bench.left() == [table]
    draft = manifest.read(getattr(bench.outputs, table))
    assert {split: count for split, count in draft.rows.items() if split not in ("quarantined", "dropped")} == dict(
        rows["split"].value_counts()
    )
    assert draft.inputs == {"raw": manifest.digest(getattr(bench.inputs, f"raw_{table}"))}
    assert ("key" in draft.facts) == (table in ("events", "impressions"))
    assert bench.summary(table)["rows"]["kept"] == len(rows)
    assert parquet.read(getattr(bench.outputs, table), name="quarantine").empty


def test_invalid_traffic_is_marked_counted_and_kept(bench: Bench) -> None:
    rows = RAW["impressions"].assign(user_id="u1", timestamp="2026-02-03T04:00:00Z", outcome_at="2026-02-03T04:00:09Z")
    rows.loc[0, ["timestamp", "user_agent"]] = ["2026-08-01T00:00:00Z", "AhrefsBot/7.0"]
    rows.loc[1, "timestamp"] = "2026-02-03T04:00:30Z"
    bench.raw("impressions", rows)
    assert bench.run()["impressions_invalid"] == 20
    marked = bench.rows("impressions")
    counts = {BURST: 18, ROBOT: 1, EARLY: 1}
    assert marked["invalid_reason"].value_counts().to_dict() == counts
    summary = bench.summary("impressions")
    assert summary["invalid_traffic"] == counts
    assert summary["warnings"][-1].startswith("20 of 20 rows are marked as invalid traffic, which policies leave out: ")
    schemas = {pq.read_schema(shard) for shard in parquet.list_shards(bench.outputs.impressions)}
    bench.raw("impressions", RAW["impressions"])
    assert bench.run()["impressions_invalid"] == 0
    assert {pq.read_schema(shard) for shard in parquet.list_shards(bench.outputs.impressions)} == schemas


def test_pictures_in_colour_keep_their_size_and_their_pixels(bench: Bench) -> None:
    bench.raw("creatives", RAW["creatives"])
    bench.run()
    rows = bench.rows("creatives")
    assert rows[["width", "height", "channels"]].drop_duplicates().values.tolist() == [[64, 64, 3]]
    before, after = (np.asarray(Image.open(io.BytesIO(image))) for image in (picture(3), rows["image"][3]))
    assert (before == after).all()


def test_the_most_common_size_and_the_richest_colour_are_the_default(bench: Bench) -> None:
    bench.raw("creatives", creatives(picture(1, 40), picture(2, 40, "L"), picture(3, 130, "L")))
    bench.run()
    assert bench.rows("creatives")[["width", "channels"]].drop_duplicates().values.tolist() == [[32, 3]]
    bench.run(PARAMS.model_copy(update={"picture_size": 128}))
    assert set(bench.rows("creatives")["width"]) == {128}


@pytest.mark.slow
def test_a_bad_picture_breaks_no_other_row(bench: Bench) -> None:
    images = [picture(i, 28) for i in range(20)]
    bench.raw("creatives", creatives(*images[:17], many_scans(5000), images[18][:60], b"a text", picture(99, 2049)))
    bench.run(PARAMS.model_copy(update={"max_pixels": 2048 * 2048, "max_quarantine_rate": 0.2}))
    assert bench.summary("creatives")["quarantined"] == {
        "image: more pixels than prepare.max_pixels": 1,
        pictures.TOO_SLOW: 1,
        "image: not a picture": 1,
        "image: truncated or damaged": 1,
    }
    quarantine = parquet.read(bench.outputs.creatives, name="quarantine")
    assert quarantine["creative_id"].tolist() == ["17", "18", "19", "20"]
    assert len(bench.rows("creatives")) == 17


def test_one_category_only_is_accepted_with_a_warning(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.raw("creatives", creatives(picture(1), picture(2), categories=1), warnings=["left out as no data: a.pdf"])
    bench.run()
    assert bench.summary("creatives")["warnings"][0] == "left out as no data: a.pdf"
    assert caplog.messages == [f"creatives: {warning}" for warning in bench.summary("creatives")["warnings"]]
    assert "one category only (c0): no model can tell categories apart" in bench.summary("creatives")["warnings"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": "five"}, "value: not a number (3)"),
        ({"timestamp": "2030-01-01"}, "timestamp: not before prepare.events.end (3)"),
        (
            {"timestamp": "15/02/2026"},
            "timestamp: not a date of the expected format; set timestamp_format, such as %d.%m.%Y (3)",
        ),
        ({"user_id": ""}, "user_id: missing (3)"),
    ],
)
def test_too_many_broken_rows_stop_the_stage_and_leave_only_the_quarantine(
    bench: Bench, change: dict[str, str], reason: str
) -> None:
    bench.raw("events", pd.concat([orders(17), orders(3, **change)]))
    with pytest.raises(DataError) as caught:
        bench.run()
    assert str(caught.value).startswith(
        f"events: 3 of 20 rows are broken, above prepare.max_quarantine_rate 0.1: {reason}"
    )
    assert bench.left() == ["events.quarantine"]
    assert len(parquet.read(bench.outputs.events.with_name("events.quarantine"), name="quarantine")) == 3


def test_a_duplicate_id_is_quarantined(bench: Bench) -> None:
    copy = RAW["copy"].assign(copy_id=[*RAW["copy"]["copy_id"][:29], "7"])
    bench.raw("copy", copy)
    assert bench.run()["copy_quarantined"] == 1
    assert bench.summary("copy")["quarantined"] == {"copy_id: duplicate": 1}


def test_ids_beyond_the_memory_for_them_are_checked_as_exactly(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    impressions = pd.concat([RAW["impressions"]] * 10, ignore_index=True)
    ids = [f"i{number}" for number in range(200)]
    impressions["impression_id"] = [*ids[:150], *ids[10:11], *ids[120:130], *ids[161:]]
    monkeypatch.setattr(duplicates, "FIRST_SLOTS", 64)
    monkeypatch.setattr(duplicates, "MAX_SLOTS", 64)
    monkeypatch.setattr(parquet, "ROWS_PER_SHARD", 20)
    bench.raw("impressions", impressions)
    bench.run()
    rows = bench.rows("impressions")
    assert rows["impression_id"].tolist() == [*ids[:150], *ids[161:]]
    assert bench.summary("impressions")["quarantined"] == {"impression_id: duplicate": 11}


def test_numbers_of_two_meanings_stop_the_stage_and_leave_nothing(bench: Bench) -> None:
    bench.raw("events", orders(value="1.234"))
    with pytest.raises(DataError, match='value: 1.234 may mean 1234; set ingest.events.thousands: "[.]" if it does'):
        bench.run()
    assert bench.left() == []


def test_all_rows_quarantined_is_an_error_at_any_rate(bench: Bench) -> None:
    bench.raw("events", orders(value="one"))
    with pytest.raises(DataError, match=r"events: no row is left of 20: value: not a number \(20\)"):
        bench.run(PARAMS.model_copy(update={"max_quarantine_rate": 1.0}))
    assert bench.left() == ["events.quarantine"]


def test_a_failure_shows_rows_and_the_place_of_the_quarantine_but_no_user_id(bench: Bench) -> None:
    bench.raw(
        "events",
        orders(
            user_id=[f"somebody{i}" for i in range(20)],
            value=["1", "x", "y", *["1"] * 17],
            event=["", *["purchase"] * 19],
        ),
    )
    with pytest.raises(DataError) as caught:
        bench.run()
    kept = bench.outputs.events.with_name("events.quarantine")
    assert "for example row 2 value 'x', row 1 event '', row 3 value 'y'" in str(caught.value)
    assert f"; {kept}/quarantine-*.parquet has all of them; correct" in str(caught.value)
    assert "somebody" not in str(caught.value) + parquet.read(kept, name="quarantine").to_csv()
    bench.run(PARAMS.model_copy(update={"max_quarantine_rate": 0.5}))
    assert bench.left() == ["events"]


def test_pods_copy_the_quarantine_of_a_failure_to_the_store(bench: Bench) -> None:
    place = bench.folder / "store"
    bench.context = replace(bench.context, checkpoint_uri=str(place))
    bench.raw("events", orders(value="x"))
    with pytest.raises(DataError, match=rf"also below {place}/quarantine/[0-9a-f]{{16}}, has all"):
        bench.run()
    assert [path.name for path in place.rglob("*.parquet")] == ["quarantine-00000.parquet"]


@pytest.mark.parametrize("rows", [0, 3, 20_000, 20_001])
def test_the_quarantine_has_full_shards(bench: Bench, rows: int) -> None:
    with manifest.draft(bench.inputs.raw_events, "ingest", ConfigModel(), {}) as draft:
        shards = parquet.ShardWriter(draft.path, RAW_TABLE)
        for part in (rows // 2, rows - rows // 2):
            shards.append(orders(part + 1, value=["5", *["x"] * part]))
        draft.facts = {"source": "shop", "licence": "own", "private": "yes", "value_format": PLAIN_FORMAT.to_json()}
    bench.run(PARAMS.model_copy(update={"max_quarantine_rate": 1.0}))
    paths = sorted(bench.outputs.events.glob("quarantine-*"))
    expected = [min(parquet.ROWS_PER_SHARD, rows - start) for start in range(0, max(rows, 1), parquet.ROWS_PER_SHARD)]
    assert [len(pd.read_parquet(path)) for path in paths] == expected


def test_private_data_without_a_key_is_refused(bench: Bench) -> None:
    bench.raw("events", orders())
    bench.context = replace(bench.context, pseudonym_key=None)
    with pytest.raises(ConfigError, match=r"events: private data needs a key for pseudonyms; `openssl rand -hex 32"):
        bench.run()
    assert bench.left() == []


def test_another_key_than_the_locks_is_refused(bench: Bench) -> None:
    bench.raw("events", orders())
    for known in ("0123456789abcdef", None):
        bench.lock(known)
        with pytest.raises(DataError, match=rf"events: .* sources.lock \({known or 'none'}\); set that key"):
            bench.run()


def test_published_data_has_the_published_key(bench: Bench) -> None:
    bench.raw("events", orders(), private=False)
    bench.lock(None)
    bench.run()
    assert set(bench.rows("events")["user_id"]) == {
        privacy.pseudonymise(f"u{i}", privacy.PUBLISHED_KEY) for i in range(7)
    }


def test_no_user_id_is_left_anywhere(bench: Bench) -> None:
    users = [f"somebody{i}@example.org" for i in range(20)]
    bench.raw("events", orders(user_id=users, value=["one", *["1"] * 19], phone="+49"))
    bench.run()
    for path in bench.outputs.events.rglob("*"):
        text = path.read_text() if path.suffix == ".json" else pd.read_parquet(path).to_csv()
        assert "somebody" not in text
        assert "+49" not in text
    assert bench.summary("events")["columns_dropped"] == ["phone"]


def test_consent_and_the_erasure_list_are_honoured_and_counted(bench: Bench) -> None:
    erased = bench.folder / "erased.txt"
    erased.write_text("u1\n\n u2 \nnobody\n")
    bench.lock(privacy.key_fingerprint(KEY), sources_lock.scan_files(str(erased), bench.context))
    bench.raw("events", orders(21, agreed=["no", *["yes"] * 20]))
    params = PARAMS.model_copy(update={"consent_column": "agreed", "erasure_list": str(erased)})
    bench.run(params)
    erased_users = {privacy.pseudonymise(user, KEY) for user in ("u1", "u2")}
    assert not erased_users & set(bench.rows("events")["user_id"])
    assert bench.summary("events")["dropped"] == {"on the erasure list": 6, "without consent": 1}
    assert bench.summary("events")["erasure_list"] == {"ids": 3, "with_rows": 2}
    assert "prepare.erasure_list: 1 of 3 ids have no row" in bench.summary("events")["warnings"]
    assert manifest.read(bench.outputs.events).rows["dropped"] == 7
    erased.write_text("u3\n")
    with pytest.raises(DataError, match=r"prepare.erasure_list: .*erased.txt changed since sources.lock was written"):
        bench.run(params)


def test_mixed_dates_are_read_by_the_sources_format(bench: Bench) -> None:
    rows = orders(20, timestamp=[*["15.01.2026"] * 19, "2026-01-15"])
    bench.raw("events", rows, value_format=ValueFormat(timestamp_format="%d.%m.%Y"))
    bench.run()
    assert bench.summary("events")["quarantined"] == {"timestamp: not a date of the expected format": 1}
    assert bench.summary("events")["dates"]["first"] == "2026-01-15T00:00:00+00:00"


def test_skipped_tables_stay_skipped(bench: Bench) -> None:
    assert bench.run() == {}
    for table in TABLES:
        assert manifest.skip_reason(getattr(bench.outputs, table)) == f"no source: ingest.{table} is not given"


def test_a_raw_table_of_another_version_is_refused(bench: Bench) -> None:
    with manifest.draft(bench.inputs.raw_copy, "ingest", ConfigModel(), {}) as draft:
        parquet.write(RAW["copy"], draft.path, RAW_TABLE)
        draft.facts = {"source": "shop", "licence": "own", "private": "no"}
    with pytest.raises(DataError, match="copy: written by another version of adloom; run `adloom ingest` again"):
        bench.run()


def test_a_raw_table_that_was_changed_is_refused(bench: Bench) -> None:
    bench.raw("copy", RAW["copy"])
    (bench.inputs.raw_copy / f"{RAW_TABLE}-00000.parquet").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="changed since it was written"):
        bench.run()


def test_the_same_data_in_another_folder_is_the_same_artifact(
    bench: Bench, tmp_path: Path, context: StageContext
) -> None:
    digests = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        other = Bench(tmp_path / name, context)
        for table in TABLES:
            other.raw(table, RAW[table])
        other.run()
        digests.append([manifest.digest(getattr(other.outputs, table)) for table in TABLES])
    assert digests[0] == digests[1]


def test_numbers_of_one_table_do_not_change_another(bench: Bench) -> None:
    for table in TABLES:
        bench.raw(table, RAW[table])
    digests = []
    for params in (PARAMS, PARAMS.model_copy(update={"events": Period(holdout_start=date(2026, 3, 1), end=YEAR.end)})):
        bench.run(params)
        digests.append({table: manifest.digest(getattr(bench.outputs, table)) for table in TABLES})
    assert {table for table in TABLES if digests[0][table] != digests[1][table]} == {"events"}


def test_a_full_disk_leaves_the_last_dataset(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.raw("copy", RAW["copy"])
    bench.run()
    before = manifest.digest(bench.outputs.copy)
    shutil.rmtree(bench.inputs.raw_copy)
    bench.raw("copy", RAW["copy"].iloc[:9])

    def full(rows: object, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(parquet, "_write_shard", full)
    with pytest.raises(OSError, match="No space left"):
        bench.run()
    assert manifest.digest(bench.outputs.copy) == before
    assert not [*(bench.folder / "dataset").glob(".*")]


ORDERED = "{uri: %s, format: csv, columns: {user_id: who, value: paid}, constants: {event: purchase, quantity: 1}}"
REORDERED = "{constants: {quantity: 1.0, event: purchase}, columns: {value: paid, user_id: who}, format: csv, uri: %s}"


def test_the_order_and_notation_of_params_do_not_change_the_bytes(tmp_path: Path, context: StageContext) -> None:
    source = tmp_path / "orders.csv"
    source.write_text("paid,store,who,timestamp\n5,a,ann,2026-01-02\n-1,b,bob,2026-08-01\n", encoding="utf-8")
    digests = []
    for name, text in {"ordered": ORDERED, "reordered": REORDERED}.items():
        bench = Bench(tmp_path / name, context)
        params = Ingest.model_validate({"events": yaml.safe_load(text % source)})
        files = sources_lock.scan_files(str(source), context)
        lock = SourcesLock(key=privacy.key_fingerprint(KEY), erasure=None, tables={"events": files})
        sources_lock.save(lock, bench.inputs.sources)
        ingest.run(
            ingest.Inputs(bench.inputs.sources),
            ingest.Outputs(*(getattr(bench.inputs, f"raw_{table}") for table in TABLES)),
            params,
            context,
        )
        bench.run(PARAMS.model_copy(update={"max_quarantine_rate": 0.5}))
        digests.append([manifest.digest(folder) for folder in (bench.inputs.raw_events, bench.outputs.events)])
    assert digests[0] == digests[1]
