import re
import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path

from edgeretrain.benchmark.result import SCHEMA, Benchmark


def names_of(kind):
    """Yield the name of every field of a dataclass and of those inside it."""
    for name, hint in typing.get_type_hints(kind).items():
        if name in {field.name for field in fields(kind)}:
            yield name
        arguments = [hint, *typing.get_args(hint)]
        for argument in arguments:
            if is_dataclass(argument):
                yield from names_of(argument)
            if isinstance(argument, types.UnionType):
                yield from (n for a in typing.get_args(argument) if is_dataclass(a) for n in names_of(a))


def test_every_field_of_the_document_is_described():
    text = (Path(__file__).parents[1] / "docs" / "benchmark-json.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`([\w.]+)`", text))
    missing = set(names_of(Benchmark)) - described
    assert missing == set()
    assert SCHEMA in text
