"""PURE. The rules of one agent's turn-taking, as its file states them.

All times are seconds. The defaults are what suits an assistant on a phone line; `deploy/agents/`
documents each of them beside the field of the agent's file that sets it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class BargeInRules:
    """When somebody who speaks over the agent interrupts it.

    The agent falls silent at once either way. `min_words` words that are no backchannel, or
    `min_speech_s` of speech, make it an interruption; anything else lets the agent go on from the
    word that was cut.

    Attributes:
        is_enabled: False: the agent speaks to the end of each answer, whatever is said.
        min_words: words that make an interruption, as soon as a recogniser has heard them.
        min_speech_s: speech that makes one even without words.
        backchannels: utterances that mean "go on", lower case; None: those of the language.
        words_wait_s: the longest to stay silent for a verdict after the caller has ended.
    """

    is_enabled: bool = True
    min_words: int = 1
    min_speech_s: float = 0.9
    backchannels: frozenset[str] | None = None
    words_wait_s: float = 1.0


@dataclass(frozen=True, slots=True)
class EndpointingRules:
    """When the caller's turn is over.

    Attributes:
        wait_s: silence that ends a turn when nothing is known of its words.
        least_wait_s: the same when words, recogniser or model say that the turn is complete.
        most_wait_s: the same when they say that it is not.
        is_adaptive: follow the caller: who pauses long within a turn is given longer.
        is_speculative: begin the reply on a likely end; thrown away unheard if the caller goes on.
    """

    wait_s: float = 0.5
    least_wait_s: float = 0.3
    most_wait_s: float = 1.4
    is_adaptive: bool = True
    is_speculative: bool = True


@dataclass(frozen=True, slots=True)
class FillerRules:
    """What is said while an answer is slow; each text in turn. No texts: nothing is."""

    texts: tuple[str, ...] = ()
    after_s: float = 1.0


class OnFailure(StrEnum):
    """What becomes of a call whose providers have all failed."""

    END = "end"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True)
class FailureRules:
    """The agent's last words when nothing works, and what follows them.

    `transfer_failed` is said when the network would not hand the caller over; the talk goes on.
    """

    apology: str = "I am sorry, something has gone wrong. Please call again later."
    then: OnFailure = OnFailure.END
    transfer_to: str = ""
    transfer_failed: str = "I am sorry, I could not connect you. What else can I do for you?"


class OnMachine(StrEnum):
    """What to do when a machine has answered an outbound call."""

    IGNORE = "ignore"
    HANG_UP = "hang_up"
    LEAVE_MESSAGE = "leave_message"


@dataclass(frozen=True, slots=True)
class MachineRules:
    """Voicemail. `message` is spoken, whole, once the machine has been quiet for `quiet_s`."""

    then: OnMachine = OnMachine.HANG_UP
    message: str = ""
    quiet_s: float = 1.2
    most_wait_s: float = 30.0


@dataclass(frozen=True, slots=True)
class TurnTaking:
    """All of it.

    Attributes:
        language: BCP 47 tag; decides backchannels and what an unfinished sentence is.
        silence_s: how long to wait for a silent caller before the dialogue is told.
        noise_s: speech shorter than this, without words, in the caller's own turn is passed over.
        transcript_wait_s: the longest to wait for words after the caller has ended.
        max_call_s: the agent ends a longer call...
        time_limit_text: ...with these words.
        media_lost_s: the call is given up when nothing has come for so long.
        uninterruptible: passages that are spoken to their end wherever they occur in an answer.
    """

    language: str = "en"
    barge_in: BargeInRules = field(default_factory=BargeInRules)
    endpointing: EndpointingRules = field(default_factory=EndpointingRules)
    filler: FillerRules = field(default_factory=FillerRules)
    failure: FailureRules = field(default_factory=FailureRules)
    machine: MachineRules = field(default_factory=MachineRules)
    silence_s: float = 7.0
    noise_s: float = 0.3
    transcript_wait_s: float = 4.0
    max_call_s: float = 3600.0
    time_limit_text: str = "I am sorry, we have reached the time limit of this call. Goodbye."
    media_lost_s: float = 30.0
    uninterruptible: tuple[str, ...] = ()
