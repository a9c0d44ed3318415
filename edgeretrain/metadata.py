"""TFLite metadata: the tables that MediaPipe, ML Kit and Android Studio read, and the files appended to the model.

Format: metadata_schema.fbs of TensorFlow Lite Support (file identifier M001), kept in a buffer of the model that the entry
TFLITE_METADATA names; associated files are a ZIP, stored uncompressed, behind the flatbuffer. The few tables needed are
written with the slot numbers of that schema; reading goes through the same numbers.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
from flatbuffers import number_types as types
from flatbuffers.table import Table

from edgeretrain.errors import DataError

ENTRY = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
_IDENTIFIER = b"M001"
_MAX_FILE = 64 << 20

# Slots of the schema's tables, in the order of their fields
_MODEL_NAME, _MODEL_DESCRIPTION, _MODEL_SUBGRAPHS, _MODEL_MIN_PARSER = 0, 1, 3, 7
_GRAPH_INPUTS, _GRAPH_OUTPUTS = 2, 3
_TENSOR_NAME, _TENSOR_CONTENT, _TENSOR_PROCESS, _TENSOR_STATS, _TENSOR_FILES = 0, 3, 4, 5, 6
_FEATURE, _IMAGE = 1, 2  # union ContentProperties
_RGB = 1  # enum ColorSpaceType
_NORMALIZATION = 1  # union ProcessUnitOptions
_AXIS_LABELS = 2  # enum AssociatedFileType


def classifier_metadata(
    name: str, description: str, mean: float, std: float, input_range: tuple[float, float]
) -> bytes:
    """The metadata flatbuffer of an image classifier with its labels in `labels.txt`.

    `mean` and `std` turn a pixel (0..255) into what the network computes with: (pixel - mean) / std; `input_range` is the
    smallest and largest value of the input tensor.
    """
    builder = flatbuffers.Builder(1024)
    image = _table(builder, 1, [(0, "Int8", _RGB)])
    content = _content(builder, _IMAGE, image)
    normalization = _table(
        builder, 2, [(0, "offset", _floats(builder, [mean])), (1, "offset", _floats(builder, [std]))]
    )
    unit = _table(builder, 2, [(0, "Uint8", _NORMALIZATION), (1, "offset", normalization)])
    input_fields = [
        (_TENSOR_NAME, "offset", builder.CreateString("image")),
        (_TENSOR_CONTENT, "offset", content),
        (_TENSOR_PROCESS, "offset", _vector(builder, [unit])),
        (_TENSOR_STATS, "offset", _stats(builder, *input_range)),
    ]
    image_tensor = _table(builder, 7, input_fields)

    labels = _table(builder, 5, [(0, "offset", builder.CreateString(LABELS_FILE)), (2, "Int8", _AXIS_LABELS)])
    content = _content(builder, _FEATURE, _table(builder, 0, []))
    output_fields = [
        (_TENSOR_NAME, "offset", builder.CreateString("probability")),
        (_TENSOR_CONTENT, "offset", content),
        (_TENSOR_STATS, "offset", _stats(builder, 0.0, 1.0)),
        (_TENSOR_FILES, "offset", _vector(builder, [labels])),
    ]
    probability = _table(builder, 7, output_fields)

    graph = _table(
        builder,
        5,
        [
            (_GRAPH_INPUTS, "offset", _vector(builder, [image_tensor])),
            (_GRAPH_OUTPUTS, "offset", _vector(builder, [probability])),
        ],
    )
    model_fields = [
        (_MODEL_NAME, "offset", builder.CreateString(name)),
        (_MODEL_DESCRIPTION, "offset", builder.CreateString(description)),
        (_MODEL_SUBGRAPHS, "offset", _vector(builder, [graph])),
        (_MODEL_MIN_PARSER, "offset", builder.CreateString("1.0.0")),
    ]
    builder.Finish(_table(builder, 8, model_fields), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: Any, slots: int, fields: Sequence[tuple[int, str, Any]]) -> int:
    builder.StartObject(slots)
    for slot, kind, value in fields:
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
    return int(builder.EndObject())


def _vector(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def _content(builder: Any, kind: int, properties: int) -> int:
    return _table(builder, 2, [(0, "Uint8", kind), (1, "offset", properties)])


def _stats(builder: Any, low: float, high: float) -> int:
    return _table(builder, 2, [(0, "offset", _floats(builder, [high])), (1, "offset", _floats(builder, [low]))])


def read_normalization(model: bytes) -> tuple[float, float] | None:
    """(mean, std) of the input image in the model's metadata, None if it has none. Never raises for a damaged one."""
    from ai_edge_litert import schema_py_generated as schema

    try:
        root = schema.Model.GetRootAs(model, 0)
        for i in range(root.MetadataLength()):
            entry = root.Metadata(i)
            if entry.Name() == ENTRY.encode():
                return _normalization(root.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    except (struct.error, ValueError, TypeError, AttributeError, IndexError):
        pass
    return None


def _normalization(data: bytes) -> tuple[float, float] | None:
    root = Table(data, struct.unpack_from("<I", data)[0])
    tensor = _child(_child(root, _MODEL_SUBGRAPHS), _GRAPH_INPUTS)
    options = _follow(_child(tensor, _TENSOR_PROCESS), 1)
    if options is None:
        return None
    mean, std = (_first_float(options, slot) for slot in (0, 1))
    return None if mean is None or not std else (mean, std)


def _offset(table: Table, slot: int) -> int:
    return int(table.Offset(4 + 2 * slot))


def _child(table: Table | None, slot: int) -> Table | None:
    """The first table of the vector in `slot`."""
    if table is None or not (offset := _offset(table, slot)) or not table.VectorLen(offset):
        return None
    return Table(table.Bytes, table.Indirect(table.Vector(offset)))


def _follow(table: Table | None, slot: int) -> Table | None:
    if table is None or not (offset := _offset(table, slot)):
        return None
    return Table(table.Bytes, table.Indirect(table.Pos + offset))


def _first_float(table: Table, slot: int) -> float | None:
    offset = _offset(table, slot)
    if not offset or not table.VectorLen(offset):
        return None
    return float(table.Get(types.Float32Flags, table.Vector(offset)))


def append_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """`model` with `files` appended as an uncompressed ZIP; the same bytes for the same content."""
    buffer = io.BytesIO()
    buffer.write(model)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def read_files(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """(the model without its appended ZIP, the files in the ZIP by name). Raises DataError if the ZIP is damaged."""
    buffer = io.BytesIO(data)
    if not zipfile.is_zipfile(buffer):
        return data, {}
    try:
        with zipfile.ZipFile(buffer) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > _MAX_FILE:
                raise DataError("the files inside the model are too large")
            start = min((info.header_offset for info in infos), default=len(data))
            return data[:start], {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, struct.error) as error:
        raise DataError(f"the files inside the model are damaged ({error})") from None
