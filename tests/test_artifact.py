import json
import os
import zipfile

import numpy as np
import pytest

from edgeretrain.artifact import CONTRACT_FILE, codes_apart, load_model, model_from_bytes, verify
from edgeretrain.errors import DataError
from edgeretrain.golden import golden_picture, make_vectors, replay
from edgeretrain.metadata import append_files, classifier_metadata, read_files, read_normalization
from edgeretrain.modules.hosted import read_hosted
from edgeretrain.runtime import KERNELS, load_interpreter
from edgeretrain.spec import WIDTHS
from edgeretrain.write import write_model
from tests.conftest import hosted_file
from tests.test_write import random_head

NAME = "mobilenet_v1_025_128.tflite"


@pytest.fixture
def model(trained):
    return load_model(trained / NAME)


def resealed(model, contract=None, labels=None, flatbuffer=None):
    """The model with another contract, labels or network."""
    flat, files = read_files(model.data)
    if contract is not None:
        files[CONTRACT_FILE] = json.dumps(contract).encode()
    if labels is not None:
        files["labels.txt"] = labels
    return model_from_bytes(append_files(flatbuffer or flat, files), "changed")


def test_golden_picture_is_the_documented_one():
    """The formula of docs/contract.md in plain Python, pixel by pixel."""

    def mix(x):
        x ^= x >> 16
        x = x * 0x85EBCA6B & 0xFFFFFFFF
        x ^= x >> 13
        x = x * 0xC2B2AE35 & 0xFFFFFFFF
        return x ^ (x >> 16)

    seed, res = 7, 128
    found = golden_picture(seed, res)

    def h(n):
        return mix((seed * 0x9E3779B9 + n) & 0xFFFFFFFF)

    def corner(row, column, channel):
        return h((row * 6 + column) * 3 + channel) >> 24

    for y, x, channel in [(0, 0, 0), (127, 127, 2), (64, 3, 1), (26, 100, 0), (99, 51, 2)]:
        places = [i * 5 * 256 // (res - 1) for i in (y, x)]
        (row, column), (down, right) = [min(p >> 8, 4) for p in places], [p - 256 * min(p >> 8, 4) for p in places]
        top = corner(row, column, channel) * (256 - right) + corner(row, column + 1, channel) * right
        bottom = corner(row + 1, column, channel) * (256 - right) + corner(row + 1, column + 1, channel) * right
        smooth = (top * (256 - down) + bottom * down) >> 16
        noise = (h(0x10000 + (y * res + x) * 3 + channel) >> 26) - 32
        assert found[y, x, channel] == min(max(smooth + noise, 0), 255)
    assert found.std() > 30


def test_golden_vectors_differ_and_repeat(backbone):
    model = write_model(backbone, random_head(256))
    vectors = make_vectors(model, 128)
    assert len({vector.seed for vector in vectors}) == 3
    assert len({vector.outputs["xnnpack"] for vector in vectors}) > 1
    for kernels in ("xnnpack", "reference"):
        again = replay(model, 128, [vector.seed for vector in vectors], kernels)
        assert again == [vector.outputs[kernels] for vector in vectors]


def test_metadata_is_read_back_by_the_schema_and_by_us(backbone):
    metadata = classifier_metadata("name", "text", 128.0, 64.0, (0.0, 255.0))
    assert metadata[4:8] == b"M001"
    model = write_model(backbone, random_head(256), metadata={"TFLITE_METADATA": metadata})
    assert read_normalization(model) == (128.0, 64.0)
    assert read_normalization(write_model(backbone, random_head(256))) is None
    damaged = model.replace(metadata[:40], os.urandom(40))
    assert damaged != model
    assert read_normalization(damaged) in (None, (128.0, 64.0))


def test_artifact_carries_labels_contract_and_accuracy(model, trained):
    assert model.labels == ("blue", "green things", "red")
    assert (trained / "labels.txt").read_text().split("\n") == ["blue", "green things", "red", ""]
    contract, report = model.contract, json.loads((trained / "report.json").read_text())
    assert contract["accuracy"] == report["accuracy"]["tflite"]
    assert contract["module"]["kind"] == "starter"
    assert contract["data"]["train"] + contract["data"]["validation"] + contract["data"]["test"] == 72
    assert contract["input"]["shape"] == [1, 128, 128, 3]
    assert contract["classes"] == list(model.labels)
    with zipfile.ZipFile(trained / NAME) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_verify_passes_and_names_the_kernels(model):
    checks = verify(model)
    assert all(check.ok for check in checks)
    assert "xnnpack kernels" in checks[-1].seen


def test_verify_notices_every_change(model):
    def failed(changed):
        return {check.subject for check in verify(changed) if not check.ok}

    contract = model.contract
    assert failed(resealed(model, labels=b"green things\nblue\nred\n")) == {"labels"}
    assert failed(resealed(model, contract | {"flatbuffer_sha256": "0" * 64})) == {"network"}
    assert failed(resealed(model, contract | {"input": contract["input"] | {"scale": 0.5}})) == {"input"}
    assert failed(resealed(model, contract | {"output": contract["output"] | {"zero_point": 3}})) == {"output"}
    vectors = [{**vector, "seed": vector["seed"] + 100} for vector in contract["golden"]["vectors"]]
    assert failed(resealed(model, contract | {"golden": contract["golden"] | {"vectors": vectors}})) == {
        "golden vectors"
    }
    flat = bytearray(model.flatbuffer)
    middle = len(flat) // 2
    flat[middle : middle + 2000] = bytes(2000)
    assert "network" in failed(resealed(model, flatbuffer=bytes(flat)))


@pytest.mark.parametrize(
    ("codes", "ok", "seen"),
    [
        (0, True, "3 of 3 equal (xnnpack kernels)"),
        (1, True, "3 of 3 within 1 code (xnnpack kernels)"),
        (2, False, "seed "),
    ],
)
def test_golden_vectors_may_be_one_code_off(model, codes, ok, seen):
    def off(raw):
        first = int(raw[:2], 16)
        return f"{first + codes if first < 128 else first - codes:02x}{raw[2:]}"

    golden = model.contract["golden"]
    vectors = [vector | {kernels: off(vector[kernels]) for kernels in KERNELS} for vector in golden["vectors"]]
    changed = resealed(model, model.contract | {"golden": golden | {"vectors": vectors}})
    (check,) = [check for check in verify(changed) if check.subject == "golden vectors"]
    assert check.ok == ok
    assert check.seen.startswith(seen)


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ({"contract": 99}, "written by a newer edgeretrain: update this one"),
        ({"contract": "x"}, "its contract is damaged"),
        ({}, "its contract is damaged"),
    ],
)
def test_contracts_of_another_world_are_refused(model, contract, message):
    with pytest.raises(DataError, match=message):
        resealed(model, contract)


def test_contracts_without_what_verify_needs_are_refused(model):
    with pytest.raises(DataError, match="its contract is damaged"):
        verify(resealed(model, {"contract": 1}))
    golden = {"generator": "other-9", "vectors": []}
    with pytest.raises(DataError, match="golden vectors of kind 'other-9': update edgeretrain"):
        verify(resealed(model, model.contract | {"golden": golden}))


def test_foreign_model_works_with_its_own_or_generic_labels_but_cannot_be_verified(shared, backbone):
    model = load_model(hosted_file(shared, "025"))
    assert len(model.labels) == 1001
    assert model.labels[5] == "hammerhead, hammerhead shark"
    assert model_from_bytes(write_model(backbone, random_head(256)), "bare").labels[4] == "class 4"
    probabilities = model.predict(golden_picture(0, 128))
    assert probabilities.shape == (1001,)
    assert 0.3 < probabilities.sum() < 1.2
    with pytest.raises(DataError, match="has no contract: only models written by edgeretrain"):
        verify(model)


def test_float32_model_predicts_what_its_integer_twin_does(backbone):
    head = random_head(256)
    metadata = classifier_metadata("x", "y", 128.0, 128.0, (-1.0, 1.0))
    both = [
        model_from_bytes(write_model(backbone, head, io_type=t, metadata={"TFLITE_METADATA": metadata}), t)
        for t in ("uint8", "float32")
    ]
    a, b = (model.predict(golden_picture(3, 128)) for model in both)
    assert np.allclose(a, b)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: b"", "not a TFLite file"),
        (lambda data: b"not a model at all, but long enough to look", "not a TFLite file"),
        (lambda data: data[:100], "damaged or truncated|LiteRT refuses"),
        (lambda data: data[: len(data) // 2], "damaged or truncated|LiteRT refuses"),
        (
            lambda data: data[:8] + os.urandom(5000) + data[5008:],
            "damaged or truncated|LiteRT refuses|takes an input|has ",
        ),
    ],
)
def test_broken_files_are_refused(model, make, message):
    with pytest.raises(DataError, match=message):
        model_from_bytes(make(model.flatbuffer), "broken")


def test_models_that_are_no_classifiers_are_refused(backbone, shared, tmp_path):
    with pytest.raises(DataError, match="has 3 labels for 5 outputs"):
        model_from_bytes(append_files(write_model(backbone, random_head(256)), {"labels.txt": b"a\nb\nc\n"}), "x")
    head_only = shared / "hosted" / "mobilenet_v1_1.0_224_quant_head_layers.tflite"
    with pytest.raises(DataError, match="expected one square RGB picture"):
        load_model(head_only)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_model(tmp_path / "missing.tflite")


def test_damaged_zip_is_refused(model):
    data = bytearray(model.data)
    place = data.rfind(b"labels.txt")
    data[place - 30 : place] = bytes(30)
    with pytest.raises(DataError, match="the files inside the model are damaged"):
        model_from_bytes(bytes(data), "x")


@pytest.mark.parametrize("width", WIDTHS)
def test_written_files_load_with_all_kernels(shared, width):
    backbone = read_hosted(hosted_file(shared, width).read_bytes(), "hosted")
    for scheme in ("int8", "uint8"):
        model = write_model(backbone, random_head(backbone.spec.features), scheme=scheme)
        for kernels in ("xnnpack", "builtin"):
            load_interpreter(model, kernels=kernels)


def test_codes_apart_are_counted_in_the_type_of_the_output():
    assert codes_apart(b"\x00\x05", b"\x01\x02", "uint8") == 3
    assert codes_apart(b"\x00", b"\x00\x00", "uint8") == 256
    assert codes_apart(b"\x7f", b"\x80", "int8") == 255
    assert codes_apart(b"\x00", b"\xff", "int8") == 1
    one, half, nan = (np.float32(value).tobytes() for value in (1 / 256, 0.5, np.nan))
    assert codes_apart(one, np.float32(0).tobytes(), "float32") == 1
    assert codes_apart(one, half, "float32") == 127
    assert codes_apart(one, nan, "float32") == 256
