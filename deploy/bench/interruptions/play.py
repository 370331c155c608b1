"""The whole set played and judged, as the bench and the tests call it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from deploy.bench.interruptions import sounds
from deploy.bench.interruptions.cases import make_cases
from deploy.bench.interruptions.judge import Verdict, judge
from deploy.bench.interruptions.stage import SHORT, SPEECH, play_cases
from services.agent.providers.offline.silero import SileroVoiceActivity
from services.agent.speech.voice_audio import PhoneVoice
from services.agent.turn.sentences import split_sentences
from shared.speech import Voice


def play_set(recordings: Path | None = None) -> dict[str, Verdict]:
    """Play the set; takes about a second of CPU for twenty cases.

    Args:
        recordings: a folder of recorded speech, WAV, to be among the interruptions.

    Returns:
        a verdict by kind of case, and for `interruptions`, `other sounds` and `all`.

    Raises:
        VoiceUnavailable: this machine has no offline voice.
    """
    with ExitStack() as stack:
        found = sounds.voices()
        for voice in found:
            stack.callback(voice.close)
        sentences = {text: _phone(text, found[0]) for text in [*split_sentences(SPEECH), SHORT]}
        cases = make_cases(found, recordings)
        return judge(play_cases(cases, SileroVoiceActivity(), sentences))


def _phone(text: str, voice: Voice) -> bytes:
    phone = PhoneVoice(voice.sample_rate_hz, trims_start=True)
    return phone.push(voice.synthesise(text)) + phone.push(None)
