"""Results as XCom keeps them: plain JSON, and back to the dataclass that it was."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter

_Result = TypeVar("_Result")


def to_xcom(result: object) -> dict[str, Any]:
    """A dataclass as JSON values."""
    plain: dict[str, Any] = TypeAdapter(type(result)).dump_python(result, mode="json")
    return plain


def from_xcom(kind: type[_Result], value: Any) -> _Result:
    """The dataclass of a value that to_xcom made."""
    result: _Result = TypeAdapter(kind).validate_python(value)
    return result
