"""PURE. What can be wrong with what comes over a wire, split by what the receiver can do.

ProtocolError
├── MalformedMessage    a frame of a media socket that can't be read: count it, go on
│   └── OversizedMessage    too long to be looked at: count it, perhaps close the socket
├── MalformedWebhook    a callback that can't be read: answer 400
├── InvalidVerb         XML that Vobiz would refuse: our own bug, found before it is sent
├── LinkRefused         (shared.protocol.worker) a link request: answer 401
└── InvalidErrand       (shared.protocol.errand) an errand: don't leave for it, or don't run it
"""

from __future__ import annotations


class ProtocolError(Exception):
    """Anything that breaks a wire format."""


class MalformedMessage(ProtocolError):
    """A text frame that is not a message of the media socket.

    Args:
        problem: what is wrong, in words; never contains the frame's content.
        event: the event's name where it was read.
    """

    def __init__(self, problem: str, *, event: str | None = None) -> None:
        super().__init__(problem, event)
        self.problem = problem
        self.event = event

    def __str__(self) -> str:
        return f"{self.event}: {self.problem}" if self.event else self.problem


class OversizedMessage(MalformedMessage):
    """A text frame longer than the limit; it was not decoded."""

    def __init__(self, length_chars: int, limit_chars: int) -> None:
        super().__init__(f"{length_chars} characters, {limit_chars} allowed")
        self.length_chars = length_chars
        self.limit_chars = limit_chars


class MalformedWebhook(ProtocolError):
    """A callback without the fields that make it one.

    Args:
        problem: what is wrong, in words.
        field: the form field it is about, where there is one.
    """

    def __init__(self, problem: str, *, field: str | None = None) -> None:
        super().__init__(problem, field)
        self.problem = problem
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}" if self.field else self.problem


class InvalidVerb(ProtocolError, ValueError):
    """A verb or attribute that Vobiz would refuse or misread.

    Args:
        verb: the XML element's name.
        problem: what is wrong, in words.
    """

    def __init__(self, verb: str, problem: str) -> None:
        super().__init__(verb, problem)
        self.verb = verb
        self.problem = problem

    def __str__(self) -> str:
        return f"<{self.verb}>: {self.problem}"
