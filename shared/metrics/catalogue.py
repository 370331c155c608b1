"""Every metric of the platform, declared once.

Names are `voice_<service>_<what>` and end in their unit; the help says from which moment to which.
Labels come from closed sets, never from ids, numbers or peers. A service builds its own class on
the registry it serves; tests build one on a fresh registry and read values back.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.metrics.frames import FrameCounter, FrameHistogram
from shared.vobiz.errors import Verdict

FRAME_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0)
"""For what happens each 20 ms: jitter, lateness, relay delay."""
REACTION_BUCKETS_S = (0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 1.0, 2.0)
"""For what a caller waits for without noticing: barge-in, first audio."""
TURN_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""For what a caller waits for and notices: an answer, a provider."""
CALL_BUCKETS_S = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
"""For whole calls."""
REQUEST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""For requests between the parts."""


def _from_nought(counter: Counter, *labels: tuple[str, ...]) -> None:
    """Show a counter at 0 from the start: to Prometheus what begins at 1 has not grown."""
    for values in labels:
        counter.labels(*values)


class BusMetrics:
    """The store behind the bus, as one service sees it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.latency = Histogram(
            "voice_bus_command_seconds",
            "From sending a command to Redis until its answer, or its failure.",
            ["operation"],
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self.errors = Counter(
            "voice_bus_errors_total",
            "Commands to Redis that failed or ran out of time.",
            ["operation"],
            registry=registry,
        )
        self.reconnects = Counter(
            "voice_bus_subscription_reconnects_total",
            "Subscriptions that lost Redis and began again from their last event.",
            registry=registry,
        )


class DeferredMetrics:
    """Changes of calls' records that one service could not write at once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge(
            "voice_bus_waiting_changes",
            "Changes of calls' records that wait in memory for the bus.",
            registry=registry,
        )
        self.writes = Counter(
            "voice_bus_deferred_changes_total",
            "Changes of calls' records that the bus did not take at once: kept, then written; "
            "refused (no room), unwritable, lost (not written when the process ended).",
            ["outcome"],
            registry=registry,
        )
        _from_nought(self.writes, ("refused",), ("unwritable",), ("lost",))


class RuntimeMetrics:
    """The process itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.loop_lag = Histogram(
            "voice_runtime_loop_lag_seconds",
            "From when a timer of the event loop was due until it ran; sampled ten times a second.",
            buckets=FRAME_BUCKETS_S,
            registry=registry,
        )
        self.tasks = Gauge(
            "voice_runtime_tasks",
            "Tasks of the event loop: more with each call, and as many as before when it is over.",
            registry=registry,
        )
        self.task_failures = Counter(
            "voice_runtime_task_failures_total",
            "Owned tasks that ended by an exception nobody expected: each is a bug.",
            ["owner"],
            registry=registry,
        )

    def failures_of(self, owner: str) -> Callable[[str, BaseException], None]:
        """Return what counts the failures of one TaskOwner's tasks."""
        count = self.task_failures.labels(owner).inc
        return lambda _name, _error: count()


class TracingMetrics:
    """Spans on their way to a collector; nothing where none is set."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.spans = Counter(
            "voice_runtime_spans_total",
            "Spans of traced calls: exported, dropped (too many waited), failed (the collector did "
            "not take them).",
            ["outcome"],
            registry=registry,
        )


class GatewayMetrics:
    """The gateway."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answers = Counter(
            "voice_gateway_answers_total",
            "Answer webhooks by what they were given: stream, busy, waiting, repeated, ended, "
            "hangup, draining.",
            ["outcome"],
            registry=registry,
        )
        _from_nought(self.answers, ("busy",), ("waiting",))
        self.answer_seconds = Histogram(
            "voice_gateway_answer_seconds",
            "From the arrival of an answer webhook until its XML was made.",
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self.webhooks = Counter(
            "voice_gateway_webhooks_total",
            "Webhooks by event and by what authentication said of them.",
            ["event", "verdict"],
            registry=registry,
        )
        self.active_calls = Gauge(
            "voice_gateway_active_calls",
            "Callers' media sockets that are open.",
            registry=registry,
        )
        self.media_sockets = Counter(
            "voice_gateway_media_sockets_total",
            "Media sockets asked for, by outcome: opened, reconnected, refused.",
            ["outcome"],
            registry=registry,
        )
        self.token_refusals = Counter(
            "voice_gateway_token_refusals_total",
            "Media sockets refused before the upgrade, by reason.",
            ["reason"],
            registry=registry,
        )
        self.refused_requests = Counter(
            "voice_gateway_refused_requests_total",
            "HTTP requests refused, by reason: too_large, headers_too_large, unauthorized.",
            ["reason"],
            registry=registry,
        )
        self.relayed_frames = Counter(
            "voice_gateway_relayed_frames_total",
            "Text frames passed on, by the side they went to: worker, caller; told by fifties.",
            ["to"],
            registry=registry,
        )
        self.dropped_frames = Counter(
            "voice_gateway_dropped_frames_total",
            "Frames not passed on, by reason.",
            ["reason"],
            registry=registry,
        )
        self.relay_queue = Histogram(
            "voice_gateway_relay_queue_frames",
            "Frames that wait for a worker's socket, looked at with each fiftieth given to it.",
            buckets=(0, 1, 2, 5, 10, 25, 50, 100, 250),
            registry=registry,
        )
        self.send_timeouts = Counter(
            "voice_gateway_send_timeouts_total",
            "Sends that did not end in time, by the side they were for; the socket is closed.",
            ["to"],
            registry=registry,
        )
        self.slow_sockets = Counter(
            "voice_gateway_slow_sockets_total",
            "Times a side fell behind in reading what it was sent, by side: worker, caller; the "
            "other one waits meanwhile.",
            ["to"],
            registry=registry,
        )
        self.worker_refusals = Counter(
            "voice_gateway_worker_refusals_total",
            "Workers that did not take a call they were booked for, by reason.",
            ["reason"],
            registry=registry,
        )
        self.reattachments = Counter(
            "voice_gateway_reattachments_total",
            "Calls in conversation whose worker was gone, by cause (broken, silent, handover) and "
            "outcome: attached, no_worker, second_loss, ended (while one was looked for).",
            ["cause", "outcome"],
            registry=registry,
        )
        outcomes = ("attached", "no_worker", "second_loss")
        _from_nought(self.reattachments, *((c, o) for c in ("broken", "silent") for o in outcomes))
        self.reattach_seconds = Histogram(
            "voice_gateway_reattach_seconds",
            "From when a worker's loss was noticed until another worker's link was open.",
            buckets=TURN_BUCKETS_S,
            registry=registry,
        )
        self.resume_gap = Histogram(
            "voice_gateway_resume_gap_seconds",
            "From when a lost worker was last heard until another worker's link was open; the "
            "caller still hears the 0.2 to 0.4 s of speech that were sent ahead.",
            buckets=TURN_BUCKETS_S,
            registry=registry,
        )
        self.replayed_frames = Counter(
            "voice_gateway_replayed_frames_total",
            "Callers' frames that another worker was given again.",
            registry=registry,
        )
        self.waiting_line = Counter(
            "voice_gateway_waiting_line_total",
            "Calls that found no worker, by what became of them: joined (the line), served, gone "
            "(hung up), too_long, full; the last two heard the busy words.",
            ["turn"],
            registry=registry,
        )
        self.waiting_calls = Gauge(
            "voice_gateway_waiting_calls",
            "Calls that hear hold words until a worker has room.",
            registry=registry,
        )
        self.reservations = Counter(
            "voice_gateway_reservations_total",
            "Places on workers asked for, by who answered: bus, memory (the pool as last known).",
            ["source"],
            registry=registry,
        )
        self.pool_age = Gauge(
            "voice_gateway_pool_age_seconds",
            "Since the gateway last saw the pool on the bus.",
            registry=registry,
        )
        self.pool_workers = Gauge(
            "voice_gateway_pool_workers",
            "Workers of the pool as the gateway last saw it, by state: open (takes calls), full, "
            "draining.",
            ["state"],
            registry=registry,
        )
        self.ended_calls = Counter(
            "voice_gateway_ended_calls_total",
            "Calls whose end was written down at once, each once for all gateways, by direction, "
            "end class and reason; those that end while Redis is away are missing.",
            ["direction", "end_class", "end_reason"],
            registry=registry,
        )
        self.errands = Counter(
            "voice_gateway_errands_total",
            "Errands of agents that left the stream, by kind (transfer, gather, unknown) and "
            "outcome: begun, gathered, handed_over, not_handed_over.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.vobiz_recordings = Counter(
            "voice_gateway_vobiz_recordings_total",
            "Vobiz's own recordings that a RecordStop told of, by outcome: kept, repeated (fetched "
            "already), removed (the call's recording was, meanwhile), failed, refused (a URL or an "
            "address that is not asked), too_large, full (told to come again).",
            ["outcome"],
            registry=registry,
        )
        fates = ("kept", "repeated", "removed", "failed", "refused", "too_large", "full")
        _from_nought(self.vobiz_recordings, *((fate,) for fate in fates))


class AgentMetrics:
    """An agent worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.active_calls = Gauge(
            "voice_agent_active_calls", "Calls this worker holds.", registry=registry
        )
        self.capacity = Gauge(
            "voice_agent_capacity_calls", "Calls this worker would hold.", registry=registry
        )
        self.open_capacity = Gauge(
            "voice_agent_open_capacity_calls",
            "Calls this worker takes at the moment: its capacity, or fewer while frames are late.",
            registry=registry,
        )
        self.calls_in_state = Gauge(
            "voice_agent_calls_in_state",
            "Calls this worker holds, by agent, direction and what the conversation is doing "
            "(the states of turn/states.py, and arriving: on its way from another worker); "
            "counted once a second.",
            ["agent", "direction", "state"],
            registry=registry,
        )
        self.is_draining = Gauge(
            "voice_agent_draining",
            "1 while this worker takes no new calls, for good or as an operator said, else 0.",
            registry=registry,
        )
        self.calls = Counter(
            "voice_agent_calls_total",
            "Calls that ended here, by agent, direction, end class and reason.",
            ["agent", "direction", "end_class", "end_reason"],
            registry=registry,
        )
        self.call_seconds = Histogram(
            "voice_agent_call_seconds",
            "From a call's first media until its end.",
            buckets=CALL_BUCKETS_S,
            registry=registry,
        )
        self.refusals = Counter(
            "voice_agent_refusals_total",
            "Links refused before the upgrade, by reason: full, draining, unauthorized, malformed.",
            ["reason"],
            registry=registry,
        )
        self.frame_jitter = FrameHistogram(
            "voice_agent_frame_jitter_seconds",
            "Interarrival jitter of the caller's frames (RFC 3550, 6.4.1), observed at each frame.",
            buckets=FRAME_BUCKETS_S,
            registry=registry,
        )
        self.frame_gaps = Counter(
            "voice_agent_frame_gaps_total",
            "Times the caller's frames skipped on their own timestamps by more than one frame.",
            registry=registry,
        )
        self.frames = FrameCounter(
            "voice_agent_frames_total",
            "Media frames, by direction: in (from the caller), out (to the caller).",
            "direction",
            ("in", "out"),
            registry=registry,
        )
        self.scoring_wait = FrameHistogram(
            "voice_agent_scoring_wait_seconds",
            "From when the first of the frames that are scored together arrived until all were "
            "scored and dealt with.",
            buckets=FRAME_BUCKETS_S,
            registry=registry,
        )
        self.messages = Counter(
            "voice_agent_messages_total",
            "Messages on the media socket by event; malformed, oversized, foreign and unknown are "
            "skipped.",
            ["event"],
            registry=registry,
        )
        self.pacing_lateness = FrameHistogram(
            "voice_agent_pacing_lateness_seconds",
            "From when a frame was due by the call's schedule until it was written.",
            buckets=FRAME_BUCKETS_S,
            registry=registry,
        )
        self.underruns = Counter(
            "voice_agent_underruns_total",
            "Times the caller's playback ran dry in the middle of an utterance, by our estimate.",
            registry=registry,
        )
        self.send_timeouts = Counter(
            "voice_agent_send_timeouts_total",
            "Writes to a call's socket that did not end in time; the call is given up.",
            registry=registry,
        )
        self.slow_links = Counter(
            "voice_agent_slow_links_total",
            "Times a gateway fell behind in reading what a call's link sent it.",
            registry=registry,
        )
        self.barge_in = Histogram(
            "voice_agent_barge_in_seconds",
            "From the onset of the caller's speech over the agent until clearAudio was written.",
            buckets=REACTION_BUCKETS_S,
            registry=registry,
        )
        self.clear_ack = Histogram(
            "voice_agent_clear_ack_seconds",
            "From clearAudio written until clearedAudio arrived.",
            buckets=REACTION_BUCKETS_S,
            registry=registry,
        )
        self.clear_timeouts = Counter(
            "voice_agent_clear_timeouts_total",
            "clearAudio that was never acknowledged; audio went on after the bound.",
            registry=registry,
        )
        self.interruptions = Counter(
            "voice_agent_interruptions_total",
            "Interruptions by outcome: committed (the caller took the turn), resumed (false: a "
            "cough, a word of assent; the agent went on where it was cut).",
            ["outcome"],
            registry=registry,
        )
        self.live_lost = Counter(
            "voice_agent_live_lost_total",
            "Things that could not be told to who watches a call in the console.",
            registry=registry,
        )
        self.first_audio = Histogram(
            "voice_agent_first_audio_seconds",
            "From the call's first media message until the first playAudio was written.",
            buckets=REACTION_BUCKETS_S,
            registry=registry,
        )
        self.turn = Histogram(
            "voice_agent_turn_seconds",
            "From the end of the caller's speech until the reply's first playAudio was written, "
            "by stage: endpointing, transcription, brain, synthesis, platform, total.",
            ["stage"],
            buckets=TURN_BUCKETS_S,
            registry=registry,
        )
        self.dead_air = Counter(
            "voice_agent_dead_air_total",
            "Times a caller heard nothing for 4 s although it was the agent's turn; looked at once "
            "a second.",
            registry=registry,
        )
        self.turns = Counter(
            "voice_agent_turns_total",
            "Turns of callers by what was made of them: understood, not_understood, silence, dtmf.",
            ["outcome"],
            registry=registry,
        )
        self.provider_errors = Counter(
            "voice_agent_providers_exhausted_total",
            "Times a call asked for something and no provider of its chain could give it, by kind: "
            "stt, brain, tts.",
            ["kind"],
            registry=registry,
        )
        _from_nought(self.provider_errors, ("stt",), ("brain",), ("tts",))
        self.fillers = Counter(
            "voice_agent_fillers_total",
            "Times something short was said because an answer was slow.",
            registry=registry,
        )
        self.apologies = Counter(
            "voice_agent_apologies_total",
            "Calls that heard the agent's apology because every provider of a kind had failed.",
            registry=registry,
        )
        self.speculations = Counter(
            "voice_agent_speculations_total",
            "Replies begun before the end of a turn was certain, by what became of them: used, "
            "dropped.",
            ["outcome"],
            registry=registry,
        )
        self.tools = Counter(
            "voice_agent_tool_calls_total",
            "Tools that agents used, by outcome: ok, failed, refused, timeout.",
            ["outcome"],
            registry=registry,
        )
        self.agent_files_refused = Counter(
            "voice_agent_files_refused_total",
            "Agents' files that were not taken over because something is wrong with them.",
            registry=registry,
        )
        self.resumed_calls = Counter(
            "voice_agent_resumed_calls_total",
            "Calls taken over from another worker, by outcome: restored, no_snapshot, refused.",
            ["outcome"],
            registry=registry,
        )
        self.resume_silence = Histogram(
            "voice_agent_resume_silence_seconds",
            "From when the link of a call that another worker had was opened until its first audio "
            "was written, where the agent had something to say; what was sent ahead is heard "
            "meanwhile.",
            buckets=TURN_BUCKETS_S,
            registry=registry,
        )
        self.snapshot_failures = Counter(
            "voice_agent_snapshot_failures_total",
            "Snapshots of calls that could not be written; the next one is tried soon after.",
            registry=registry,
        )
        self.handed_over = Counter(
            "voice_agent_handed_over_calls_total",
            "Calls left to another worker because this one had no time left to drain.",
            registry=registry,
        )
        self.unknown_agents = Counter(
            "voice_agent_unknown_agents_total",
            "Calls that asked for an agent that is not there and got another.",
            registry=registry,
        )
        self.dropped_audio = Counter(
            "voice_agent_dropped_audio_total",
            "Caller's frames a full queue dropped on the way to recognition.",
            registry=registry,
        )
        self.ended_by_bug = Counter(
            "voice_agent_sessions_crashed_total",
            "Calls lost to an exception in their session: each is a bug.",
            registry=registry,
        )


class AfterCallMetrics:
    """What an agent worker delivers after calls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "voice_agent_post_call_total",
            "Attempts to post an ended call to its agent's URL, by what became of it: delivered, "
            "retried, dead.",
            ["outcome"],
            registry=registry,
        )
        _from_nought(self.attempts, ("dead",))
        self.seconds = Histogram(
            "voice_agent_post_call_seconds",
            "From sending a post-call request until its answer or failure.",
            buckets=TURN_BUCKETS_S,
            registry=registry,
        )
        self.pending = Gauge(
            "voice_agent_post_call_pending",
            "Ended calls of the whole platform that wait for delivery, as this worker last saw.",
            registry=registry,
        )
        self.dropped = Counter(
            "voice_agent_post_call_dropped_total",
            "Ended calls that were never delivered because the outbox was full, or away for long.",
            registry=registry,
        )


class RecordingMetrics:
    """The recordings that an agent worker makes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.begun = Counter(
            "voice_agent_recordings_total",
            "Calls whose recording this worker began, or went on with after another worker.",
            registry=registry,
        )
        self.stopped = Counter(
            "voice_agent_recordings_stopped_total",
            "Recordings given up before the call's end, by reason: slow, no_space, failed (the "
            "store), queue_full, queue_slow (blocks that wait for it), bug.",
            ["reason"],
            registry=registry,
        )
        reasons = ("slow", "no_space", "failed", "queue_full", "queue_slow", "bug")
        _from_nought(self.stopped, *((reason,) for reason in reasons))
        self.completed = Counter(
            "voice_agent_recordings_completed_total",
            "Recordings put together after the call, by outcome: complete, empty, failed (a sweep "
            "tries again), late (by a sweep, for a worker that was lost).",
            ["outcome"],
            registry=registry,
        )
        outcomes = ("complete", "empty", "failed", "late")
        _from_nought(self.completed, *((outcome,) for outcome in outcomes))
        self.removed = Counter(
            "voice_agent_recordings_removed_total",
            "Recordings removed because they were kept long enough.",
            registry=registry,
        )
        self.blocks = Counter(
            "voice_agent_recording_blocks_total",
            "Blocks of recordings, about a second each, that the store took.",
            registry=registry,
        )
        self.bytes = Counter(
            "voice_agent_recording_written_bytes_total",
            "Bytes of these blocks.",
            registry=registry,
        )
        self.seconds = Histogram(
            "voice_agent_recording_block_seconds",
            "From handing a block to the store until it was kept.",
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self.queue = Gauge(
            "voice_agent_recording_queue_blocks",
            "Blocks that wait for the store.",
            registry=registry,
        )


class ProviderMetrics:
    """The providers of an agent worker, and what is kept of their speech.

    `kind` is stt, llm, tts, realtime or brain; `provider` is a name of the agents' files.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["kind", "provider"]
        self.seconds = Histogram(
            "voice_agent_provider_seconds",
            "From asking a provider until its first piece (stage first) and until its whole answer "
            "(total); stt: from the beginning of speech until the first words, and from the end of "
            "speech until the final text. Failures are not in it.",
            [*labels, "stage"],
            buckets=TURN_BUCKETS_S,
            registry=registry,
        )
        self.errors = Counter(
            "voice_agent_provider_errors_total",
            "Calls of a provider that failed, each try counted, by cause.",
            [*labels, "cause"],
            registry=registry,
        )
        self.retries = Counter(
            "voice_agent_provider_retries_total",
            "Times a provider was asked the same again.",
            labels,
            registry=registry,
        )
        self.fallbacks = Counter(
            "voice_agent_provider_fallbacks_total",
            "Times a provider was left for the next of its chain, because it had failed or its "
            "breaker was open; the label is the one that was left.",
            labels,
            registry=registry,
        )
        self.breaker_open = Gauge(
            "voice_agent_provider_breaker_open",
            "Circuit breakers of a provider that are open or try it out again; 0: it is used.",
            labels,
            registry=registry,
        )
        self.usage = Counter(
            "voice_agent_provider_usage_total",
            "What providers were used for, by unit: input_tokens, cached_tokens, output_tokens, "
            "characters, audio_seconds.",
            [*labels, "unit"],
            registry=registry,
        )
        self.speech_cache = Counter(
            "voice_agent_speech_cache_total",
            "Sentences to be spoken by where their audio came from: pinned, memory, redis, joined "
            "(being made for another call), miss.",
            ["result"],
            registry=registry,
        )
        self.speech_cache_bytes = Gauge(
            "voice_agent_speech_cache_bytes",
            "Finished speech that this worker keeps in memory.",
            registry=registry,
        )
        self.speech_not_shared = Counter(
            "voice_agent_speech_not_shared_total",
            "Sentences that were to be shared with other workers and were not, by reason: busy, "
            "away, too_large.",
            ["reason"],
            registry=registry,
        )


class DialerMetrics:
    """The dialer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "voice_dialer_calls_total",
            "Calls asked for by API clients, by Vobiz's verdict.",
            ["verdict"],
            registry=registry,
        )
        _from_nought(self.requests, *((verdict.value,) for verdict in Verdict))
        self.vobiz_seconds = Histogram(
            "voice_dialer_vobiz_seconds",
            "From sending a request to Vobiz until its answer or failure, by operation.",
            ["operation"],
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self.active_calls = Gauge(
            "voice_dialer_active_calls",
            "Outbound calls that are queued, ringing or in progress, as far as this dialer knows.",
            registry=registry,
        )
        self.ended = Counter(
            "voice_dialer_ended_total",
            "Outbound calls that ended, by end class and reason.",
            ["end_class", "end_reason"],
            registry=registry,
        )
        self.under_way = Gauge(
            "voice_dialer_orders_under_way",
            "Orders that are being placed: written down, and Vobiz has not answered yet.",
            registry=registry,
        )
        self.oldest_queued = Gauge(
            "voice_dialer_oldest_queued_seconds",
            "Since the oldest outbound call was queued of which nothing was heard yet; 0 when "
            "there is none; looked at every half minute.",
            registry=registry,
        )
        self.swept = Counter(
            "voice_dialer_swept_calls_total",
            "Outbound calls that were ended here because nothing was heard of them for too long.",
            registry=registry,
        )
        self.balance = Gauge(
            "voice_dialer_account_balance",
            "What the Vobiz account can still spend, in its currency; not a number where that is "
            "not known.",
            registry=registry,
        )
        self.low_balance = Gauge(
            "voice_dialer_account_low_balance",
            "The balance below which the Vobiz account says it is low; not a number where that is "
            "not known.",
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "voice_dialer_certificate_expiry_timestamp_seconds",
            "When the certificate at the gateway's public URL ends, in Unix time; 0 when it is not "
            "to be trusted, not a number where there is none or nobody could look.",
            registry=registry,
        )
        self.look_failures = Counter(
            "voice_dialer_look_failures_total",
            "Looks at what calls depend on that failed, by subject: balance, certificate.",
            ["subject"],
            registry=registry,
        )
        self.campaign_calls = Counter(
            "voice_dialer_campaign_calls_total",
            "Tries of campaigns' rows that are over, by outcome; counted where they were settled.",
            ["outcome"],
            registry=registry,
        )
        self.grants = Counter(
            "voice_dialer_grants_total",
            "Answers to calls that asked whether they may be dialled: go, stopped, lost, "
            "do_not_call, or what they wait for: held, rate, channels, campaign_rate, "
            "campaign_channels, no_agent.",
            ["answer"],
            registry=registry,
        )
        self.late_sends = Counter(
            "voice_dialer_late_sends_total",
            "Calls that went out more than half of DIALER_PACE_MARGIN_S after they were granted, "
            "because the process stood still; they count from when they went out.",
            registry=registry,
        )
        self.campaigns = Gauge(
            "voice_dialer_campaigns",
            "Campaigns that are running, paused or cancelled with calls still up, by state; every "
            "dialer shows all of them.",
            ["state"],
            registry=registry,
        )
        self.rows = Gauge(
            "voice_dialer_rows",
            "Rows of these campaigns, by where they stand: waiting, leased, open; every dialer "
            "shows all of them.",
            ["state"],
            registry=registry,
        )
        self.reconciled = Counter(
            "voice_dialer_reconciled_total",
            "Looks at calls of which nothing was heard for long, by result: ended (their record "
            "had it), live, found (Vobiz knew the call), not_dialled, lost, unanswered (Vobiz did "
            "not say).",
            ["result"],
            registry=registry,
        )
        self.leases_lapsed = Counter(
            "voice_dialer_leases_lapsed_total",
            "Rows that a dialer had taken and not dialled in time: it died, or was held up.",
            registry=registry,
        )
