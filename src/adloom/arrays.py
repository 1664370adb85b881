"""NumPy arrays named by their dtype."""

from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
BytesArray = npt.NDArray[np.bytes_]
DatetimeArray = npt.NDArray[np.datetime64]
Float16Array = npt.NDArray[np.float16]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
IntegerArray = npt.NDArray[np.integer]
ObjectArray = npt.NDArray[np.object_]
StrArray = npt.NDArray[np.str_]
UInt8Array = npt.NDArray[np.uint8]
UInt64Array = npt.NDArray[np.uint64]
UnsignedArray = npt.NDArray[np.unsignedinteger]
