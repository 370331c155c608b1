"""PURE. Where the time goes between the caller's last word and the agent's first."""

from __future__ import annotations

from deploy.grafana.board import RATE, Board, Panel, Query, Unit, per_minute, quantiles

_PROVIDER = "kind, provider"
_FIRST = 'stage="first"'

TURNS = Board(
    "turns",
    "Parley: turn latency",
    "Where the time goes between the caller's last word and the agent's first.",
    (
        Panel(
            "Answer to a turn",
            "From the end of the caller's speech until the answer is written.",
            quantiles("voice_agent_turn_seconds", where='stage="total"', of=(0.5, 0.95, 0.99)),
            Unit.SECONDS,
            warn=1.5,
            bad=2.5,
            width=12,
        ),
        Panel(
            "Its stages, on average",
            "What the answer waited for; the sum is the whole. `platform` is ours alone.",
            (
                Query(
                    "sum by (stage) (rate(voice_agent_turn_seconds_sum"
                    f'{{stage!="total"}}[{RATE}]))'
                    " / sum by (stage) (rate(voice_agent_turn_seconds_count"
                    f'{{stage!="total"}}[{RATE}]))'
                ),
            ),
            Unit.SECONDS,
            is_stacked=True,
            width=12,
        ),
        Panel(
            "Stages at their worst",
            "95th percentile of each stage.",
            quantiles("voice_agent_turn_seconds", by="stage", of=(0.95,)),
            Unit.SECONDS,
        ),
        Panel(
            "Providers until their first piece",
            "95th percentile; failures are not in it.",
            (
                Query(
                    f"histogram_quantile(0.95, sum by (le, {_PROVIDER})"
                    f" (rate(voice_agent_provider_seconds_bucket{{{_FIRST}}}[{RATE}])))",
                    "{{kind}} {{provider}}",
                ),
            ),
            Unit.SECONDS,
            warn=1,
        ),
        Panel(
            "Answers begun early",
            "`used` ones saved the caller some waiting; `dropped` ones cost money.",
            (per_minute("voice_agent_speculations_total", by="outcome"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Providers that fail",
            "Calls of a provider that failed, by cause, a minute.",
            (per_minute("voice_agent_provider_errors_total", by="provider, cause"),),
            Unit.PER_MINUTE,
            warn=1,
        ),
        Panel(
            "Retries, and steps to the next provider",
            "The label is the provider that was left.",
            (
                per_minute("voice_agent_provider_retries_total"),
                per_minute("voice_agent_provider_fallbacks_total", by=_PROVIDER),
            ),
            Unit.PER_MINUTE,
        ),
        Panel(
            "Providers left alone",
            "Breakers that are open, over all workers; calls for which none was left, a minute.",
            (
                Query(
                    f"sum by ({_PROVIDER}) (voice_agent_provider_breaker_open) or on() vector(0)"
                ),
                per_minute("voice_agent_providers_exhausted_total", by="kind"),
            ),
            warn=1,
        ),
        Panel(
            "What providers were used for",
            "Tokens, characters and seconds of audio a minute: what is paid for.",
            (per_minute("voice_agent_provider_usage_total", by="provider, unit"),),
            Unit.PER_MINUTE,
        ),
        Panel(
            "Where sentences came from",
            "`miss` ones were made while the caller waited.",
            (per_minute("voice_agent_speech_cache_total", by="result"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Fillers and apologies",
            "Something said because an answer was slow; callers who heard that nothing works.",
            (
                Query(f"sum(rate(voice_agent_fillers_total[{RATE}])) * 60", "fillers"),
                Query(f"sum(rate(voice_agent_apologies_total[{RATE}])) * 60", "apologies"),
            ),
            Unit.PER_MINUTE,
        ),
    ),
)
