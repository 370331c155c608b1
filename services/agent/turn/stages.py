"""PURE. When the stages of a turn were passed, and how long each took."""

from __future__ import annotations

from dataclasses import dataclass

from services.agent.turn.events import Measure, Stage


@dataclass(slots=True)
class TurnClock:
    """When the stages of the present turn were passed; None where they were not.

    Attributes:
        speech_end_s: the caller's last sound.
        settled_s: the end of the turn was decided.
        final_s: its words were there.
        piece_s: the brain's first words were there.
        audio_s: their first audio was there.
    """

    speech_end_s: float | None = None
    settled_s: float | None = None
    final_s: float | None = None
    piece_s: float | None = None
    audio_s: float | None = None

    def measures(self, now_s: float) -> list[Measure]:
        """Measure the turn whose first audio has just been written; stages add up to the total.

        Each stage counts from the end of the one before. A stage that was over by then, because
        the answer was begun on a likely end, took no time: what overlaps is counted once, for the
        stage that everything waited for. So PLATFORM is what was spent when the caller had ended,
        the words were settled and the first audio was there: neither the deliberate wait nor any
        provider's time.

        Nothing comes of a turn that did not pass every stage: a greeting, a digit, a silence.
        """
        if self.speech_end_s is None or self.settled_s is None or self.final_s is None:
            return []
        if self.piece_s is None or self.audio_s is None:
            return []
        passed = {
            Stage.ENDPOINTING: self.settled_s,
            Stage.TRANSCRIPTION: self.final_s,
            Stage.BRAIN: self.piece_s,
            Stage.SYNTHESIS: self.audio_s,
            Stage.PLATFORM: now_s,
        }
        measures = []
        reached_s = self.speech_end_s
        for stage, passed_s in passed.items():
            measures.append(Measure(stage, max(0.0, passed_s - reached_s)))
            reached_s = max(reached_s, passed_s)
        return [*measures, Measure(Stage.TOTAL, max(0.0, now_s - self.speech_end_s))]
