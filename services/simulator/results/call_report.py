"""Gathers everything known of a finished call into one JSON-ready report."""

from __future__ import annotations

from typing import Any

import numpy as np

from services.simulator.calls.call import Call
from services.simulator.calls.timeline import Moment
from services.simulator.calls.wheel import Lag
from services.simulator.results import report
from services.simulator.results.report import ms
from shared.audio.level import level_dbfs


def build_report(
    call: Call, lag: Lag | None = None, record: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the report of a call.

    Args:
        call: over, or still running (then it is a report so far).
        lag: lateness of this process's own steps, shared by all its calls.
        record: what the platform says of the call, if it was asked.
    """
    line, ending = call.line, call.ending
    said, spans = line.said_spans, line.agent_spans
    barge_ins = report.barge_ins(said, spans)
    gaps = report.gaps(spans)
    underruns = sum(gap.is_mid_sentence for gap in gaps)
    return {
        "call_uuid": call.call_uuid,
        "direction": call.plan.facts.direction.value,
        "from": call.plan.facts.from_number,
        "to": call.plan.facts.to_number,
        "ok": not failures(call),
        "failures": failures(call),
        "state": call.state.value,
        "duration_s": call.duration_s,
        "ending": None
        if ending is None
        else {
            "cause": ending.cause,
            "code": ending.code,
            "name": ending.name,
            "source": ending.source,
        },
        **_first_audio(call),
        "turns": [_plain(turn) for turn in report.turn_latencies(said, spans, line.handset)],
        "turn_latency_ms": report.summary(
            turn.latency_ms for turn in report.turn_latencies(said, spans, line.handset)
        ),
        "barge_ins": [_plain(barge_in) for barge_in in barge_ins],
        "barge_in_latency_ms": report.summary(b.latency_ms for b in barge_ins),
        "false_interruptions_ms": report.false_interruptions(said, spans),
        "gaps": [_plain(gap) for gap in gaps],
        "underruns": underruns,
        "play_audio": _play_audio(call, underruns),
        "checkpoints": _checkpoints(call),
        "sockets": _sockets(call),
        "spans": report.spans_json(said, spans),
        "heard_level_dbfs": _heard_level(call),
        "webhooks": _webhooks(call),
        "record": record,
        "transcript": (record or {}).get("transcript") or [],
        "simulator_lag": lag.to_json() if lag else None,
        "events": call.timeline.to_json(),
        "events_dropped": call.timeline.dropped,
    }


def failures(call: Call) -> list[str]:
    """Return why a call can't be called a good one; empty when it was."""
    found = []
    ending = call.ending
    if ending is None:
        found.append("the call has not ended")
    elif ending.source == "Error":
        found.append(f"{ending.code} {ending.name}")
    elif call.times.answered is None and not call.plan.outcome.code:
        found.append(f"never answered: {ending.code} {ending.name}")
    for failed in call.timeline.of(Moment.SOCKET_FAILED):
        found.append(f"the media socket did not open: {failed.detail['problem']}")
    for fault in call.timeline.of(Moment.FAULT):
        found.append(str(fault.detail.get("problem", "fault")))
    undelivered = {d.event for d in call.deliveries if not d.is_ok} - {
        d.event for d in call.deliveries if d.is_ok
    }
    found += [f"webhook {event} was not accepted" for event in sorted(undelivered)]
    has_stream = bool(call.timeline.of(Moment.SOCKET_OPEN))
    if has_stream and not call.line.agent_spans and call.leg.streams[0].plan.is_bidirectional:
        found.append("the agent never played any audio")
    return found


def _first_audio(call: Call) -> dict[str, float | None]:
    sent_s = call.answer_sent_s or 0.0
    opened_s = call.timeline.first(Moment.SOCKET_OPEN)
    spans = call.line.agent_spans
    sound = report.first_sound(call.line.handset, spans[0].start) if spans else None
    frame_s = spans[0].start / 8000 if spans else None
    sound_s = None if sound is None else sound / 8000
    arrived_s = call.timeline.first(Moment.FIRST_PLAY_AUDIO)
    return {
        "answer_to_first_audio_ms": _ms_between(sent_s, sound_s),
        "answer_to_first_frame_ms": _ms_between(sent_s, frame_s),
        "answer_to_first_play_audio_ms": _ms_between(sent_s, arrived_s),
        "answer_to_socket_open_ms": _ms_between(sent_s, opened_s),
        "socket_open_to_first_audio_ms": _ms_between(opened_s, sound_s),
        "socket_open_to_first_play_audio_ms": _ms_between(opened_s, arrived_s),
    }


def _ms_between(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else round((end_s - start_s) * 1000, 1)


def _play_audio(call: Call, underruns: int) -> dict[str, Any]:
    cores = [core for stream in call.leg.streams for core in stream.cores]
    in_hand_ms = [left_ms for core in cores for left_ms in core.pacing.in_hand_ms]
    return {
        "messages": sum(core.pacing.frames for core in cores),
        "ignored_commands": sum(core.ignored_commands for core in cores),
        "heard_ms": ms(sum(span.end - span.start for span in call.line.agent_spans)),
        "longest_queue_ms": ms(max((core.longest_queue for core in cores), default=0)),
        "in_hand_ms": report.lows([*in_hand_ms, *[0.0] * underruns]),
    }


def _checkpoints(call: Call) -> dict[str, Any]:
    sent = call.timeline.of(Moment.CHECKPOINT)
    played = {event.detail["name"]: event.at_s for event in call.timeline.of(Moment.PLAYED)}
    void = [
        name
        for event in call.timeline.of(Moment.CLEAR)
        for name in event.detail["void_checkpoints"]
    ]
    return {"sent": len(sent), "played": len(played), "void": len(void)}


def _sockets(call: Call) -> list[dict[str, Any]]:
    kinds = (Moment.SOCKET_OPEN, Moment.SOCKET_FAILED, Moment.SOCKET_CLOSED)
    return [
        {"at_ms": round(event.at_s * 1000, 1), "event": event.moment.value, **event.detail}
        for event in call.timeline.events
        if event.moment in kinds
    ]


def _heard_level(call: Call) -> float | None:
    heard = call.line.handset.heard()
    parts = [heard[span.start : span.end] for span in call.line.agent_spans]
    return round(level_dbfs(np.concatenate(parts)), 1) if parts else None


def _webhooks(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "event": d.event,
            "path": d.path,
            "status": d.status,
            "took_ms": d.took_ms,
            "attempt": d.attempt,
            **({"problem": d.problem} if d.problem else {}),
        }
        for d in call.deliveries
    ]


def _plain(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__slots__}
