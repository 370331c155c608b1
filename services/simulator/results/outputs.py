"""Writes what is kept of a call: recording, report and picture, and the lines a person reads."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.simulator.calls.call import Call
from services.simulator.results.report import in_hand
from shared.audio.wav import write_wav

SAMPLE_RATE_HZ = 8000


@dataclass(frozen=True, slots=True)
class CallFiles:
    """Where a call's files are; `picture` is None when none was wanted."""

    recording: Path
    report: Path
    picture: Path | None


async def write_files(
    call: Call, report: dict[str, Any], folder: Path, *, has_picture: bool
) -> CallFiles:
    """Write handset.wav, report.json and timeline.png into a folder, which is made."""
    return await asyncio.to_thread(_write, call, report, folder, has_picture)


def _write(call: Call, report: dict[str, Any], folder: Path, has_picture: bool) -> CallFiles:
    folder.mkdir(parents=True, exist_ok=True)
    recording, text = folder / "handset.wav", folder / "report.json"
    write_wav(recording, call.line.handset.stereo(), SAMPLE_RATE_HZ)
    text.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if not has_picture:
        return CallFiles(recording, text, None)
    from services.simulator.results.picture import draw_call  # matplotlib takes a second to load

    picture = folder / "timeline.png"
    draw_call(call, picture, report["transcript"])
    return CallFiles(recording, text, picture)


def human_lines(report: dict[str, Any], files: CallFiles | None) -> list[str]:
    """Return a call's report in a few lines."""
    ending = report["ending"] or {"name": "no ending", "source": "nobody"}
    lines = [
        f"Call {report['call_uuid']}: {'fine' if report['ok'] else 'FAILED'}, "
        f"{report['duration_s']} s, {ending['name']} by {ending['source']}"
    ]
    lines += [f"  problem: {problem}" for problem in report["failures"]]
    lines += _conversation(report)
    lines.append(
        "  answer to first agent audio: "
        f"{_ms(report['answer_to_first_audio_ms'])} (socket open after "
        f"{_ms(report['answer_to_socket_open_ms'])})"
    )
    lines.append(f"  caller waited for an answer: {_spread(report['turn_latency_ms'])}")
    if report["barge_ins"]:
        talked_on = sum(barge_in["latency_ms"] is None for barge_in in report["barge_ins"])
        rest = f", {talked_on} times the agent talked on" if talked_on else ""
        lines.append(
            f"  silence after barging in:    {_spread(report['barge_in_latency_ms'])}{rest}"
        )
    for at_ms in report["false_interruptions_ms"]:
        lines.append(f"  the agent stopped at {at_ms / 1000:.1f} s though nobody spoke")
    audio = report["play_audio"]
    lines.append(
        f"  agent audio: {audio['heard_ms'] / 1000:.1f} s heard, "
        f"{report['underruns']} underruns{in_hand(audio['in_hand_ms']['least'])}"
    )
    if files is not None:
        lines += [f"  recording: {files.recording}", f"  report:    {files.report}"]
        if files.picture is not None:
            lines.append(f"  picture:   {files.picture}")
    return lines


def _conversation(report: dict[str, Any]) -> list[str]:
    """Return the platform's transcript, or at least what the script said."""
    if report["transcript"]:
        return [
            f"  {entry.get('who', '?'):>6}: {entry.get('text', '')}"
            + (" (interrupted)" if entry.get("is_interrupted") else "")
            for entry in report["transcript"]
        ]
    return [f"  caller: {turn['label']}" for turn in report["turns"]]


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} ms"


def _spread(values: dict[str, Any]) -> str:
    if not values["count"]:
        return "nothing to measure"
    if values["count"] == 1:
        return _ms(values["p50"])
    return f"median {_ms(values['p50'])}, worst {_ms(values['max'])} of {values['count']}"
