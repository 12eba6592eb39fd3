"""What the policies of the fleet file are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

# Names become parts of object keys and of Airflow task labels.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
ConnectionId = Annotated[str, StringConstraints(min_length=1, max_length=200)]

# What is asked of the way to a server: nothing; a word when something is missing; encryption; also that it is this one.
Tls = Literal["off", "warn", "required", "verified"]


class Policy(BaseModel):
    """A part of the fleet file: it knows its keys, and nobody changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Canary(Policy):
    """A question whose answer is known: one row, one column, compared as text."""

    name: str
    sql: str
    expect: str | int | float | bool
