"""Which files are data: programs' files are skipped, others are named, and copies are noticed."""

import pytest

from adloom.config.sources import Source
from adloom.data.reading.data_files import DataFiles, find_copies, select_data_files, strip_extensions
from adloom.errors import DataError

CSV = Source(uri="shop/orders", format="csv")
PARQUET = Source(uri="shop/orders", format="parquet")
PICTURES = Source(uri="shop/pictures", format="folder")


def select(source: Source, *paths: str, table: str = "events", size: int = 1) -> DataFiles:
    return select_data_files(dict.fromkeys(paths, size), source, table)


@pytest.mark.parametrize(
    "path",
    [
        "_SUCCESS",
        "dt=1_$folder$",
        "_committed_123",
        "_spark_metadata/0",
        ".part-0.csv.crc",
        ".DS_Store",
        "2026/._a.csv",
        "a/.git/HEAD.csv",
        ".ipynb_checkpoints/a.csv",
        "deep/er/__MACOSX/a.csv",
        "x/@eaDir/a.csv/SYNO.csv",
        "#recycle/a.csv",
        "Thumbs.db",
        "desktop.ini",
        "~$orders.csv",
        ".~lock.a.csv#",
        "manifest.json",
    ],
)
def test_files_of_programs_are_skipped_at_every_depth(path: str) -> None:
    assert select(CSV, "a.csv", path) == DataFiles(("a.csv",))


def test_an_empty_file_without_an_extension_is_a_marker() -> None:
    assert select_data_files({"dt=1": 0, "dt=1/part-0": 3}, CSV, "events") == DataFiles(("dt=1/part-0",))


def test_empty_text_files_are_left_out_unless_all_are_empty() -> None:
    sizes = {"a.csv": 0, "b.csv": 3}
    assert select_data_files(sizes, CSV, "events") == DataFiles(("b.csv",), ("a.csv",))
    assert select_data_files({"a.csv": 0, "b.csv": 0}, CSV, "events").paths == ("a.csv", "b.csv")
    parquet = {"a.parquet": 0, "b.parquet": 3}  # never empty without an error
    assert select_data_files(parquet, PARQUET, "events").paths == ("a.parquet", "b.parquet")


def test_other_files_are_left_out_by_name() -> None:
    files = select(
        CSV, "a.csv", "a.csv~", "README.md", "_temporary/0/t/a.csv", "_temporary/b.csv", ".old/a.csv", "b.pdf"
    )
    assert files == DataFiles(("a.csv",), (".old/", "README.md", "_temporary/", "a.csv~", "b.pdf"))
    assert files.warnings() == ["left out as no data: .old/, README.md, _temporary/, a.csv~, b.pdf"]
    many = select(CSV, "a.csv", *(f"{number}.pdf" for number in range(7)))
    assert many.warnings() == ["left out as no data: 0.pdf, 1.pdf, 2.pdf, 3.pdf, 4.pdf and 2 more"]


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        (
            CSV,
            (
                "A.CSV",
                "b.tsv.gz",
                "c.txt",
                "d.gz",
                "part-00000",
                "orders.20260105",
                "000000_0",
                "E1.2026-01-05-10.A1B2.gz",
            ),
        ),
        (PARQUET, ("part-0.snappy.parquet", "part-1.c000.gz.parquet", "b.pq", "000001_0")),
        (PICTURES, ("_DSC1.JPG", "a/_MG_2.jpeg", "b.webp", "c.heic", "0a1b2c")),
        (Source(uri="x", format="idx"), ("t10k-images-idx3-ubyte.gz", "labels.idx1-ubyte", "categories.txt")),
    ],
)
def test_names_of_a_formats_files(source: Source, paths: tuple[str, ...]) -> None:
    assert select(source, *paths) == DataFiles(tuple(sorted(paths)))


def test_tables_of_pictures_have_both_kinds_of_files() -> None:
    assert select(CSV, "a.csv", "img/1.png", "b.pdf", table="creatives") == DataFiles(
        ("a.csv", "img/1.png"), ("b.pdf",)
    )


def test_the_file_that_the_user_names_is_data_under_any_name() -> None:
    assert select(Source(uri="shop/_export.bak", format="csv"), "_export.bak") == DataFiles(("_export.bak",))
    assert select(Source(uri="hats", format="folder"), "s", table="creatives") == DataFiles(("s",))


def test_dangling_links_are_named() -> None:
    files = select_data_files({"a.csv": 1, "b.csv": -1, ".#a.csv": -1}, CSV, "events")
    assert files.warnings() == ["links that lead nowhere: b.csv"]


def test_a_source_without_data_files_names_what_it_holds() -> None:
    with pytest.raises(DataError) as caught:
        select(PARQUET, "a.csv", "b.csv")
    assert str(caught.value) == (
        "shop/orders: no parquet file (.parq, .parquet, .pq) for events, only a.csv, b.csv; "
        "correct ingest.events.uri or format"
    )


@pytest.mark.parametrize(
    ("path", "kind"),
    [("_delta_log/0.json", "Delta"), ("a/.hoodie/x", "Hudi"), ("metadata/v1.metadata.json", "Iceberg")],
)
def test_a_table_that_keeps_older_versions_is_refused(path: str, kind: str) -> None:
    with pytest.raises(DataError, match=f"shop/orders: a {kind} table .*export its current rows as plain files"):
        select(PARQUET, "part-0.parquet", path)
    assert select(PARQUET, "metadata/part-0.parquet").paths == ("metadata/part-0.parquet",)


@pytest.mark.parametrize(
    "copy", ["x/a (1).csv", "x/a(2).csv", "x/a - Copy.csv", "x/a copy 2.csv", "x/Copy of a.csv", "x/a - Kopie (2).csv"]
)
def test_a_copy_that_its_name_tells_is_refused(copy: str) -> None:
    with pytest.raises(DataError, match="a.csv; delete it, or its rows are read twice") as caught:
        find_copies({"x/a.csv": "1", copy: "1", "b.csv": "2"}, CSV)
    assert str(caught.value).startswith(f"shop/orders: {copy} is a copy of x/a.csv")
    assert find_copies({"x/a.csv": "1", copy: "2"}, CSV) == [
        f"named like copies, check that no row is in both: x/a.csv, {copy}"
    ]


@pytest.mark.parametrize("copy", ["a.csv.gz", "a (Ann's conflicted copy 2026-01-02).csv"])
def test_a_compressed_or_conflicting_copy_is_named(copy: str) -> None:
    assert find_copies({"a.csv": "1", copy: "2", "x/a.csv.gz": "3"}, CSV) == [
        f"named like copies, check that no row is in both: a.csv, {copy}"
    ]


def test_equal_files_of_other_names_are_named() -> None:
    assert find_copies({"1/a.csv": "x", "2/a.csv": "x", "b.csv": "y", "p.png": "x"}, CSV) == [
        "the same content, read more than once: 1/a.csv, 2/a.csv"
    ]
    assert find_copies({"dt=1/a.csv": "x", "dt=2/a.csv": "x"}, CSV) == []  # the rows differ by their partition
    dated = CSV.model_copy(update={"columns": {"timestamp": "$file"}})
    assert find_copies({"2026-01-05.csv": "x", "2026-01-06.csv": "x"}, dated) == []


def test_a_name_without_extensions() -> None:
    names = ("orders.2026-01.csv.gz", "part-0.snappy.parquet", "photo", "v1.2")
    assert [strip_extensions(name) for name in names] == ["orders.2026-01", "part-0.snappy", "photo", "v1.2"]


def test_the_quarantine_of_a_prepared_table_is_no_data() -> None:
    files = select(PARQUET, "manifest.json", "summary.json", "rows-00000.parquet", "quarantine-00000.parquet")
    assert files == DataFiles(("rows-00000.parquet",), ("quarantine-00000.parquet", "summary.json"))
