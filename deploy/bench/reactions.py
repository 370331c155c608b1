"""How fast the platform answers and falls silent, as the caller hears it at the handset.

Each interruption is a call of its own: somebody talks over the greeting at another moment, in
another voice. Then quiet calls on a noisy line with the agent's own echo in it: nothing there may
stop the agent. Figures are the simulator's, on the far side of every real part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from deploy.bench.rig.callers import inbound_plan
from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.plan import CallPlan
from services.simulator.line.line import LineQuality
from services.simulator.person.caller import CallerScript, Utterance
from services.simulator.results.call_report import build_report
from services.simulator.results.report import summary
from shared.audio.resample import resample
from shared.audio.wav import read_wav
from shared.speech import Voice, VoiceUnavailable, open_voice

_TEXTS = ("Wait a moment.", "How much does it cost?", "Stop, please.", "Can I ask you something?")
_VOICES = ("slt", "awb", "kal16", "rms", "espeak-ng/en-gb", "espeak-ng/en-us")
_MOMENTS_S = (0.6, 1.1, 1.7, 2.3, 3.1, 4.2, 5.3)
_AT_ONCE = 7
_LINE_NOISE_DBFS = -60.0
_QUIET_S = 60.0
_QUIET_LINES = ((-45.0, None), (-60.0, -25.0), (-50.0, -25.0))
"""Line noise in dBFS, and the agent's echo in dB below its voice, of each quiet call."""
_PHONE_RATE_HZ = 8000


@dataclass(frozen=True, slots=True)
class Reactions:
    """Milliseconds at the handset: count, p50, p95, max; and what stopped the agent wrongly."""

    answer_to_first_audio_ms: dict[str, Any]
    barge_in_to_silence_ms: dict[str, Any]
    talked_over: int
    quiet_s: float
    false_interruptions: int
    is_client_the_bottleneck: bool


def measure_reactions(port: int, *, interruptions: int, speech: Path | None) -> Reactions:
    """Play the calls.

    Args:
        port: the gateway's, on loopback.
        interruptions: how many.
        speech: a folder of WAV files of recorded speech; None makes it by the offline voices.
    """
    return asyncio.run(_measure(port, interruptions, speech))


async def _measure(port: int, interruptions: int, speech: Path | None) -> Reactions:
    said = list(await asyncio.to_thread(_recordings, speech) if speech else _spoken())
    scripts = [
        CallerScript(
            turns=(Utterance(pcm.pcm, pcm.label, barge_in_s=moment_s),), hangup_at_s=moment_s + 5
        )
        for pcm, moment_s in islice(
            zip(cycle(said), cycle(_MOMENTS_S), strict=False), interruptions
        )
    ]
    async with Cloud() as cloud:
        noise = LineQuality(noise_dbfs=_LINE_NOISE_DBFS)
        interrupted: list[Call] = []
        for start in range(0, len(scripts), _AT_ONCE):
            plans = [
                inbound_plan(port, script, noise) for script in scripts[start : start + _AT_ONCE]
            ]
            interrupted += await _play(cloud, plans)
        silent = CallerScript(hangup_at_s=_QUIET_S, max_duration_s=_QUIET_S + 5)
        quiet = await _play(
            cloud,
            [
                inbound_plan(port, silent, LineQuality(noise_dbfs=noise_dbfs, echo_db=echo_db))
                for noise_dbfs, echo_db in _QUIET_LINES
            ],
        )
        lag_ms = cloud.lag.percentile_ms(99)
    reports = [build_report(call) for call in interrupted]
    barge_ins = [b["latency_ms"] for report in reports for b in report["barge_ins"]]
    quiet_reports = [build_report(call) for call in quiet]
    return Reactions(
        answer_to_first_audio_ms=summary(r["answer_to_first_audio_ms"] for r in reports),
        barge_in_to_silence_ms=summary(barge_ins),
        talked_over=sum(latency is None for latency in barge_ins),
        quiet_s=sum(report["duration_s"] for report in quiet_reports),
        false_interruptions=sum(len(r["false_interruptions_ms"]) for r in quiet_reports),
        is_client_the_bottleneck=lag_ms > 10.0,
    )


async def _play(cloud: Cloud, plans: Sequence[CallPlan]) -> list[Call]:
    calls = []
    for plan in plans:
        calls.append(cloud.start(plan))
        await asyncio.sleep(0.4)
    for call in calls:
        await call.over.wait()
    return calls


def _spoken() -> Iterator[Utterance]:
    for voice in _voices():
        for text in _TEXTS:
            pcm = resample(voice.synthesise(text), voice.sample_rate_hz, _PHONE_RATE_HZ)
            yield Utterance(pcm, f"{voice.name}: {text}")
        voice.close()


def _voices() -> Iterator[Voice]:
    found = 0
    for name in _VOICES:
        try:
            yield open_voice(name)
            found += 1
        except VoiceUnavailable:
            continue
    if not found:
        yield open_voice()


def _recordings(folder: Path) -> list[Utterance]:
    said = []
    for path in sorted(folder.glob("*.wav")):
        pcm, rate_hz = read_wav(path)
        said.append(Utterance(resample(pcm, rate_hz, _PHONE_RATE_HZ), path.name))
    if not said:
        raise RuntimeError(f"no WAV files in {folder}")
    return said
