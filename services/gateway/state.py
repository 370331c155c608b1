"""What the routes need, built once in app.py and handed out by one dependency."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from services.gateway.access.nonces import NonceMemory
from services.gateway.access.seldom import Seldom
from services.gateway.access.webhook_auth import WebhookPolicy
from services.gateway.calls.answering import Answering
from services.gateway.calls.errands import Errands
from services.gateway.calls.held import HeldCalls
from services.gateway.calls.records import Records
from services.gateway.calls.routing import PublicAddress, base_of_host
from services.gateway.calls.switchboard import Switchboard
from services.gateway.console.browser_calls import BrowserCalls
from services.gateway.console.parts import ConsoleParts
from services.gateway.settings import GatewaySettings
from services.gateway.vobiz_recordings.pull import VobizRecordings
from services.gateway.wire.frame_socket import SocketLimits
from shared.metrics.catalogue import GatewayMetrics
from shared.recordings.archive import RecordingArchive
from shared.runtime.clock import Clock
from shared.runtime.tracing import NO_TRACER, Tracer


@dataclass(slots=True)
class GatewayState:
    """The parts of a running gateway.

    `public_base` is the URL under which Vobiz reaches it, None for a local gateway: then it is
    told by each request. It is set once, before the first request, when a tunnel gives it.
    `recordings` None: none are kept; `vobiz_recordings` None: Vobiz is asked for none.
    """

    settings: GatewaySettings
    policy: WebhookPolicy
    calls: HeldCalls
    answering: Answering
    switchboard: Switchboard
    browser_calls: BrowserCalls
    console: ConsoleParts
    errands: Errands
    records: Records
    nonces: NonceMemory
    metrics: GatewayMetrics
    clock: Clock
    caller_limits: SocketLimits
    public_base: str | None
    tracer: Tracer = NO_TRACER
    refusals: Seldom = field(default_factory=Seldom)
    recordings: RecordingArchive | None = None
    vobiz_recordings: VobizRecordings | None = None

    def address(self, host: str) -> PublicAddress | None:
        """Return how Vobiz reaches us; a local gateway goes by the Host header of a request.

        None when that header can't be one.
        """
        base = self.public_base or base_of_host(host)
        return PublicAddress(base, self.settings.path_secret) if base is not None else None


def gateway_state(connection: HTTPConnection) -> GatewayState:
    """Return the application's state; a FastAPI dependency."""
    state: GatewayState = connection.app.state.gateway
    return state
