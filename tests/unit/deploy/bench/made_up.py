"""A bench.json as a whole run leaves it, with made-up figures."""

from __future__ import annotations

from typing import Any

from deploy.bench.report.lookup import HEARD_DBFS, QUIET_DBFS


def spread(p99: float) -> dict[str, float]:
    return {"count": 100, "p50": p99 / 4, "p95": p99 / 2, "p99": p99, "max": 2 * p99}


def load_report(**changed: Any) -> dict[str, Any]:
    """As the load client prints it."""
    return {
        "seconds": 10.0,
        "calls": 50,
        "open": 50,
        "refused": 0,
        "lost": 0,
        "sent": 25_000,
        "received": 25_000,
        "underruns": 0,
        "checkpoints": 3,
        "clears": 0,
        "blocked": 0,
        "least_lead_ms": 290.0,
        "cpu_share": 0.1,
        "late_ms": spread(0.4),
        "pacing_ms": spread(4.0),
        "jitter_ms": spread(3.0),
        "delay_ms": spread(0.0),
        "first_audio_ms": spread(8.0),
        **changed,
    }


def path_row(
    calls: int, worker: float, *, workers: int = 1, line_dbfs: float = HEARD_DBFS
) -> dict[str, Any]:
    return {
        "load": {"calls": calls, "workers": workers, "line_dbfs": line_dbfs},
        "gateway": 0.1,
        "worker": worker,
        "redis": 0.01,
        "total": 0.1 + worker,
        "gateway_mb_per_call": 0.2,
        "worker_mb_per_call": 0.9,
        "handset": load_report(),
        "frames_out": 50.0,
        "runs": 5,
    }


def design_row(name: str, calls: int, total: float, *, is_whole: bool = True) -> dict[str, Any]:
    half = total / 2
    return {
        "design": name,
        "calls": calls,
        "total": total,
        "relay": half,
        "server": half,
        "is_whole": is_whole,
    }


def relay_row(name: str, cpu_s: float, p50: float) -> dict[str, Any]:
    return {
        "relay": name,
        "calls": 100,
        "cpu_s": cpu_s,
        "delay_ms_p50": p50,
        "delay_ms_p99": 10 * p50,
    }


INTERPRETER = "Python 3.13.1, GCC 14.2.0, x86_64"


def counted(
    instructions: int, interpreter: str = INTERPRETER, numpy: str = "2.3"
) -> dict[str, Any]:
    return {
        interpreter: {"packages": {"numpy": numpy}, "steps": {"parse media": instructions}},
    }


def document(**changed: Any) -> dict[str, Any]:
    """All parts; changed ones by name."""
    return {
        "machine": {
            "processor": "a processor",
            "cores": 2,
            "memory_gb": 16.1,
            "system": "Linux 6",
            "python": "3.13.1",
            "packages": {"numpy": "2.3"},
            "measured_at": "2026-11-26",
        },
        "frames": {"parse media": {"cpu_us": 0.9}},
        "instructions": counted(4000),
        "floors": [
            design_row("paced", 100, 0.06),
            *(design_row("relay+paced", calls, 0.1) for calls in (50, 100)),
            design_row("lean", 100, 0.15),
        ],
        "usual": [
            design_row("usual", 20, 1.6),
            design_row("usual", 50, 1.5),
            design_row("usual", 100, 1.1, is_whole=False),
        ],
        "relay": [
            relay_row("none", 0.0, 0.05),
            relay_row("floor", 0.04, 0.08),
            relay_row("gateway", 0.08, 0.2),
        ],
        "path": [
            path_row(1, 3.0),
            path_row(50, 0.25),
            path_row(50, 0.19, line_dbfs=QUIET_DBFS),
            path_row(100, 0.2),
            path_row(100, 0.15, line_dbfs=QUIET_DBFS),
            path_row(200, 0.21, workers=2),
        ],
        "scaling": {
            "law": {
                "fixed": 2.0,
                "per_wake_up": 0.4,
                "per_worker": 1.5,
                "per_call": 0.28,
                "worst_share": 0.08,
                "bends_at": 150,
            },
            "points": [
                path_row(10, 0.5),
                path_row(150, 0.37),
                path_row(100, 0.3, workers=2),
            ],
        },
        "soak": {
            "calls": 120,
            "seconds": 600.0,
            "worker_cpu_share": 0.6,
            "worker_empty_mb": 150.0,
            "worker_mb": [250.0, 260.0, 260.5],
            "mb_per_call": 0.92,
            "growth_mb_per_min": 0.01,
            "handset": load_report(),
        },
        "reactions": {
            "answer_to_first_audio_ms": {"count": 60, "p50": 60.0, "p95": 100.0},
            "barge_in_to_silence_ms": {"count": 56, "p50": 50.0, "p95": 190.0},
            "quiet_s": 180.0,
            "false_interruptions": 0,
        },
        "turns": [{"calls": 1, "parts_ms": {"overhead": {"p50": 8.0, "p95": 9.0}}}],
        "interruptions": {
            "interruptions": {
                "cases": 148,
                "right": 148,
                "silence_ms": {"p50": 50.0, "p95": 190.0},
            },
            "other sounds": {"cases": 137, "right": 136},
        },
        **changed,
    }
