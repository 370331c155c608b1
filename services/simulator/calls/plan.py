"""PURE. What is known of a call before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.simulator.calls.endings import FetchStep
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.knobs import Knobs
from services.simulator.line.line import LineQuality
from services.simulator.person.caller import CallerScript


@dataclass(frozen=True, slots=True)
class Target:
    """A URL of the application and how it is called."""

    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the dialled telephone does, for outbound calls.

    Args:
        after_s: how long it rings before that.
        code: the hang-up cause code of an unanswered end; 0 when somebody answers, 6010 when
            nobody does (then it rings until the ring timeout).
        is_machine: what answering-machine detection says of who answers.
    """

    after_s: float = 1.0
    code: int = 0
    is_machine: bool = False


@dataclass(frozen=True, slots=True)
class MachineDetection:
    """Answering-machine detection; with a callback the call goes on meanwhile."""

    time_s: float = 5.0
    hangs_up: bool = False
    callback: Target | None = None


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call: who, which URLs, what the person does, how the cloud behaves."""

    facts: CallFacts
    answer: Target
    hangup: Target | None = None  # None: Hangup goes to the answer URL
    ring: Target | None = None
    fallback: Target | None = None
    token: str = ""
    script: CallerScript = field(default_factory=CallerScript)
    quality: LineQuality = field(default_factory=LineQuality)
    knobs: Knobs = field(default_factory=Knobs)
    outcome: Outcome = field(default_factory=Outcome)
    machine_detection: MachineDetection | None = None
    time_limit_s: float = 14400.0
    ring_timeout_s: float = 120.0
    dial_delay_s: float = 0.2  # from Make Call to ringing; 0.1 to 1 s
    labels: Mapping[str, str] = field(default_factory=dict)
    media_base: str = ""  # where files of recordings are served; empty: nowhere


@dataclass(frozen=True, slots=True)
class XmlRequest:
    """A webhook whose answer is to be executed."""

    target: Target
    event: str = "StartApp"
    step: int = FetchStep.ANSWER
    fallback: Target | None = None
    more: Mapping[str, str] = field(default_factory=dict)
