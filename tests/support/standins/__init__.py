"""Local stand-ins of the cloud vendors, which speak their real wire formats; see README.md."""

from tests.support.standins.faults import Fault
from tests.support.standins.hearing import PhraseEar, ScriptedEar, ToneEar, tone_speech
from tests.support.standins.server import StandIns
from tests.support.standins.speaking import CallTool
from tests.support.standins.world import DEEPGRAM_KEY, OPENAI_KEY, World

__all__ = [
    "DEEPGRAM_KEY",
    "OPENAI_KEY",
    "CallTool",
    "Fault",
    "PhraseEar",
    "ScriptedEar",
    "StandIns",
    "ToneEar",
    "World",
    "tone_speech",
]
