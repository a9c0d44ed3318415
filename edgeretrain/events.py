"""TensorBoard's event files, written without TensorBoard and without TensorFlow.

A file is a chain of TFRecords (tensorflow/core/lib/io/record_writer.h): length as uint64, its masked CRC-32C, payload, its
masked CRC-32C, little endian. A payload is an `Event` (tensorflow/core/util/event.proto) with `Summary.Value`s
(tensorflow/core/framework/summary.proto) in protobuf's wire format. Scalars, histograms and images are written as
TensorFlow 1 wrote them, which every TensorBoard and every script on event files reads.
"""

from __future__ import annotations

import functools
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeretrain.storage import explained

FILE_NAME = "events.out.tfevents.edgeretrain"
"""TensorBoard takes every file with `tfevents` in its name; a constant name lets a run replace, or continue, an earlier one."""
FLUSH_SECONDS = 10.0
"""Training that lasts longer can be watched, with this delay."""
BINS = 30
"""Bars of a histogram, as in tf.summary.histogram."""

_BLOCK = 512  # bytes of a record that are checked at once
_DOUBLE, _BYTES, _FLOAT = 1, 2, 5  # wire types; 0 is varint
_STRING_TENSOR, _TENSOR_DATA = 7, 2  # DT_STRING of types.proto, DATA_CLASS_TENSOR of summary.proto


def scalar(tag: str, value: float) -> bytes:
    """A Summary.Value with one number; kept as float32."""
    return _bytes(1, tag) + _key(2, _FLOAT) + struct.pack("<f", value)


def histogram(tag: str, values: ArrayLike) -> bytes:
    """A Summary.Value with the distribution of all finite `values` in `BINS` bins of equal width."""
    data = np.asarray(values, np.float64).ravel()
    data = data[np.isfinite(data)]
    low, high = (float(data.min()), float(data.max())) if data.size else (0.0, 0.0)
    edges = np.linspace(low, high, BINS + 1)
    counts = np.zeros(BINS)
    if high > low:
        counts += np.bincount(((data - low) * (BINS / (high - low))).astype(np.int64).clip(0, BINS - 1), minlength=BINS)
    else:
        counts[-1] = data.size
    moments = (low, high, data.size, data.sum(), data @ data)
    numbers = b"".join(_double(i, float(value)) for i, value in enumerate(moments, 1))
    content = numbers + _bytes(6, edges[1:].astype("<f8").tobytes()) + _bytes(7, counts.astype("<f8").tobytes())
    return _bytes(1, tag) + _bytes(5, content)


def image(tag: str, png: bytes, width: int, height: int) -> bytes:
    """A Summary.Value with an RGB picture of width x height px, encoded as PNG."""
    return _bytes(1, tag) + _bytes(4, _integer(1, height) + _integer(2, width) + _integer(3, 3) + _bytes(4, png))


def text(tag: str, markdown: str) -> bytes:
    """A Summary.Value for the text dashboard, which renders Markdown."""
    metadata = _bytes(1, _bytes(1, "text")) + _integer(4, _TENSOR_DATA)
    tensor = _integer(1, _STRING_TENSOR) + _bytes(2, b"") + _bytes(8, markdown)
    return _bytes(1, tag) + _bytes(9, metadata) + _bytes(8, tensor)


class EventFile:
    """The event file in `folder`; a context manager.

    Records are gathered in memory and reach the disk by `flush`, by `add` every `FLUSH_SECONDS`, and at the end. A run that
    fails before the first flush leaves nothing. `append` continues an earlier file after its last whole record, else the
    first flush replaces it. Writing raises EnvironmentFailure.
    """

    def __init__(self, folder: Path, *, append: bool = False) -> None:
        self.path = folder / FILE_NAME
        self._begun = append and self.path.is_file()
        self._records = bytearray()
        self._flushed = time.monotonic()
        if self._begun:
            with explained(f"continue {self.path}"), self.path.open("r+b") as file:
                file.truncate(_whole_records(file.read()))
        else:
            self._records += _record(_double(1, time.time()) + _bytes(3, "brain.Event:2"))

    def add(self, step: int, values: Sequence[bytes]) -> None:
        """Note what `scalar`, `histogram`, `image` and `text` made, as measured now at `step`."""
        summary = b"".join(_bytes(1, value) for value in values)
        self._records += _record(_double(1, time.time()) + _integer(2, step) + _bytes(5, summary))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Append what was noted since the last time, in one write, so that a reader meets whole records."""
        with explained(f"write {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab" if self._begun else "wb") as file:
                file.write(self._records)
        self._begun = True
        self._records.clear()
        self._flushed = time.monotonic()

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or self._begun:
            self.flush()


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `data`, rotated and shifted as TFRecord wants it.

    A CRC is linear: a block's is the XOR of what each byte gives from its place, and numpy looks all of them up at once.
    """
    tables, crc = _crc_tables(), 0xFFFFFFFF
    for start in range(0, len(data), _BLOCK):
        block = bytearray(data[start : start + _BLOCK])
        for i in range(min(4, len(block))):
            block[i] ^= crc & 0xFF
            crc >>= 8
        places = np.arange((_BLOCK - len(block)) << 8, _BLOCK << 8, 256)
        crc ^= int(np.bitwise_xor.reduce(tables[places + np.frombuffer(block, np.uint8)]))
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_tables() -> NDArray[np.uint32]:
    """What a byte adds to the CRC, by its place in a block and its value: uint32 [_BLOCK * 256]; the last place last."""
    one = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        one = one >> 1 ^ np.where(one & 1, np.uint32(0x82F63B78), np.uint32(0))
    tables = np.empty((_BLOCK, 256), np.uint32)
    tables[-1] = one
    for place in range(_BLOCK - 2, -1, -1):
        tables[place] = one[tables[place + 1] & 0xFF] ^ tables[place + 1] >> 8
    return tables.ravel()


def _record(payload: bytes) -> bytes:
    return _length(len(payload)) + payload + struct.pack("<I", masked_crc32c(payload))


@functools.lru_cache(256)
def _length(count: int) -> bytes:
    length = struct.pack("<Q", count)
    return length + struct.pack("<I", masked_crc32c(length))


def _whole_records(data: bytes) -> int:
    """Length of the beginning of `data` that is whole records: a killed writer may have left a part of one behind."""
    end = 0
    while len(data) >= end + 16:
        (length,) = struct.unpack_from("<Q", data, end)
        if end + 16 + length > len(data):
            break
        end += 16 + length
    return end


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*result, value))


def _key(number: int, wire: int) -> bytes:
    return bytes((number << 3 | wire,))  # field numbers below 16 only


def _integer(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _key(number, _DOUBLE) + struct.pack("<d", value)


def _bytes(number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return b"%c%b%b" % (number << 3 | _BYTES, _varint(len(data)), data)
