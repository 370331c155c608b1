"""PURE. An agent as its owner writes it: the fields of `deploy/agents/*.yaml`.

Every field has a default that suits a phone call, so that a file need hold little more than a
greeting and a prompt. Unknown fields are refused: a misspelt one would be passed over in silence.
What a provider's options may be is checked against the provider's own model, see
`services/agent/providers/registry.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)


def _one_or_many(value: Any) -> Any:
    """Take a single entry for a list of one."""
    return (value,) if isinstance(value, str | dict) else value


def _no_claim(value: Any) -> Any:
    """Refuse true and false for a number, which they would pass for."""
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    return value


Seconds = Annotated[float, BeforeValidator(_no_claim), Field(ge=0, le=86_400, allow_inf_nan=False)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Number = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Text = Annotated[str, Field(max_length=20_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
ToolName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_one_or_many), Field(max_length=200)]
_PROVIDER = re.compile(r"[a-z0-9_]+(:[a-z][a-z0-9_]*)?")


class Part(BaseModel):
    """A part of an agent's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderChoice(Part):
    """One provider of a chain: `offline`, or `openai: {model: ...}`, or `livekit:cartesia`."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and len(value) == 1 and "name" not in value:
            name, options = next(iter(value.items()))
            return {"name": name, "options": {} if options is None else options}
        if isinstance(value, dict) and "name" not in value:
            raise ValueError("one provider an entry: a name, or a name with its options below it")
        return value

    @field_validator("name")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if not _PROVIDER.fullmatch(value):
            raise ValueError("no name of a provider, such as offline, openai or livekit:cartesia")
        return value


Chain = Annotated[
    tuple[ProviderChoice, ...],
    BeforeValidator(_one_or_many),
    Field(min_length=1, max_length=8),
]


class Providers(Part):
    """Who hears, thinks and speaks: chains, the first that works is used.

    A provider whose key is not set is left out, so that one file serves with and without keys.
    `realtime` (speech to speech) takes the place of all three when its key is there.
    """

    stt: Chain = (ProviderChoice(name="offline"),)
    llm: Chain = (ProviderChoice(name="offline"),)
    tts: Chain = (ProviderChoice(name="offline"),)
    realtime: ProviderChoice | None = None
    end_of_turn: ProviderChoice | None = None


class Limits(Part):
    """How long a provider may take, how often it is tried, when it is left alone for a while."""

    first_s: Seconds = 3.0
    next_s: Seconds = 2.0
    tts_first_s: Seconds = 1.2
    tts_next_s: Seconds = 1.2
    stt_final_s: Seconds = 2.0
    retries: int = Field(1, ge=0, le=5)
    breaker_failures: int = Field(5, ge=1, le=100)
    breaker_open_s: Seconds = 15.0


class BargeIn(Part):
    """See BargeInRules."""

    enabled: bool = True
    min_words: int = Field(1, ge=1, le=20)
    min_speech_s: Seconds = 0.9
    backchannels: Texts | None = None


class Endpointing(Part):
    """See EndpointingRules."""

    wait_s: Seconds | None = None
    least_wait_s: Seconds = 0.3
    most_wait_s: Seconds = 1.4
    adaptive: bool = True
    speculative: bool = True


class Silence(Part):
    """A caller who says nothing: asked again by each prompt in turn, then the goodbye."""

    after_s: Seconds | None = None
    prompts: Texts = ("Are you still there?", "Hello? Can you hear me?")
    goodbye: Text = "I can't hear you, so I will hang up now. Goodbye."


class Filler(Part):
    """What is said while an answer is slow or a tool is at work."""

    texts: Texts = ("One moment, please.", "Just a second.")
    after_s: Seconds = 1.0


class Failure(Part):
    """When every provider of a chain has failed.

    `transfer_to` is a name of `transfer`; unset: `operator`, or the first there. `transfer_failed`
    is said to callers of the file's own language who could not be handed over; the talk goes on.
    """

    apology: Text = "I am sorry, something has gone wrong on our side. Please call again later."
    then: Literal["end", "transfer"] = "end"
    transfer_to: Name | None = None
    transfer_failed: Text | None = None


class Machine(Part):
    """A machine answers an outbound call. See MachineRules."""

    then: Literal["ignore", "hang_up", "leave_message"] = "hang_up"
    message: Text = ""
    quiet_s: Seconds = 1.2
    most_wait_s: Seconds = 30.0


class TurnTakingPart(Part):
    """Whose turn it is."""

    barge_in: BargeIn = BargeIn()
    endpointing: Endpointing = Endpointing()
    silence: Silence = Silence()
    filler: Filler = Filler()
    uninterruptible: Texts = ()
    max_call_s: Seconds | None = None
    time_limit: Text = "I am sorry, we have reached the time limit of this call. Goodbye."


class HttpTool(Part):
    """A tool that is an HTTP request.

    `url` and the values of `headers`, `query` and `body` are templates: `{name}` is an argument of
    the model's, `{call.from}`, `{call.to}`, `{call.id}`, `{metadata.x}` and `{variables.x}` are
    facts of the call, and `{secret.NAME}` is a secret of `secrets`, by the name of its environment
    variable.
    """

    name: ToolName
    description: Text
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: str = Field(pattern=r"^https?://", max_length=2000)
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    body: Any = None
    secrets: Annotated[tuple[EnvName, ...], BeforeValidator(_one_or_many)] = ()
    timeout_s: float = Field(5.0, gt=0, le=60)
    acts: bool | None = None
    allow_private: bool = False
    filler: Text | None = None


class PythonTool(Part):
    """A tool that is a function of a mounted module: `module:function`.

    Its type hints are the schema, its docstring the description.
    """

    python: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    name: ToolName | None = None
    timeout_s: float = Field(5.0, gt=0, le=60)
    acts: bool = True
    filler: Text | None = None


BuiltinTool = Literal["hang_up", "transfer", "send_dtmf", "switch_language", "gather_digits"]


def kind_of_tool(value: Any) -> str:
    """Return which of the three an entry of `tools` is: builtin, python or http."""
    if isinstance(value, dict):
        return "python" if "python" in value else "http"
    if isinstance(value, PythonTool):
        return "python"
    return "http" if isinstance(value, HttpTool) else "builtin"


Tool = Annotated[
    Annotated[BuiltinTool, Tag("builtin")]
    | Annotated[HttpTool, Tag("http")]
    | Annotated[PythonTool, Tag("python")],
    Discriminator(kind_of_tool),
]


class AfterCall(Part):
    """Where the transcript goes when a call has ended; `secret` names an environment variable."""

    url: str = Field(pattern=r"^https?://", max_length=2000)
    secret: EnvName | None = None
    allow_private: bool = False


class Data(Part):
    """What is kept of a call. `redact` leaves out digits of numbers said or keyed."""

    keep_text: bool = True
    redact: tuple[Literal["numbers", "emails"], ...] = ()
    keep_s: Seconds | None = None


class RecordingPart(Part):
    """Whether calls are recorded, where the worker has somewhere to keep recordings.

    `announcement` is said before the greeting, to its end, and only where recordings are made.
    """

    enabled: bool = False
    announcement: Text = ""
    keep_days: Annotated[float, BeforeValidator(_no_claim), Field(gt=0, le=3650)] | None = 30.0


class Localised(Part):
    """What is different in another language."""

    greeting: Text | None = None
    prompt: Text | None = None
    providers: Providers | None = None
    filler: Texts | None = None
    silence: Silence | None = None
    apology: Text | None = None
    goodbye: Text | None = None


class AgentFile(Part):
    """A whole file. `name` is the file's own unless it says otherwise.

    Attributes:
        numbers: called numbers that this agent answers.
        greeting: said first; empty: that of the flow, and without one the caller speaks first.
        prompt: the system prompt of a language model; `{variables.x}`, `{metadata.x}`,
            `{call.from}`, `{call.to}` and `{call.id}` are filled in, in the greeting and the
            machine's message too.
        flow: what the offline dialogue does: a name of the folder `flows/` beside the file, or the
            flow itself, see flow_file.py.
        transfer: names people may be transferred to, with their numbers.
    """

    name: Name = "default"
    description: Text = ""
    language: Language = "en"
    languages: dict[Language, Localised] = Field(default_factory=dict)
    numbers: Annotated[tuple[Number, ...], BeforeValidator(_one_or_many)] = ()
    greeting: Text = ""
    greeting_interruptible: bool = True
    prompt: Text = ""
    phone_style: bool = True
    goodbye: Text = "Goodbye!"
    providers: Providers = Providers()
    limits: Limits = Limits()
    turn_taking: TurnTakingPart = TurnTakingPart()
    failure: Failure = Failure()
    machine: Machine = Machine()
    flow: str | dict[str, Any] | None = None
    tools: tuple[Tool, ...] = ("hang_up",)
    transfer: dict[Name, Number] = Field(default_factory=dict)
    transfer_caller_id: Number | None = None
    after_call: AfterCall | None = None
    data: Data = Data()
    recording: RecordingPart = RecordingPart()

    @field_validator("flow", mode="before")
    @classmethod
    def _name_or_flow(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str | dict):
            raise ValueError("should be the name of a flow, or the flow itself")
        return value
