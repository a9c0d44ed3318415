import io

import pytest
from PIL import Image

from edgeretrain.errors import EnvironmentFailure
from edgeretrain.report import png
from tests.benchmarks import answers, cell, document

pytest.importorskip("matplotlib", reason="the extra edgeretrain[png] is not installed")

WIDTHS = (("025", 0.5, 0), ("050", 1.0, 10), ("100", 3.0, 12))


def test_png_is_a_picture_with_something_on_it():
    cells = [cell(f"mobilenet_v1_{w}_128", p50, correct=answers(70 + w_, 20)) for w, p50, w_ in WIDTHS]
    picture = Image.open(io.BytesIO(png.render_png(document(*cells))))
    assert picture.format == "PNG"
    assert min(picture.size) > 500
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_missing_matplotlib_is_said_before_anything_is_measured(monkeypatch, command):
    monkeypatch.setattr(png.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFailure, match="--png needs matplotlib: pip install 'edgeretrain\\[png\\]'"):
        png.check_png()
    code, _, err = command("benchmark", "--png")
    assert code == 5
    assert "--png needs matplotlib" in err
