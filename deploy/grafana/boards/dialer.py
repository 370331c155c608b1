"""PURE. Do outbound calls go out, and does the account carry them?"""

from __future__ import annotations

from deploy.grafana.board import Board, Panel, Query, Unit, per_minute, quantiles

DIALER = Board(
    "dialer",
    "Parley: dialer",
    "Do outbound calls go out, and does the account carry them?",
    (
        Panel(
            "Outbound calls",
            "Queued, ringing or talking; and orders that Vobiz has not answered yet.",
            (
                Query("max(voice_dialer_active_calls)", "calls"),
                Query("sum(voice_dialer_orders_under_way)", "being placed"),
            ),
        ),
        Panel(
            "What Vobiz said to our calls",
            "All but `accepted` were not dialled, or perhaps.",
            (per_minute("voice_dialer_calls_total", by="verdict"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "How outbound calls ended",
            "By reason.",
            (per_minute("voice_dialer_ended_total", by="end_reason"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Vobiz' answers",
            "From a request until its answer or failure, 95th percentile.",
            quantiles("voice_dialer_vobiz_seconds", by="operation", of=(0.95,)),
            Unit.SECONDS,
            warn=2,
            bad=10,
        ),
        Panel(
            "Oldest call without news",
            "Queued at Vobiz, and nothing was heard since. Long: webhooks don't reach the gateway.",
            (Query("max(voice_dialer_oldest_queued_seconds)", "oldest"),),
            Unit.SECONDS,
            warn=30,
            bad=60,
        ),
        Panel(
            "Calls closed without news",
            "Nothing was heard of them for too long.",
            (per_minute("voice_dialer_swept_calls_total"),),
            Unit.PER_MINUTE,
            warn=1,
        ),
        Panel(
            "Balance",
            "What the Vobiz account can spend, and what it calls low.",
            (
                Query("max(voice_dialer_account_balance)", "left"),
                Query("max(voice_dialer_account_low_balance)", "low"),
            ),
            width=12,
        ),
        Panel(
            "Certificate of the public URL",
            "How long it is still good; below 0 it is not trusted. Nothing without https.",
            (
                Query(
                    "min(voice_dialer_certificate_expiry_timestamp_seconds) - time()",
                    "left",
                ),
            ),
            Unit.SECONDS,
            warn=1_209_600,
            bad=86_400,
            is_low_bad=True,
            width=12,
        ),
    ),
)
