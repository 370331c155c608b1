"""PURE. Is there room, are workers on time, and what happens to calls that change hands?"""

from __future__ import annotations

from deploy.grafana.board import RATE, Board, Panel, Query, Unit, Variable, per_minute, quantiles

_ON = 'instance=~"$instance"'

POOL = Board(
    "pool",
    "Parley: pool",
    "Is there room, are workers on time, and what happens to calls that change hands?",
    (
        Panel(
            "Room",
            "Calls, what workers take at the moment, and what they are made for.",
            (
                Query("sum(voice_agent_active_calls)", "calls"),
                Query("sum(voice_agent_open_capacity_calls)", "taken at the moment"),
                Query("sum(voice_agent_capacity_calls)", "made for"),
            ),
        ),
        Panel(
            "Calls by worker",
            "Evenly spread, but for workers that drain or are late.",
            (Query(f"voice_agent_active_calls{{{_ON}}}", "{{instance}}"),),
            is_stacked=True,
        ),
        Panel(
            "Workers, as gateways see them",
            "The gateway that sees fewest.",
            (Query("min by (state) (voice_gateway_pool_workers)", "{{state}}"),),
        ),
        Panel(
            "Pacing",
            "How late frames are written, 99th percentile. Above 0.3 s callers hear holes.",
            quantiles("voice_agent_pacing_lateness_seconds", by="instance", where=_ON, of=(0.99,)),
            Unit.SECONDS,
            warn=0.04,
            bad=0.2,
        ),
        Panel(
            "Frames waiting to be scored",
            "From a frame's arrival until voice activity was looked at, 95th percentile.",
            quantiles("voice_agent_scoring_wait_seconds", by="instance", where=_ON, of=(0.95,)),
            Unit.SECONDS,
            warn=0.02,
        ),
        Panel(
            "Places asked for",
            "By who answered: the bus, or the pool as last seen while Redis is away.",
            (per_minute("voice_gateway_reservations_total", by="source"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Links that workers refused",
            "`full` and `draining` happen; `unauthorized` is a wrong PARLEY_LINK_SECRET.",
            (
                per_minute("voice_agent_refusals_total", by="reason"),
                per_minute("voice_gateway_worker_refusals_total", by="reason"),
            ),
            Unit.PER_MINUTE,
        ),
        Panel(
            "Calls that lost their worker",
            "By cause and what became of them.",
            (per_minute("voice_gateway_reattachments_total", by="cause, outcome"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Silence of calls that change hands",
            "Until another worker has the call, and until it speaks; callers still hear what was"
            " sent ahead.",
            (
                *(
                    Query(query.expression, f"gap {query.legend}")
                    for query in quantiles("voice_gateway_resume_gap_seconds")
                ),
                *(
                    Query(query.expression, f"speaking again {query.legend}")
                    for query in quantiles("voice_agent_resume_silence_seconds")
                ),
            ),
            Unit.SECONDS,
            warn=1,
            bad=2,
        ),
        Panel(
            "Calls handed over and taken over",
            "`no_snapshot` ones go on without memory.",
            (
                Query(f"sum(rate(voice_agent_handed_over_calls_total[{RATE}])) * 60", "left"),
                per_minute("voice_agent_resumed_calls_total", by="outcome"),
                Query(
                    f"sum(rate(voice_agent_snapshot_failures_total[{RATE}])) * 60",
                    "snapshots failed",
                ),
            ),
            Unit.PER_MINUTE,
        ),
        Panel(
            "Sides that do not read",
            "Times a side fell behind, and sends that were given up.",
            (
                per_minute("voice_gateway_slow_sockets_total", by="to"),
                Query(f"sum(rate(voice_agent_slow_links_total[{RATE}])) * 60", "links"),
                Query(
                    f"(sum(rate(voice_gateway_send_timeouts_total[{RATE}])) or on() vector(0)) * 60"
                    f" + sum(rate(voice_agent_send_timeouts_total[{RATE}])) * 60",
                    "given up",
                ),
            ),
            Unit.PER_MINUTE,
            warn=1,
        ),
        Panel(
            "Frames waiting for a worker",
            "99th percentile, at the gateways; at 250 the oldest are dropped.",
            quantiles("voice_gateway_relay_queue_frames", of=(0.99,)),
            warn=25,
        ),
    ),
    (Variable("instance", "voice_agent_active_calls"),),
)
