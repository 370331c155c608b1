"""PURE. Answering-machine detection: what an order may ask for, and what Vobiz is told.

Source: vobiz.ai docs, answering-machine detection page, read 2026-11.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field


class MachineDetection(StrEnum):
    """Whether Vobiz listens for an answering machine, and what it does about one.

    `DETECT` tells the agent, who decides; `HANGUP` ends the call.
    """

    OFF = "off"
    DETECT = "detect"
    HANGUP = "hangup"


class MachineBody(BaseModel):
    """Machine detection with all it can be told; what is left out is Vobiz's own choice."""

    model_config = ConfigDict(extra="forbid", strict=True)

    mode: MachineDetection = Field(strict=False, description="off, detect or hangup")
    sync: bool = Field(
        False,
        description="true: the agent begins when Vobiz has judged, which the person called hears as"
        " silence; false: at once, and the verdict comes to it meanwhile",
    )
    time_ms: int | None = Field(None, ge=2000, le=10_000, description="listens at most so long")
    max_speech_ms: int | None = Field(
        None, ge=1000, le=6000, description="who speaks longer at once is a machine"
    )
    initial_silence_ms: int | None = Field(
        None, ge=2000, le=10_000, description="who is silent for longer at first is a machine"
    )
    max_words: int | None = Field(None, ge=2, le=10, description="who says more is a machine")
    greeting_ms: int | None = Field(
        None, ge=1000, le=5000, description="who greets longer is a machine"
    )


@dataclass(frozen=True, slots=True)
class MachineRule:
    """What is done about answering machines in one call. Numbers None: Vobiz's own.

    Asynchronously, the call goes on while Vobiz listens, because the verdict takes seconds that the
    person called would hear as silence. Synchronously (`is_sync`) the answer webhook comes after
    the verdict and brings it.
    """

    mode: MachineDetection = MachineDetection.OFF
    is_sync: bool = False
    time_ms: int | None = None
    max_speech_ms: int | None = None
    initial_silence_ms: int | None = None
    max_words: int | None = None
    greeting_ms: int | None = None

    @classmethod
    def from_body(cls, body: MachineDetection | MachineBody | None) -> Self | None:
        """Return what a request asks for; None: it does not say."""
        if body is None:
            return None
        if isinstance(body, MachineDetection):
            return cls(body)
        return cls(
            body.mode,
            body.sync,
            body.time_ms,
            body.max_speech_ms,
            body.initial_silence_ms,
            body.max_words,
            body.greeting_ms,
        )

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """Return what a kept JSON value asks for: a mode, an object as MachineBody, or None.

        Raises:
            ValueError: it is none of these.
        """
        if value is None or isinstance(value, str):
            return cls.from_body(MachineDetection(value) if value is not None else None)
        return cls.from_body(MachineBody.model_validate(value))

    def fields(self, verdict_url: str) -> dict[str, str | int]:
        """Return the fields of Make Call; `verdict_url` makes it asynchronous, where it is to be.

        Texts: a JSON boolean is not understood.
        """
        if self.mode is MachineDetection.OFF:
            return {}
        is_hangup = self.mode is MachineDetection.HANGUP
        said: dict[str, str | int | None] = {
            "machine_detection": "hangup" if is_hangup else "true",
            "machine_detection_url": None if self.is_sync else verdict_url,
            "machine_detection_method": None if self.is_sync else "POST",
            "machine_detection_time": self.time_ms,
            "machine_detection_maximum_speech_length": self.max_speech_ms,
            "machine_detection_initial_silence": self.initial_silence_ms,
            "machine_detection_maximum_words": self.max_words,
            "machine_detection_initial_greeting": self.greeting_ms,
        }
        return {name: value for name, value in said.items() if value is not None}
