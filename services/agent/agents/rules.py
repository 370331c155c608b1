"""PURE. An agent's file as the rules of turn-taking, and as it is in another language."""

from __future__ import annotations

from typing import Protocol

from services.agent.agents.file import AgentFile, Localised, Providers
from services.agent.dialogue.texts import phrases_in
from services.agent.turn.rules import (
    BargeInRules,
    EndpointingRules,
    FailureRules,
    FillerRules,
    MachineRules,
    OnFailure,
    OnMachine,
    TurnTaking,
)

OPERATOR = "operator"
_SETTLING_S = 2.0  # the next transcriber of the chain hears it all again: it takes so long at most


class Defaults(Protocol):
    """What holds for files that do not say; see AgentSettings."""

    @property
    def agent_endpointing_s(self) -> float:
        """Silence that ends a turn."""
        ...

    @property
    def agent_silence_s(self) -> float:
        """Wait for a silent caller."""
        ...

    @property
    def agent_max_call_s(self) -> float:
        """Longest call."""
        ...


def localise(file: AgentFile, language: str) -> AgentFile:
    """Return the file as it is in another language; unchanged where it has none of that name.

    What the other language does not say stays, each kind of provider by itself.
    """
    found = file.languages.get(language)
    if found is None or language == file.language:
        return file
    taking = file.turn_taking
    changed = {
        name: value
        for name, value in (
            ("silence", found.silence),
            ("filler", _filler(file, found)),
            ("barge_in", taking.barge_in.model_copy(update={"backchannels": None})),
        )
        if value is not None
    }
    update = {
        "language": language,
        "turn_taking": taking.model_copy(update=changed),
        "providers": _providers(file.providers, found.providers),
    }
    for name in ("greeting", "prompt", "goodbye"):
        if getattr(found, name) is not None:
            update[name] = getattr(found, name)
    apology = file.failure.apology if found.apology is None else found.apology
    update["failure"] = file.failure.model_copy(
        update={"apology": apology, "transfer_failed": None}
    )
    return file.model_copy(update=update)


def _filler(file: AgentFile, found: Localised) -> object:
    if found.filler is None:
        return None
    return file.turn_taking.filler.model_copy(update={"texts": found.filler})


def _providers(own: Providers, other: Providers | None) -> Providers:
    if other is None:
        return own
    return own.model_copy(update={name: getattr(other, name) for name in other.model_fields_set})


def to_turn_taking(file: AgentFile, defaults: Defaults, language: str | None = None) -> TurnTaking:
    """Return the rules of a file, in its own language or another of its languages."""
    if language is not None:
        file = localise(file, language)
    part = file.turn_taking
    silence_s, most_s = part.silence.after_s, part.max_call_s
    return TurnTaking(
        language=file.language,
        barge_in=BargeInRules(
            is_enabled=part.barge_in.enabled,
            min_words=part.barge_in.min_words,
            min_speech_s=part.barge_in.min_speech_s,
            backchannels=_backchannels(file),
        ),
        endpointing=_endpointing(file, defaults),
        filler=FillerRules(part.filler.texts, part.filler.after_s),
        failure=_failure(file),
        machine=MachineRules(
            OnMachine(file.machine.then),
            file.machine.message,
            file.machine.quiet_s,
            file.machine.most_wait_s,
        ),
        silence_s=defaults.agent_silence_s if silence_s is None else silence_s,
        transcript_wait_s=max(
            TurnTaking().transcript_wait_s, file.limits.stt_final_s + _SETTLING_S
        ),
        max_call_s=defaults.agent_max_call_s if most_s is None else most_s,
        time_limit_text=part.time_limit,
        uninterruptible=part.uninterruptible,
    )


def _failure(file: AgentFile) -> FailureRules:
    transfer_failed = file.failure.transfer_failed
    if transfer_failed is None:
        transfer_failed = phrases_in(file.language).transfer_failed
    return FailureRules(
        file.failure.apology,
        OnFailure(file.failure.then),
        failure_number(file) or "",
        transfer_failed,
    )


def _backchannels(file: AgentFile) -> frozenset[str] | None:
    words = file.turn_taking.barge_in.backchannels
    return None if words is None else frozenset(word.lower() for word in words)


def _endpointing(file: AgentFile, defaults: Defaults) -> EndpointingRules:
    part = file.turn_taking.endpointing
    wait_s = defaults.agent_endpointing_s if part.wait_s is None else part.wait_s
    return EndpointingRules(
        wait_s=wait_s,
        least_wait_s=min(part.least_wait_s, wait_s),
        most_wait_s=max(part.most_wait_s, wait_s),
        is_adaptive=part.adaptive,
        is_speculative=part.speculative,
    )


def operator_number(file: AgentFile) -> str | None:
    """Return where callers who ask for a human go: `operator` of `transfer`, else its first."""
    return file.transfer.get(OPERATOR) or next(iter(file.transfer.values()), None)


def failure_number(file: AgentFile) -> str | None:
    """Return where callers go when every provider has failed."""
    return file.transfer.get(file.failure.transfer_to or "") or operator_number(file)
