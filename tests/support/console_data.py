"""What a console's API tells in tests and in pictures: made up, and the same each time."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

CALL_ID = "6f1d2c58-4a77-4c0e-9d35-0b6c1f7e2a90"
DURATION_MS = 41_000
GREETING = (
    "Hello, this is Parley, your voice agent. Ask me what I can do, or say: take my number."
    " What would you like?"
)
AGENTS = [
    {
        "name": "appointments",
        "version": "3",
        "language": "en",
        "greeting": "Hello, this is the practice of Doctor Rao. How can I help you?",
    },
    {"name": "default", "version": "1", "language": "en", "greeting": GREETING},
    {
        "name": "frontdesk",
        "version": "1",
        "language": "en",
        "greeting": "Hello, this is the front desk of Lotus Travels. Sales or support?",
    },
]


def spoken(who: str, at_ms: int, until_ms: int, text: str, **more: Any) -> dict[str, Any]:
    return {"who": who, "text": text, "at_ms": at_ms, "until_ms": until_ms, **more}


def waited(endpointing: int, transcription: int, brain: int, synthesis: int) -> dict[str, float]:
    stages = {
        "endpointing": endpointing,
        "transcription": transcription,
        "brain": brain,
        "synthesis": synthesis,
        "platform": 14,
    }
    return {**stages, "total": sum(stages.values())}


TRANSCRIPT: list[dict[str, Any]] = [
    spoken("agent", 120, 6100, GREETING),
    spoken("caller", 7300, 8900, "how does this work", is_understood=True),
    spoken(
        "agent",
        9560,
        19_400,
        "Your voice comes in by telephone, fifty small pieces a second. I find where you speak,"
        " recognise the words, choose an answer, and say it.",
        latency_ms=waited(500, 60, 12, 84),
    ),
    spoken("caller", 20_600, 21_700, "what can you do", is_understood=True),
    spoken(
        "agent",
        22_390,
        26_100,
        "I can tell you how I work, what I cost, and how",
        is_interrupted=True,
        latency_ms=waited(500, 85, 15, 70),
    ),
    spoken("caller", 25_950, 27_400, "take my number please", is_understood=True),
    spoken(
        "agent",
        28_110,
        33_000,
        "Gladly. Please say the number, digit by digit, or use your keypad.",
        latency_ms=waited(500, 92, 11, 78),
    ),
    {"kind": "keys", "who": "caller", "text": "8000000077#", "at_ms": 34_000, "count": 11},
    spoken("agent", 36_700, 40_600, "Thank you. I have noted your number. Goodbye!"),
]
MARKS: list[dict[str, Any]] = [
    {"at_ms": 6100, "kind": "checkpoint", "name": "greeting"},
    {"at_ms": 8960, "until_ms": 9460, "kind": "span", "name": "endpointing"},
    {"at_ms": 9020, "until_ms": 9480, "kind": "span", "name": "stt offline"},
    {"at_ms": 9470, "until_ms": 9560, "kind": "span", "name": "tts offline"},
    {"at_ms": 19_400, "kind": "checkpoint", "name": "turn-1"},
    {"at_ms": 21_760, "until_ms": 22_260, "kind": "span", "name": "endpointing"},
    {"at_ms": 22_280, "until_ms": 22_390, "kind": "span", "name": "tts offline"},
    {"at_ms": 25_950, "until_ms": 26_085, "kind": "barge_in", "ms": 135},
    {"at_ms": 26_085, "kind": "clear"},
    {"at_ms": 26_098, "kind": "cleared"},
    {"at_ms": 27_460, "until_ms": 27_960, "kind": "span", "name": "endpointing"},
    {"at_ms": 30_400, "kind": "resume", "name": "agent-2"},
    {"at_ms": 33_000, "kind": "checkpoint", "name": "turn-3"},
    {"at_ms": 40_600, "kind": "checkpoint", "name": "goodbye"},
]
LIVE: list[dict[str, Any]] = [
    {"kind": "state", "state": "greeting", "at_ms": 0},
    {"kind": "agent", "text": "Hello, this is Parley, your voice agent.", "at_ms": 2400},
    {"kind": "agent", "text": GREETING, "at_ms": 5100},
    {"kind": "said", "n": 0, "text": GREETING, "at_ms": 120},
    {"kind": "state", "state": "listening", "at_ms": 6100},
    {"kind": "caller_partial", "text": "how does", "at_ms": 7900},
    {
        "kind": "caller",
        "n": 1,
        "text": "how does this work",
        "is_understood": True,
        "at_ms": 8900,
    },
    {"kind": "latency", "at_ms": 9560, **waited(500, 60, 12, 84)},
    {"kind": "state", "state": "speaking", "at_ms": 9560},
    {
        "kind": "agent",
        "text": "Your voice comes in by telephone, fifty small pieces a second. I find where you"
        " speak, recognise the words,",
        "at_ms": 14_000,
    },
    {"kind": "barge_in", "ms": 135, "at_ms": 14_100},
    {
        "kind": "interrupted",
        "n": 2,
        "text": "Your voice comes in by telephone, fifty small pieces a second. I find",
        "at_ms": 14_100,
    },
    {"kind": "caller", "n": 3, "text": "what can", "is_understood": True, "at_ms": 15_100},
    {"kind": "take_back", "n": 3, "at_ms": 15_200},
    {"kind": "caller", "n": 3, "text": "what can you do", "is_understood": True, "at_ms": 15_300},
    {"kind": "latency", "at_ms": 16_000, **waited(500, 85, 15, 70)},
    {"kind": "state", "state": "speaking", "at_ms": 16_000},
    {
        "kind": "agent",
        "text": "I can tell you how I work, what I cost, and how many calls I take.",
        "at_ms": 19_000,
    },
]


def record(call_id: str = CALL_ID, **changes: Any) -> dict[str, Any]:
    """A call's record as JSON."""
    now = datetime.now(UTC)
    return {
        "call_id": call_id,
        "state": "completed",
        "direction": "inbound",
        "from_number": "+918000000012",
        "to_number": "+918000000099",
        "agent": "default",
        "call_uuid": call_id,
        "created_at": (now - timedelta(minutes=6)).isoformat(),
        "answered_at": (now - timedelta(minutes=6)).isoformat(),
        "ended_at": (now - timedelta(minutes=5)).isoformat(),
        "duration_s": DURATION_MS / 1000,
        "end_class": "success",
        "end_reason": "agent_hung_up",
        "hangup_source": "Answer XML",
        "worker_id": "agent-2",
        "milestones": {"first_audio": 118},
        "transcript": TRANSCRIPT,
        "summary": {
            "turns": 3,
            "interruptions": 1,
            "resumed": 0,
            "turn_latency_median_ms": 670,
            "turn_latency_max_ms": 681,
        },
    } | changes


def records() -> list[dict[str, Any]]:
    """A list of calls, newest first, without transcripts."""
    chance, now = random.Random(7), datetime.now(UTC)
    ends = [
        ("success", "caller_hung_up"),
        ("success", "agent_hung_up"),
        ("caller", "no_answer"),
        ("platform", "pool_full"),
        ("success", "transferred"),
        ("provider", "carrier_lost"),
    ]
    found = [record()]
    for number in range(1, 12):
        end_class, reason = ends[number % len(ends)]
        has_talked = end_class == "success"
        at = now - timedelta(minutes=6 + 17 * number)
        found.append(
            record(
                f"call-{number}",
                agent=AGENTS[number % 3]["name"],
                from_number="console" if number % 4 == 0 else f"+9180000000{10 + number}",
                created_at=at.isoformat(),
                ended_at=(at + timedelta(seconds=70)).isoformat(),
                duration_s=float(chance.randrange(20, 190)) if has_talked else None,
                end_class=end_class,
                end_reason=reason,
                summary={
                    "turns": chance.randrange(2, 14),
                    "turn_latency_median_ms": chance.randrange(610, 890),
                }
                if has_talked
                else {},
            )
        )
    for one in found:
        one.pop("transcript")
    return found


def now(age_s: float = 0.0) -> dict[str, Any]:
    """What goes on now."""
    calls = [
        ("live-1", "in-progress", "inbound", "default", "+918000000012", "agent-1", 74, 3, 668, 4),
        (
            "live-2",
            "in-progress",
            "inbound",
            "frontdesk",
            "+918000000031",
            "agent-2",
            31,
            5,
            712,
            2,
        ),
        (
            "live-3",
            "in-progress",
            "outbound",
            "reminder",
            "+918000000099",
            "agent-2",
            12,
            4,
            None,
            0,
        ),
        ("live-4", "ringing", "outbound", "reminder", "+918000000099", None, 3, None, None, 0),
    ]
    names = (
        *("call_id", "state", "direction", "agent", "from_number", "worker_id"),
        *("age_s", "jitter_ms", "last_turn_ms", "turns"),
    )
    listed = [
        dict(zip(names, call, strict=True))
        | {"to_number": "+918000000099", "age_s": call[6] + age_s}
        for call in calls
    ]
    workers = [("agent-1", 25, 1, 2.1, False), ("agent-2", 25, 2, 3.4, False)]
    workers.append(("agent-3", 25, 0, 1.9, True))
    return {
        "calls": listed,
        "workers": [
            {
                "worker_id": worker_id,
                "capacity": capacity,
                "active": active,
                "lag_ms": lag_ms,
                "version": "0.1.0",
                "zone": "mumbai-a",
                "draining": draining,
            }
            for worker_id, capacity, active, lag_ms, draining in workers
        ],
        "health": {"redis": "ok", "workers": "ok", "dialer": "ok", "prometheus": "ok"},
        "campaigns": [],
    }


def series() -> dict[str, Any]:
    """Charts of the last hour, a gap in one of them."""
    chance = random.Random(3)
    end_s = datetime.now(UTC).timestamp()
    times = [end_s - 3600 + 60 * minute for minute in range(61)]

    def wave(level: float, swing: float, noise: float) -> list[list[float | None]]:
        values = [
            level + swing * math.sin(n / 9) + noise * chance.uniform(-1, 1) for n in range(61)
        ]
        return [[t, round(max(0.0, v), 3)] for t, v in zip(times, values, strict=True)]

    gap = [[t, None if 20 < n < 26 else v] for n, (t, v) in enumerate(wave(4, 1.2, 0.6))]
    return {
        "is_available": True,
        "charts": [
            {
                "name": "calls",
                "title": "Calls at once",
                "unit": "",
                "series": [{"label": "", "points": wave(6, 3, 0.8)}],
            },
            {
                "name": "turns",
                "title": "Turn latency",
                "unit": "ms",
                "series": [
                    {"label": "median", "points": wave(680, 20, 12)},
                    {"label": "p95", "points": wave(905, 60, 40)},
                ],
            },
            {
                "name": "barge_in",
                "title": "Barge-in",
                "unit": "ms",
                "series": [{"label": "p95", "points": wave(138, 8, 5)}],
            },
            {
                "name": "jitter",
                "title": "Jitter of callers' audio",
                "unit": "ms",
                "series": [{"label": "p95", "points": gap}],
            },
            {
                "name": "lag",
                "title": "Event loop lag",
                "unit": "ms",
                "series": [
                    {"label": "gateway", "points": wave(1.2, 0.3, 0.3)},
                    {"label": "agent", "points": wave(2.6, 0.8, 0.5)},
                ],
            },
            {"name": "errors", "title": "Provider errors", "unit": "", "series": []},
        ],
    }


@lru_cache
def sound(rate_hz: int = 8000) -> NDArray[np.int16]:
    """The call's recording: (samples, 2), caller left, agent right; something like speech."""
    chance = np.random.default_rng(5)
    out = np.zeros((DURATION_MS * rate_hz // 1000, 2))
    for entry in TRANSCRIPT:
        if "kind" in entry:
            continue
        first, last = (entry[k] * rate_hz // 1000 for k in ("at_ms", "until_ms"))
        length = last - first
        time_s = np.arange(length) / rate_hz
        syllables = np.clip(np.sin(2 * np.pi * 3.7 * time_s) + 0.55, 0, None) ** 1.5
        loudness = np.repeat(chance.uniform(0.25, 1.0, length // 1600 + 1), 1600)[:length]
        pitch_hz = 190 if entry["who"] == "agent" else 120
        voice = np.sin(2 * np.pi * pitch_hz * time_s) + 0.4 * np.sin(
            2 * np.pi * 3 * pitch_hz * time_s
        )
        side = 1 if entry["who"] == "agent" else 0
        out[first:last, side] += 0.16 * voice * syllables * loudness
    out += chance.normal(0, 0.0008, out.shape)
    pcm: NDArray[np.int16] = np.clip(out * 32767, -32768, 32767).astype(np.int16)
    return pcm


@lru_cache
def waveform(bins: int) -> dict[str, Any]:
    """The recording's peaks."""
    pcm = np.abs(sound().astype(np.float64)) / 32768
    edges = np.linspace(0, len(pcm), bins, endpoint=False).astype(int)
    peaks = np.maximum.reduceat(pcm, edges, axis=0)
    return {
        "duration_ms": DURATION_MS,
        "caller": [round(float(p), 4) for p in peaks[:, 0]],
        "agent": [round(float(p), 4) for p in peaks[:, 1]],
    }
