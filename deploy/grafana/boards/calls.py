"""PURE. Who calls, what the calls are doing, and how they end."""

from __future__ import annotations

from deploy.grafana.board import RATE, Board, Panel, Query, Unit, Variable, per_minute, quantiles

_AGENT = 'agent=~"$agent"'

CALLS = Board(
    "calls",
    "Parley: calls",
    "Who calls, what the calls are doing, and how they end.",
    (
        Panel(
            "Calls by what they are doing",
            "Thinking for long is a slow provider; holding is a machine's greeting.",
            (
                Query(
                    f"sum by (state) (voice_agent_calls_in_state{{{_AGENT}}}) > 0 or on() vector(0)"
                ),
            ),
            is_stacked=True,
        ),
        Panel(
            "Calls by agent and direction",
            "Agents beyond the first forty are `other`.",
            (
                Query(
                    f"sum by (agent, direction) (voice_agent_calls_in_state{{{_AGENT}}})",
                    "{{agent}} {{direction}}",
                ),
            ),
            is_stacked=True,
        ),
        Panel(
            "What answer webhooks were given",
            "`busy` callers found no worker, `waiting` ones hear hold words.",
            (per_minute("voice_gateway_answers_total", by="outcome"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Ends by class",
            "`platform` is our fault, `provider` a vendor's.",
            (per_minute("voice_agent_calls_total", by="end_class", where=_AGENT),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Ends by reason",
            "As hang-up webhooks told them, each call once.",
            (per_minute("voice_gateway_ended_calls_total", by="end_reason"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "How long calls last",
            "From a call's first audio until its end.",
            quantiles("voice_agent_call_seconds"),
            Unit.SECONDS,
        ),
        Panel(
            "Turns",
            "Many that are not understood: the line, the recogniser, or what agents listen for.",
            (per_minute("voice_agent_turns_total", by="outcome"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Interruptions",
            "`resumed` ones were false: a cough, an mm-hm. Many of them: echo, or a noisy line.",
            (per_minute("voice_agent_interruptions_total", by="outcome"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Tools",
            "What agents did for callers, by outcome.",
            (per_minute("voice_agent_tool_calls_total", by="outcome"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Callers that wait for a worker",
            "Those who hear hold words now.",
            (Query("sum(voice_gateway_waiting_calls)", "waiting"),),
            warn=1,
        ),
        Panel(
            "Webhooks by verdict",
            "`forged`, `wrong_path` and `replayed` are strangers, or a wrong setting.",
            (per_minute("voice_gateway_webhooks_total", by="verdict"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Transcripts posted",
            "Attempts by what became of them; `dead` ones are given up.",
            (
                per_minute("voice_agent_post_call_total", by="outcome"),
                Query("max(voice_agent_post_call_pending)", "waiting"),
            ),
            Unit.NUMBER,
        ),
        Panel(
            "Media sockets",
            "`reconnected` callers had lost theirs; `refused` ones had no valid token.",
            (per_minute("voice_gateway_media_sockets_total", by="outcome"),),
            Unit.PER_MINUTE,
            is_stacked=True,
        ),
        Panel(
            "Frames a second",
            "50 a second for each call towards workers; gaps are frames the line has lost.",
            (
                Query(f"sum by (direction) (rate(voice_agent_frames_total[{RATE}]))"),
                Query(f"sum(rate(voice_agent_frame_gaps_total[{RATE}]))", "gaps"),
            ),
            Unit.PER_SECOND,
        ),
        Panel(
            "Frames not passed on",
            "By reason; `queue_full` is a worker that did not read, `flood` a caller that sent"
            " too much.",
            (per_minute("voice_gateway_dropped_frames_total", by="reason"),),
            Unit.PER_MINUTE,
        ),
    ),
    (Variable("agent", "voice_agent_calls_in_state"),),
)
