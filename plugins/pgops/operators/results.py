"""Results as XCom keeps them: plain JSON, and back to the dataclass that it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter

_Result = TypeVar("_Result")


def to_xcom(result: object) -> dict[str, Any]:
    """A dataclass as JSON values."""
    plain: dict[str, Any] = TypeAdapter(type(result)).dump_python(result, mode="json")
    return plain


def pulled(context: Any, task_id: str, key: str = "return_value") -> list[Mapping[str, Any]]:
    """What the instances of a mapped task left; a failed one leaves no result, so each carries what it is about."""
    found = context["ti"].xcom_pull(task_ids=[task_id], key=key)
    flat: list[Any] = []
    for value in found if found is not None else []:
        flat += list(value) if not isinstance(value, Mapping) and value is not None else [value]
    return [value for value in flat if isinstance(value, Mapping)]


def from_xcom(kind: type[_Result], value: Any) -> _Result:
    """The dataclass of a value that to_xcom made."""
    result: _Result = TypeAdapter(kind).validate_python(value)
    return result
