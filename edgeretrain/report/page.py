"""Fill a template: autoescaped, complete, without anything from outside."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from edgeretrain.report.axes import clean

if TYPE_CHECKING:
    from jinja2 import Environment


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("edgeretrain", "report/templates")
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,  # not Markup: that is ours
    )


def render(template: str, **values: Any) -> str:
    """Return `template` filled with `values`; every text is escaped, only charts come as markup."""
    return _environment().get_template(template).render(**values)
