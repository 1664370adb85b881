import json
from pathlib import Path

import pytest

from adloom.config.sources import Source
from adloom.errors import ArtifactError
from adloom.storage import manifest

PARAMS = Source(uri="somewhere")


def make(target: Path, text: str = "hello") -> Path:
    with manifest.draft(target, "prepare", PARAMS, {}) as made:
        (made.path / "a.txt").write_text(text, encoding="utf-8")
        made.rows["all"] = 1
    return target


def test_the_manifest_names_every_byte(tmp_path: Path) -> None:
    made = manifest.verify(make(tmp_path / "table"))
    assert made.files["a.txt"].bytes == 5
    assert made.files["a.txt"].sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert made.rows == {"all": 1}


def test_equal_content_has_an_equal_digest_in_every_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    one, two = make(tmp_path / "table"), make(tmp_path / "elsewhere" / "other")
    assert manifest.digest(one) == manifest.digest(two)
    assert manifest.digest(one) != manifest.digest(make(tmp_path / "third", "other"))


def test_params_and_inputs_are_part_of_the_digest(tmp_path: Path) -> None:
    table = make(tmp_path / "table")
    with manifest.draft(tmp_path / "model", "train_cnn", PARAMS, {"creatives": table}):
        pass
    assert manifest.read(tmp_path / "model").inputs == {"creatives": manifest.digest(table)}


def test_a_failed_run_leaves_only_the_old_artifact(tmp_path: Path) -> None:
    target = make(tmp_path / "table")
    before = manifest.digest(target)
    with pytest.raises(OSError, match="full"), manifest.draft(target, "prepare", PARAMS, {}) as made:
        (made.path / "half.txt").write_text("half", encoding="utf-8")
        raise OSError("full")
    assert manifest.digest(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_a_full_disk_names_the_artifact(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="No space left") as caught,
        manifest.draft(tmp_path / "table", "prepare", PARAMS, {}) as made,
    ):
        (made.path / "a.txt").symlink_to("/dev/full")
        made.write_json("a.txt", {})
    assert caught.value.filename == str(tmp_path / "table")


def test_files_of_a_killed_run_are_never_read_and_deleted(tmp_path: Path) -> None:
    left = tmp_path / ".table.partial"
    left.mkdir()
    (left / "stale.txt").write_text("stale", encoding="utf-8")
    assert list(manifest.verify(make(tmp_path / "table")).files) == ["a.txt"]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "a.txt").unlink(), "missing; the manifest lists it"),
        (lambda folder: (folder / "a.txt").write_text("jello", encoding="utf-8"), "changed since it was written"),
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{", encoding="utf-8"), "not a manifest of format 1"),
    ],
)
def test_damage_is_named(tmp_path: Path, harm: object, message: str) -> None:
    folder = make(tmp_path / "table")
    assert callable(harm)
    harm(folder)
    with pytest.raises(ArtifactError, match=message):
        manifest.verify(folder)


def test_a_file_is_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch()
    with pytest.raises(ArtifactError, match=r"rows.csv: no manifest.json; run `adloom run`, or the stage"):
        manifest.verify(tmp_path / "rows.csv")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"table: no such file or folder; run `adloom run`, or the stage"):
        manifest.verify(tmp_path / "table")


def test_a_skip_reason_is_propagated(tmp_path: Path) -> None:
    manifest.skip(tmp_path / "gan", "train_gan", PARAMS, "no source")
    real = make(tmp_path / "table")
    assert manifest.skip_reason(real, tmp_path / "gan") == "no source"
    assert manifest.skip_reason(real) is None


def test_a_manifest_holds_no_time_host_or_path(tmp_path: Path) -> None:
    fields = set(json.loads((make(tmp_path / "table") / "manifest.json").read_text(encoding="utf-8")))
    assert fields == {"format", "stage", "skipped", "files", "rows", "facts", "params", "inputs"}
    assert str(tmp_path) not in (tmp_path / "table" / "manifest.json").read_text(encoding="utf-8")


def test_kernel_variables_are_part_of_the_digest(tmp_path: Path) -> None:
    plain = make(tmp_path / "plain")
    with manifest.draft(tmp_path / "chosen", "prepare", PARAMS, {}) as made:
        (made.path / "a.txt").write_text("hello", encoding="utf-8")
        made.rows["all"] = 1
        made.environment["OPENBLAS_CORETYPE"] = "Haswell"
    assert manifest.verify(tmp_path / "chosen").environment == {"OPENBLAS_CORETYPE": "Haswell"}
    assert manifest.digest(tmp_path / "chosen") != manifest.digest(plain)
    assert "environment" not in json.loads((plain / "manifest.json").read_bytes())  # as it was before there were any
