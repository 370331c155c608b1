"""deploy/agents/README.md against the models of the file: every field, with its default."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from services.agent.agents import file as parts
from services.agent.agents import flow_file
from services.agent.agents.file import AgentFile, ProviderChoice
from tests.support.agents import FOLDER

README = (FOLDER / "README.md").read_text()
SECTIONS: Mapping[str, type[BaseModel]] = {
    "The file": AgentFile,
    "providers": parts.Providers,
    "limits": parts.Limits,
    "turn_taking": parts.TurnTakingPart,
    "turn_taking.barge_in": parts.BargeIn,
    "turn_taking.endpointing": parts.Endpointing,
    "turn_taking.silence": parts.Silence,
    "turn_taking.filler": parts.Filler,
    "failure": parts.Failure,
    "machine": parts.Machine,
    "languages": parts.Localised,
    "tools: an HTTP request": parts.HttpTool,
    "tools: a Python function": parts.PythonTool,
    "after_call": parts.AfterCall,
    "data": parts.Data,
    "recording": parts.RecordingPart,
    "flow": flow_file.FlowPart,
    "flow.steps": flow_file.StepPart,
    "flow.steps.intents": flow_file.IntentPart,
    "flow.steps.intents.then": flow_file.ThenPart,
    "flow.steps.digits": flow_file.DigitsPart,
}
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \|", re.MULTILINE)
# Defaults that words describe better than their value.
_IN_WORDS = {
    ("The file", "name"): "the file's own",
    ("tools: an HTTP request", "parameters"): "no arguments",
    ("flow", "name"): "the agent's, or the file's",
    ("flow.steps.intents", "then"): "`stay`",
}


def rows_of(section: str) -> dict[str, str]:
    _, _, rest = README.partition(f"\n### {section}\n")
    return dict(_ROW.findall(re.split(r"\n##+ ", rest)[0]))


def written(value: object) -> str:
    """A default as the page writes it."""
    match value:
        case None:
            return "unset"
        case "":
            return "empty"
        case () | {}:
            return "none"
        case ProviderChoice(name=name):
            return name
        case BaseModel():
            return "see below"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{value:g}`"
        case tuple():
            return f"`[{', '.join(written(item).strip('`') for item in value)}]`"
        case _:
            return f"`{value}`"


def default_of(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    return written(info.get_default(call_default_factory=True))


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_has_every_field_with_its_default(section: str) -> None:
    expected = {
        name: _IN_WORDS.get((section, name)) or default_of(info)
        for name, info in SECTIONS[section].model_fields.items()
    }
    assert rows_of(section) == expected


def test_the_page_has_every_model_of_the_file() -> None:
    """A part that is added to the file's module must be told of."""
    told = set(SECTIONS.values()) | {parts.Part, ProviderChoice}  # the latter in words
    for module in (parts, flow_file):
        found = {
            kind
            for kind in vars(module).values()
            if isinstance(kind, type) and issubclass(kind, parts.Part)
        }
        assert found - told == set()
