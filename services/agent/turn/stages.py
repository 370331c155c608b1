"""PURE. When the stages of a turn were passed, and how long each took."""

from __future__ import annotations

from dataclasses import dataclass

from services.agent.events import Measure, Stage


@dataclass(slots=True)
class TurnClock:
    """When the stages of the present turn were passed; None where they were not."""

    speech_end_s: float | None = None
    settled_s: float | None = None
    final_s: float | None = None
    piece_s: float | None = None
    audio_s: float | None = None

    def measures(self, now_s: float) -> list[Measure]:
        """Measure the turn whose first audio has just been written; stages add up to the total.

        Nothing comes of a turn that did not pass every stage: a greeting, a digit, a silence.
        """
        if self.speech_end_s is None or self.settled_s is None or self.final_s is None:
            return []
        if self.piece_s is None or self.audio_s is None:
            return []
        stages = {
            Stage.ENDPOINTING: self.settled_s - self.speech_end_s,
            Stage.TRANSCRIPTION: self.final_s - self.settled_s,
            Stage.BRAIN: self.piece_s - self.final_s,
            Stage.SYNTHESIS: self.audio_s - self.piece_s,
            Stage.PLATFORM: now_s - self.audio_s,
            Stage.TOTAL: now_s - self.speech_end_s,
        }
        return [Measure(stage, max(0.0, seconds)) for stage, seconds in stages.items()]
