"""What pydantic says of models that are not the agent's file: the options of providers to come."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from services.agent.agents.faults import Problem
from services.agent.agents.plain_words import problems_of


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Vendor(BaseModel):
    model: str = Field("m", min_length=1)
    code: str = Field("x", pattern="^x+$")
    size: Size = Size.SMALL
    count: int = 1
    when: Any = None
    weights: dict[str, float] = Field(default_factory=dict)
    ratio: float = Field(1.0, gt=0, lt=10)
    raw: bytes = b""


@pytest.mark.parametrize(
    ("given", "path", "reason"),
    [
        ({"model": ""}, ("model",), "is empty"),
        ({"code": "y"}, ("code",), "has a form that is not allowed"),
        ({"size": "smal"}, ("size",), "'smal' is not known here; did you mean small?"),
        ({"size": None}, ("size",), "should be one of small, large, not nothing"),
        ({"count": []}, ("count",), "should be a number, not a list"),
        ({"weights": {"a": "much"}}, ("weights", "a"), "should be a number, not text"),
        ({"weights": 1}, ("weights",), "should have fields below it"),
        ({"ratio": 0}, ("ratio",), "should be more than 0"),
        ({"ratio": 10}, ("ratio",), "should be less than 10"),
        ({"raw": 3}, ("raw",), "should be a valid bytes"),
    ],
)
def test_a_fault_of_any_model_has_plain_words(
    given: dict[str, Any], path: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        Vendor.model_validate(given)
    assert problems_of(raised.value, Vendor) == [Problem(path, reason)]
