"""A check of data classes that dbt-bouncer does not bring along; it calls it."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from dbt_bouncer.check_framework.decorator import (  # type: ignore[import-untyped]
    check,
    fail,
)


class Column(Protocol):
    """A column of a model."""

    name: str
    config: Any


class Model(Protocol):
    """A model."""

    name: str
    config: Any
    columns: Mapping[str, Column]


@check  # type: ignore[untyped-decorator]
def check_columns_have_data_classes(
    model: Model, *, data_classes: dict[str, str]
) -> None:
    """Require the data class that the name of a column implies.

    It may be that of the whole model. Without it the column would be as general as the
    others of its schema.
    """
    for column in model.columns.values():
        held = _meta(column).get("data_class", _meta(model).get("data_class"))
        for data_class, pattern in data_classes.items():
            if re.search(pattern, column.name) and held != data_class:
                fail(
                    f"`{model.name}.{column.name}` is {held}; it needs "
                    f"`config: {{meta: {{data_class: {data_class}}}}}`"
                )


def _meta(node: Column | Model) -> dict[str, Any]:
    return getattr(node.config, "meta", None) or {}
