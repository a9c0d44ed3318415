"""`edgeretrain benchmark`: latency, size and accuracy, and how sure they are."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeretrain.benchmark.timing import Plan
from edgeretrain.console import Console, print_table
from edgeretrain.errors import DataError, EnvironmentFailure, QualityError, UsageError

if TYPE_CHECKING:
    from edgeretrain.benchmark.compare import Comparison
    from edgeretrain.benchmark.result import Benchmark, Phone, Preprocessing
    from edgeretrain.spec import ModelSpec

MOST_PHOTOS = 20
"""Photos whose decoding is timed."""


def parse_share(text: str) -> float:
    """Return a share as a fraction: `5%`, `5 %` and `0.05` mean 0.05. Raises click.BadParameter."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    if not found:
        raise click.BadParameter(f"{text!r} is no share: write 5% or 0.05")
    share = float(found[1]) / (100 if found[2] else 1)
    if share > 1:
        raise click.BadParameter(f"{text!r} is more than 100%: did you mean {found[1]}%?")
    return share


def parse_numbers(text: str) -> tuple[int, ...]:
    """Return the whole numbers of a list with commas, each once. Raises click.BadParameter."""
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers: write 1 or 1,2,4") from None


@click.command(
    context_settings={"show_default": True, "max_content_width": 120},
    epilog="\b\nExamples:\n"
    "  edgeretrain benchmark\n"
    "  edgeretrain benchmark --image-dir photos --widths 025,050 --max-ms 2\n"
    "  edgeretrain benchmark old.tflite new.tflite --threads 1,2 --out results\n"
    "  edgeretrain benchmark model.tflite --compare results/benchmark.json --fail-if-slower 5%\n",
)
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option("--widths", help="Of the grid: 025,050,075,100 or some of them.", show_default="all")
@click.option("--resolutions", help="Of the grid: 128,160,192,224 or some of them.", show_default="all")
@click.option(
    "--image-dir",
    type=click.Path(path_type=Path),
    help="Photos: every cell is retrained on them and its accuracy measured; with MODELS, their decoding is timed.",
)
@click.option(
    "--module",
    "modules",
    multiple=True,
    default=("auto",),
    help="Backbones of the grid, as for train, or a folder of modules; may be given more than once.",
)
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--instrumented", is_flag=True, help="Evaluate each cell's fake-quant network (TensorFlow) too.")
@click.option("--float-baseline", is_flag=True, help="Measure each cell's float32 file too.")
@click.option("--scheme", type=click.Choice(["int8", "uint8"]), default="int8", help="How the cells compute.")
@click.option("--split-seed", type=click.IntRange(0), default=0, help="Another number draws another split.")
@click.option("--jobs", type=click.IntRange(1, 256), show_default="all cores", help="Processes that build cells.")
@click.option(
    "--threads", type=parse_numbers, metavar="N,N,...", default="1", help="Numbers of threads, 1,2,4 for example."
)
@click.option("--min-runs", type=click.IntRange(10), default=Plan.min_runs, help="Runs of each model at least.")
@click.option("--min-seconds", type=click.FloatRange(0.01), default=Plan.min_seconds, help="Seconds of runs at least.")
@click.option("--seed", type=int, default=Plan.seed, help="Of the random input and the order of blocks.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the results.", show_default="runs/benchmark-<n>"
)
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
@click.option("--png", is_flag=True, help="Write benchmark.png too (needs the extra edgeretrain[png]).")
@click.option("--json", "as_json", is_flag=True, help="Print benchmark.json instead of the tables.")
@click.option("--compare", "old", type=click.Path(path_type=Path), help="An earlier benchmark.json: exit 4 if worse.")
@click.option("--fail-if-slower", type=parse_share, metavar="SHARE", default="5%", help="How much slower is worse.")
@click.option("--fail-if-larger", type=parse_share, metavar="SHARE", default="5%", help="How much larger is worse.")
@click.option(
    "--fail-if-less-accurate", type=parse_share, metavar="SHARE", default="0%", help="How much top-1 may fall."
)
@click.option("--max-ms", type=click.FloatRange(0, min_open=True), help="Recommend a model: latency at most.")
@click.option(
    "--max-kb", type=click.FloatRange(0, min_open=True), help="Recommend a model: size at most, in 1,000 bytes."
)
@click.option("--min-top1", type=parse_share, metavar="SHARE", help="Recommend a model: accuracy at least.")
@click.option("--device", help="Also measure on a phone: adb, or adb:SERIAL.")
@click.option("--benchmark-binary", help="TensorFlow's benchmark_model for that phone: a file here, or a path on it.")
@click.option("--app", is_flag=True, help="On that phone, the demo app's benchmark screen instead of benchmark_model.")
def benchmark(
    models: tuple[Path, ...],
    widths: str | None,
    resolutions: str | None,
    image_dir: Path | None,
    modules: tuple[str, ...],
    offline: bool,
    instrumented: bool,
    float_baseline: bool,
    scheme: str,
    split_seed: int,
    jobs: int | None,
    threads: tuple[int, ...],
    min_runs: int,
    min_seconds: float,
    seed: int,
    out: Path | None,
    force: bool,
    png: bool,
    as_json: bool,
    old: Path | None,
    fail_if_slower: float,
    fail_if_larger: float,
    fail_if_less_accurate: float,
    max_ms: float | None,
    max_kb: float | None,
    min_top1: float | None,
    device: str | None,
    benchmark_binary: str | None,
    app: bool,
) -> None:
    """Time the grid, or MODELS (.tflite files of any origin), side by side and say how sure the figures are.

    Without MODELS every cell of the grid is written from its backbone, with --image-dir also retrained and evaluated.
    Prints a table; writes benchmark.json, .csv, .md and one offline .html file to --out. A file that cannot be measured
    is named, the others still are (exit 3). Exit 4: --compare found something worse, or no model meets the limits.
    """
    console = click.get_current_context().find_object(Console) or Console()
    serial = _serial(device)
    if (benchmark_binary or app) and device is None:
        raise UsageError("--benchmark-binary and --app are for a phone: add --device adb")
    if benchmark_binary and app:
        raise UsageError("--app measures without benchmark_model: leave out --benchmark-binary")
    if models and (widths or resolutions or instrumented or float_baseline):
        raise UsageError("--widths, --resolutions, --instrumented and --float-baseline are for the grid: give no files")
    specs = [] if models else _cells(widths, resolutions)

    from dataclasses import replace

    from edgeretrain.benchmark.compare import compare
    from edgeretrain.benchmark.decision import recommend
    from edgeretrain.benchmark.result import read
    from edgeretrain.benchmark.run import name_models, run_benchmark, steps
    from edgeretrain.grid import build_grid, find_backbones
    from edgeretrain.report.png import check_png, render_png
    from edgeretrain.spec import TrainSpec
    from edgeretrain.storage import output_folder, write_file

    if png:
        check_png()

    plan = Plan(threads=threads, seed=seed, min_runs=min_runs, min_seconds=min_seconds)
    subjects = name_models(models)
    earlier = read(old) if old else None
    photos = _photos(image_dir)
    backbones = find_backbones(specs, modules, offline=offline, console=console) if specs else []
    folder = output_folder(out, "benchmark", force=force)
    if specs:
        with console.progress("Building cells", len(specs)) as advance:
            subjects = build_grid(
                backbones,
                image_dir,
                TrainSpec(scheme=scheme, split_seed=split_seed),
                folder / "models",
                instrumented=instrumented,
                float_baseline=float_baseline,
                jobs=jobs,
                console=console,
                advance=advance,
            )

    def preprocess(sizes: list[int]) -> list[Preprocessing]:
        from edgeretrain.benchmark.preprocess import generated_photo, measure_preprocessing

        source = str(image_dir) if image_dir else "generated"
        return measure_preprocessing(photos or [generated_photo(seed)], sizes, source)

    with console.progress("Measuring", steps(len(subjects), plan)) as advance:
        document = run_benchmark(subjects, plan, command=_command(), preprocessing=preprocess, advance=advance)
    if device is not None and document.cells:
        ran = {cell.name for cell in document.cells}
        on_it = [(subject.name, subject.path) for subject in subjects if subject.name in ran]
        phone = (
            _with_app(on_it, plan, serial, console)
            if app
            else _on_phone(on_it, plan, serial, benchmark_binary, console)
        )
        document = replace(document, phones=(phone,))
    if (max_ms, max_kb, min_top1) != (None, None, None):
        choice = recommend(document.cells, max_ms=max_ms, max_kb=max_kb, min_top1=min_top1)
        document = replace(document, choice=choice)
    limits = {"fail_if_slower": fail_if_slower, "fail_if_larger": fail_if_larger}
    comparison = compare(earlier, document, **limits, fail_if_less_accurate=fail_if_less_accurate) if earlier else None
    _write(document, comparison, folder)
    if png:
        write_file(folder / "benchmark.png", render_png(document))
    _print(document, comparison, as_json, console)
    console.say(f"Results in {folder}")
    _end(document, comparison)


def _serial(device: str | None) -> str | None:
    if device is None or device == "adb":
        return None
    kind, colon, serial = device.partition(":")
    if kind != "adb" or not colon or not re.fullmatch(r"[\w.:-]+", serial):
        raise UsageError(f"--device must be adb or adb:SERIAL, not {device!r}")
    return serial


def _cells(widths: str | None, resolutions: str | None) -> list[ModelSpec]:
    """The cells of the grid that are asked for. Raises UsageError for a width or resolution that the grid does not have."""
    from edgeretrain.grid import parse_cells
    from edgeretrain.spec import parse_res, parse_width

    return parse_cells(
        [parse_width(text) for text in widths.split(",")] if widths else [],
        [parse_res(text) for text in resolutions.split(",")] if resolutions else [],
    )


def _photos(folder: Path | None) -> list[bytes]:
    """Return the bytes of the first photos in `folder` that decode. Raises DataError when there is none."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise DataError(f"--image-dir: expected a folder of photos, found no folder {folder}")
    from edgeretrain.images import decode, read_picture

    found: list[bytes] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            data = read_picture(path)
            decode(data)
        except DataError:
            continue
        found.append(data)
        if len(found) == MOST_PHOTOS:
            break
    if not found:
        raise DataError(f"--image-dir: expected photos in {folder}, found none that can be read")
    return found


def _command() -> str:
    import shlex

    return shlex.join(["edgeretrain", *sys.argv[1:]])


def _on_phone(
    models: list[tuple[str, Path]], plan: Plan, serial: str | None, binary: str | None, console: Console
) -> Phone:
    from edgeretrain.benchmark.phone import ROUNDS, measure_on_phone

    with console.progress("On the phone", ROUNDS * len(models) * len(plan.threads)) as advance:
        return measure_on_phone(
            models, serial=serial, binary=binary, threads=plan.threads, seed=plan.seed, progress=advance
        )


def _with_app(models: list[tuple[str, Path]], plan: Plan, serial: str | None, console: Console) -> Phone:
    from edgeretrain.benchmark.app import measure_with_app

    with console.progress("On the phone", len(models)) as advance:
        return measure_with_app(
            models, serial=serial, min_runs=plan.min_runs, min_seconds=plan.min_seconds, progress=advance
        )


def _write(document: Benchmark, comparison: Comparison | None, folder: Path) -> None:
    from edgeretrain.benchmark.result import to_json
    from edgeretrain.benchmark.tables import to_csv, to_markdown
    from edgeretrain.report.html import render_benchmark
    from edgeretrain.storage import write_file

    write_file(folder / "benchmark.json", to_json(document))
    write_file(folder / "benchmark.csv", to_csv(document))
    write_file(folder / "benchmark.md", to_markdown(document))
    write_file(folder / "benchmark.html", render_benchmark(document, comparison))


def _print(document: Benchmark, comparison: Comparison | None, as_json: bool, console: Console) -> None:
    """Print the result on stdout, what went wrong and how sure it is on stderr."""
    from edgeretrain.benchmark.result import to_json
    from edgeretrain.benchmark.tables import RIGHT, latency_rows, noise_lines, phone_rows, phone_title

    if as_json:
        click.echo(to_json(document), nl=False)
    else:
        if document.cells:
            headers, rows = latency_rows(document)
            print_table(headers, rows, right=RIGHT)
            for line in noise_lines(document):
                click.echo(line)
            click.echo(document.note)
        for phone in document.phones:
            click.echo(phone_title(phone))
            headers, rows = phone_rows(phone)
            print_table(headers, rows, right=(1, 2, 3, 4, 5, 6))
        if document.choice:
            click.echo(document.choice.reason)
        if comparison:
            for change in comparison.changes:
                click.echo(f"{'WORSE ' if change.worse else ''}{change.text}")
    for note in comparison.notes if comparison else ():
        console.warn(note)
    for failure in document.failures:
        console.warn(failure.reason)
    for phone in document.phones:
        for failure in phone.failures:
            console.warn(f"{failure.path}: {failure.reason}")


def _end(document: Benchmark, comparison: Comparison | None) -> None:
    """Raise what decides the exit code, if not all is well."""
    if not document.cells:
        raise DataError(f"none of {len(document.failures)} files could be measured; the reasons are above")
    if comparison and comparison.worse:
        worse = comparison.worse
        more = f" (and {len(worse) - 1} more)" if len(worse) > 1 else ""
        raise QualityError(f"worse than the earlier results: {worse[0].text}{more}")
    if document.choice and document.choice.cell is None:
        raise QualityError(document.choice.reason)
    if document.failures:
        total = len(document.cells) + len(document.failures)
        raise DataError(f"{len(document.failures)} of {total} files could not be measured; the reasons are above")
    for phone in document.phones:
        if phone.problem:
            raise EnvironmentFailure(phone.problem)
        if phone.failures:
            raise DataError(f"{len(phone.failures)} models could not be measured on the device; the reasons are above")
