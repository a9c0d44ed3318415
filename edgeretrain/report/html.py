"""The two pages: `render_benchmark(document)` and `render_training(report)`."""

from edgeretrain.report.benchmark_page import render_benchmark
from edgeretrain.report.training_page import render_training

__all__ = ["render_benchmark", "render_training"]
