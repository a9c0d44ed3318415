"""LiteRT's ARM64 kernels under qemu give this machine's bytes. `make arm64-test` runs all of it.

Without EDGERETRAIN_ARM64 only what needs no emulation is run: making the root file system fetches packages.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgeretrain import arm64
from edgeretrain.arm64 import CORES, check_arm64, make_root
from edgeretrain.artifact import Model, load_model, model_from_bytes
from edgeretrain.cli import cli
from edgeretrain.errors import DataError, EnvironmentFailure
from edgeretrain.images import Pixels, load_pixels

SHARED = Path(__file__).resolve().parents[2] / "shared"
HOSTED = {
    "025": "mobilenet_v1_0.25_128_quant.tflite",
    "050": "mobilenet_v1_0.5_160_quant.tflite",
    "075": "mobilenet_v1_0.75_192_quant.tflite",
    "100": "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
}
PHOTOS = 20

emulated = pytest.mark.skipif(
    os.environ.get("EDGERETRAIN_ARM64") != "required", reason="emulation is run by `make arm64-test`"
)


def some_photos(folder: Path, res: int) -> list[Pixels]:
    every = sorted(folder.glob("*/*.jpg"))
    return [load_pixels(path, [res])[0] for path in every[:: len(every) // PHOTOS][:PHOTOS]]


@pytest.fixture(scope="session")
def trained() -> list[tuple[Model, list[Pixels]]]:
    """Models that `train` makes of real photos: four widths, int8 and uint8 scheme, each with 20 photos."""
    flowers = SHARED / "data" / "flowers_small"
    if not flowers.is_dir():
        pytest.skip("../shared/data/flowers_small is not here")
    from edgeretrain.modules import load_backbone
    from edgeretrain.pipeline import run
    from edgeretrain.spec import TrainSpec

    result = []
    for name in HOSTED.values():
        backbone = load_backbone(str(SHARED / "hosted" / name))
        photos = some_photos(flowers, backbone.spec.res)
        for scheme in ("int8", "uint8"):
            model = run(flowers, backbone, TrainSpec(steps=200, scheme=scheme)).model
            result.append((model, photos))
    return result


@emulated
def test_arm64_gives_the_hosts_bytes_on_golden_pictures_and_photos(trained: list[tuple[Model, list[Pixels]]]) -> None:
    checks = check_arm64([model for model, _ in trained], [photos for _, photos in trained])
    assert len(checks) == 8
    for (model, _), lines in zip(trained, checks, strict=True):
        assert [line.subject for line in lines] == ["ARM64 neoverse-n1", "ARM64 cortex-a72"]
        for line in lines:
            print(model.name, model.contract and model.contract["scheme"], line.subject, line.seen)
            assert line.ok, f"{model.name}: {line}"
            if model.contract and model.contract["scheme"] == "int8":
                assert line.seen == "23 of 23 pictures equal", f"{model.name}: {line}"


@emulated
def test_verify_arm64_checks_a_users_file(model_file: Path) -> None:
    result = CliRunner().invoke(cli, ["verify", str(model_file), "--arm64"])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("3 of 3 pictures equal") == 2


@emulated
def test_a_wrong_answer_is_noticed(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(model_file)
    picture = np.zeros((128, 128, 3), np.uint8)
    monkeypatch.setattr(arm64, "as_input", lambda pixels, *_: 255 - pixels)
    assert not any(line.ok for line in check_arm64([model], [[picture]])[0])


@emulated
def test_a_model_that_litert_refuses_is_explained() -> None:
    with pytest.raises(EnvironmentFailure, match=r"LiteRT on an emulated neoverse-n1 failed \(1\): ValueError"):
        arm64.answers([b"\0" * 64], [[]], CORES[0])


def test_missing_programs_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailure, match="install Debian's packages qemu-user-static, apt, dpkg"):
        make_root()


def test_a_model_without_contract_cannot_be_checked(model_file: Path) -> None:
    foreign = model_from_bytes(load_model(model_file).flatbuffer, "foreign.tflite")
    with pytest.raises(DataError, match=r"foreign\.tflite has no contract"):
        check_arm64([foreign], [[]])


def test_programs_that_fail_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    sh = shutil.which("sh")
    assert sh
    with pytest.raises(EnvironmentFailure, match=r"a step failed \(3\): first no"):
        arm64._call([sh, "-c", "echo first no >&2; exit 3"], "a step")
    with pytest.raises(EnvironmentFailure, match="a step cannot be run: No such file or directory"):
        arm64._call(["/nowhere/to/be/found"], "a step")
    monkeypatch.setattr(arm64, "_TIMEOUT_S", 0.1)
    with pytest.raises(EnvironmentFailure, match=r"a step took longer than 0\.1 s"):
        arm64._call([sh, "-c", "sleep 5"], "a step")


def test_an_apt_without_python_is_explained() -> None:
    with pytest.raises(EnvironmentFailure, match="apt knows no python3-minimal for arm64"):
        arm64._python_version("Package: python3-minimal")
    assert arm64._python_version("Depends: python3.11-minimal (>= 3.11.2-1~)") == "3.11"
