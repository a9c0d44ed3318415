"""What the documents promise is there."""

import re
import shlex
from pathlib import Path

import click
import pytest

import edgeretrain
from edgeretrain.cli import COMMANDS, cli
from edgeretrain.spec import TrainSpec

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

OLD_OPTIONS = {
    *("image_dir", "tfhub_module", "how_many_training_steps", "learning_rate", "testing_percentage"),
    *("validation_percentage", "eval_step_interval", "train_batch_size", "test_batch_size", "validation_batch_size"),
    *("print_misclassified_test_images", "output_graph", "final_tensor_name", "output_labels", "saved_model_dir"),
    *("intermediate_output_graphs_dir", "intermediate_store_frequency", "summaries_dir", "bottleneck_dir"),
    *("flip_left_right", "random_crop", "random_scale", "random_brightness", "logging_verbosity", "checkpoint_path"),
}
"""Those of the ancestor, its last version."""
FOREIGN = {"--input-layer", "--output-layer", "--model-base-path"}
"""Options of other programs that docs/from-retrain-py.md names."""


def all_commands():
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        yield [name], command
        for child in getattr(command, "commands", {}):
            yield [name, child], command.commands[child]


def parses(line):
    """Whether a command line is accepted as far as parsing goes."""
    words = shlex.split(line.partition("#")[0])[1:]
    command, context = cli, click.Context(cli, info_name="edgeretrain")
    context.token_normalize_func = lambda token: token.replace("_", "-")
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
    command.make_context("x", words, parent=context, resilient_parsing=False)


@pytest.mark.parametrize(("path", "command"), list(all_commands()), ids=lambda value: str(value))
def test_examples_in_help_parse(path, command):
    lines = [line.strip() for line in command.epilog.splitlines() if line.strip().startswith("edgeretrain ")]
    assert lines
    for line in lines:
        parses(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_pages_parse(page):
    for line in re.findall(r"^    (edgeretrain .*)$", page.read_text(), re.M):
        parses(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_in_the_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_readme_names_the_two_commands_and_ci_calls_the_second():
    readme = (ROOT / "README.md").read_text()
    assert "    make demo" in readme
    assert "    make test" in readme
    assert "\nmake test\n" in (ROOT / ".ci/run").read_text()


def test_contract_page_lists_every_key(trained):
    from edgeretrain.artifact import load_model

    page = (ROOT / "docs/contract.md").read_text()
    contract = load_model(trained / "mobilenet_v1_025_128.tflite").contract
    assert [key for key in contract if f"| `{key}` |" not in page] == []


def test_every_train_option_has_help_and_old_names_are_accepted():
    train = {tuple(path): command for path, command in all_commands()}[("train",)]
    helps = {param.name: param.help for param in train.params if isinstance(param, click.Option)}
    assert all(helps.values())
    assert set(TrainSpec.__dataclass_fields__) <= set(helps)


def test_every_option_of_retrain_py_is_on_its_page_and_in_the_command_line():
    page = (ROOT / "docs/from-retrain-py.md").read_text()
    train = {tuple(path): command for path, command in all_commands()}[("train",)]
    offered = {name for param in train.params for name in (*param.opts, *param.secondary_opts)}
    rows = set(re.findall(r"^\| `--([a-z_]+)` \|", page, re.M))
    assert rows == OLD_OPTIONS
    named = {f"--{name.replace('_', '-')}" for name in re.findall(r"(?<![\w-])--([a-z][a-z_-]*)", page)}
    assert {f"--{name.replace('_', '-')}" for name in OLD_OPTIONS} <= named
    assert named - offered == FOREIGN


def test_public_names_are_real():
    assert edgeretrain.__all__
    for name in edgeretrain.__all__:
        assert getattr(edgeretrain, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        edgeretrain.nonsense  # noqa: B018


def test_nothing_names_a_registry_or_a_path_of_a_machine():
    """Names of machines and hosts do not belong into the project."""
    pattern = re.compile(r"(/home/\w+/|/root/|pypi\.org|registry\.npmjs|repo1\.maven|deb\.debian)")
    skipped = {".git", ".venv", "build", "target"}
    for path in ROOT.rglob("*"):
        if path.suffix in (".py", ".md", ".toml", ".txt", ".kt", ".xml", ".kts", "") and path.is_file():
            if skipped & set(path.relative_to(ROOT).parts) or path == Path(__file__):
                continue
            assert not pattern.search(path.read_text(errors="ignore")), path
