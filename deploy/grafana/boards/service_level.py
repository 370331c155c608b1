"""PURE. Are callers being served well? The first page to look at."""

from __future__ import annotations

from deploy.grafana.board import RATE, Board, Panel, Query, Unit, per_minute, quantiles

_ENDS = "voice_agent_calls_total"

SERVICE_LEVEL = Board(
    "service-level",
    "Parley: service level",
    "Are callers being served well?",
    (
        Panel(
            "Calls now",
            "Calls that workers hold.",
            (Query("sum(voice_agent_active_calls)"),),
            is_stat=True,
            width=4,
        ),
        Panel(
            "Room",
            "How many more calls workers take. At 0 the next caller hears the busy words or waits.",
            (Query("parley:room_calls"),),
            warn=10,
            bad=1,
            is_low_bad=True,
            is_stat=True,
            width=4,
        ),
        Panel(
            "Turned away",
            "Callers in the time shown that found no worker.",
            (Query('sum(increase(voice_gateway_answers_total{outcome="busy"}[$__range]))'),),
            bad=1,
            is_stat=True,
            width=4,
        ),
        Panel(
            "Answered within 1.5 s",
            "Share of callers' turns whose answer began within 1.5 s, in the time shown.",
            (
                Query(
                    "sum(increase(voice_agent_turn_seconds_bucket"
                    '{stage="total", le="1.5"}[$__range]))'
                    ' / sum(increase(voice_agent_turn_seconds_count{stage="total"}[$__range]))'
                ),
            ),
            Unit.SHARE,
            warn=0.95,
            bad=0.8,
            is_low_bad=True,
            is_stat=True,
            width=4,
        ),
        Panel(
            "Calls ended by a fault",
            "Share of calls that ended by a fault of the platform or of a provider.",
            (
                Query(
                    f'(sum(increase({_ENDS}{{end_class=~"platform|provider"}}[$__range]))'
                    f" or on() vector(0)) / sum(increase({_ENDS}[$__range]))"
                ),
            ),
            Unit.SHARE,
            warn=0.005,
            bad=0.02,
            is_stat=True,
            width=4,
        ),
        Panel(
            "Alerts",
            "Alerts that fire now. What each means: deploy/runbook.md.",
            (Query('count(ALERTS{alertstate="firing"}) or on() vector(0)'),),
            bad=1,
            is_stat=True,
            width=4,
        ),
        Panel(
            "Answer to a turn",
            "From the end of the caller's speech until the answer is heard.",
            quantiles("voice_agent_turn_seconds", where='stage="total"', of=(0.5, 0.95, 0.99)),
            Unit.SECONDS,
            warn=1.5,
            bad=2.5,
        ),
        Panel(
            "Barge-in",
            "From the caller's first sound over the agent until the agent is told to be silent.",
            quantiles("voice_agent_barge_in_seconds"),
            Unit.SECONDS,
            warn=0.25,
            bad=0.4,
        ),
        Panel(
            "First words",
            "From the open line until the greeting is written; and until the webhook was answered.",
            (
                *quantiles("voice_agent_first_audio_seconds"),
                Query(
                    "histogram_quantile(0.95, sum by (le)"
                    f" (rate(voice_gateway_answer_seconds_bucket[{RATE}])))",
                    "answer webhook p95",
                ),
            ),
            Unit.SECONDS,
            warn=0.3,
            bad=0.6,
        ),
        Panel(
            "Jitter of callers' audio",
            "RFC 3550, as frames reach the workers. Recognition suffers first.",
            quantiles("voice_agent_frame_jitter_seconds"),
            Unit.SECONDS,
            warn=0.02,
            bad=0.03,
        ),
        Panel(
            "Holes and dead air",
            "Playback that ran dry in mid-sentence, and silences of 4 s when it was the agent's"
            " turn, each a minute.",
            (
                Query(f"sum(rate(voice_agent_underruns_total[{RATE}])) * 60", "underruns"),
                Query(f"sum(rate(voice_agent_dead_air_total[{RATE}])) * 60", "dead air"),
            ),
            Unit.PER_MINUTE,
            warn=1,
        ),
        Panel(
            "Calls that lost their worker",
            "By what became of them; all but `attached` heard the apology or hung up.",
            (per_minute("voice_gateway_reattachments_total", by="cause, outcome"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
    ),
)
