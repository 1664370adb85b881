"""npz: bytes that depend on the arrays alone, and that NumPy reads back without pickle."""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from adloom.errors import ArtifactError
from adloom.storage import npz

KINDS = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="="),
    arrays.floating_dtypes(endianness="="),
    arrays.byte_string_dtypes(min_len=1),
    arrays.unicode_string_dtypes(endianness="=", min_len=1),
)
ANY = arrays.arrays(KINDS, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))


def by_hand(name: bytes, content: bytes) -> bytes:
    """A zip of one stored entry, put together from the format's description (APPNOTE 4.3), dated 1980-01-01."""
    time, date, size = 0, 1 << 5 | 1, len(content)
    common = struct.pack("<HHHHHIIIHH", 20, 0, 0, time, date, zlib.crc32(content), size, size, len(name), 0)
    local = b"PK\x03\x04" + common + name + content
    made_by, attributes = 3 << 8 | 20, 0o600 << 16
    central = b"PK\x01\x02" + struct.pack("<H", made_by) + common
    central += struct.pack("<HHHII", 0, 0, 0, attributes, 0) + name
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def test_the_bytes_are_those_worked_by_hand(tmp_path: Path) -> None:
    header = b"{'descr': '<u2', 'fortran_order': False, 'shape': (3,), }"
    header += b" " * (128 - 10 - len(header) - 1) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack("<3H", 1, 2, 3)
    npz.save(tmp_path / "a.npz", a=np.array([1, 2, 3], "<u2"))
    written = (tmp_path / "a.npz").read_bytes()
    assert written == by_hand(b"a.npy", content)
    assert hashlib.sha256(written).hexdigest() == "8cc5d2caec3bd764f129e9ec4ccf39461a68b44f5b97f817d4571383cf959568"


@pytest.mark.slow
@given(st.dictionaries(st.text("abc_é", min_size=1, max_size=5), ANY, max_size=3))
def test_what_was_written_is_read_back(values: dict[str, npt.NDArray[np.generic]]) -> None:
    stream = io.BytesIO()
    npz.save(stream, **values)  # type: ignore[arg-type] # zipfile takes a stream as well
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as found:
        assert list(found) == list(values)
        for name, array in values.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_the_memory_layout_does_not_change_the_bytes(tmp_path: Path) -> None:
    values = np.arange(12.0).reshape(3, 4)
    for name, array in {
        "c": values,
        "fortran": np.asfortranarray(values),
        "strided": np.repeat(values, 2, 0)[::2],
    }.items():
        npz.save(tmp_path / name, x=array)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle=False"):
        npz.save(tmp_path / "x.npz", names=np.array(["a", None]))


@pytest.mark.parametrize(
    ("content", "part"),
    [(None, "missing"), (b"no zip", "an npz with first, third"), ("npz", "an npz with first, third")],
)
def test_a_file_without_the_arrays_is_refused_by_name(tmp_path: Path, content: bytes | str | None, part: str) -> None:
    path = tmp_path / "arrays.npz"
    npz.save(path, first=np.arange(3), second=np.zeros(2))
    assert [values.tolist() for values in npz.load(path, ["second", "first"])] == [[0, 0], [0, 1, 2]]
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=part) as caught:
        npz.load(path, ["first", "third"])
    assert str(path) in str(caught.value)
