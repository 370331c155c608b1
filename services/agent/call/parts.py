"""What every call of a worker shares, whoever its agent is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from services.agent.after_call.archive import Archive
from services.agent.recording.recorder import Recordings
from services.agent.turn.vad import SpeechDetector
from services.agent.wire.network import Network
from services.agent.wire.scorer import FrameScorer
from shared.bus.base import LiveFeed, SessionStore
from shared.metrics.bounded import BoundedLabel
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.call import WorkerId
from shared.runtime.clock import Clock
from shared.runtime.tracing import NO_TRACER, Tracer


@dataclass(frozen=True, slots=True)
class Parts:
    """One worker's.

    `sessions` None: nobody else can go on with its calls. `live` None: nobody can watch them.
    `recordings` None: none are made. `agent_label` names agents for metrics.
    """

    worker_id: WorkerId
    scorer: FrameScorer
    make_detector: Callable[[], SpeechDetector]
    archive: Archive
    network: Network
    metrics: AgentMetrics
    clock: Clock
    lead_s: float = 0.3
    burst_s: float = 0.1
    piece_timeout_s: float = 75.0
    send_timeout_s: float = 5.0
    reattach_grace_s: float = 5.0
    sessions: SessionStore | None = None
    live: LiveFeed | None = None
    tracer: Tracer = NO_TRACER
    agent_label: BoundedLabel = field(default_factory=BoundedLabel)
    recordings: Recordings | None = None
