"""The API put together: one line a router, from what a process has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from services.dialer.access.account import AccountLook, account_routes
from services.dialer.access.audit import AuditTrail
from services.dialer.access.keys import KeyRing
from services.dialer.access.rate import RedisRate
from services.dialer.access.routes import access_routes
from services.dialer.app import create_app
from services.dialer.calls.actions import CallActions, Steering
from services.dialer.calls.dialer import Dialer
from services.dialer.calls.events import EventStreams, StreamBounds
from services.dialer.calls.idempotency import Idempotency
from services.dialer.calls.live_routes import action_routes, event_routes
from services.dialer.calls.placing import Placing
from services.dialer.calls.routes import call_routes
from services.dialer.campaigns.intake import Intake
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.requests import CampaignRequests
from services.dialer.campaigns.routes import campaign_routes
from services.dialer.desk.desk import Desk
from services.dialer.desk.door import Door
from services.dialer.numbers.do_not_call import DoNotCallList
from services.dialer.numbers.routes import number_routes
from services.dialer.settings import DialerSettings
from shared.bus.redis.bus import RedisBus
from shared.metrics.catalogue import DialerMetrics

_PLACING_SLACK_S = 20.0
"""Of an order beside the request to Vobiz: waiting for its turn, writing it down."""

_FILLING_S = 120.0
"""Of a list that has been read: adding its rows to a campaign."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API stands on: all of it, so that every application has the same routes.

    `draining` is set when the process stops.
    """

    settings: DialerSettings
    bus: RedisBus
    control: Steering
    dialer: Dialer
    metrics: DialerMetrics
    registry: CollectorRegistry
    draining: asyncio.Event
    account: AccountLook


def assemble(parts: Parts) -> FastAPI:
    """Return the application with all its routers."""
    settings, bus, dialer = parts.settings, parts.bus, parts.dialer
    keys = KeyRing(bus.store, rate_per_minute=settings.dialer_rate_per_minute)
    trail = AuditTrail(bus.store)
    desk = Desk(
        Door(settings.root_key, keys, RedisRate(bus.store)),
        settings.body_bounds,
        settings.dialer_list_max,
        parts.draining.is_set,
    )
    lease_s = settings.dialer_vobiz_timeout_s + settings.dialer_pace_wait_s + _PLACING_SLACK_S
    placing = Placing(dialer, Idempotency(bus.store, lease_s=lease_s))
    actions = CallActions(parts.control, bus, parts.metrics, settings.gateway)
    bounds = StreamBounds(settings.dialer_followers_max, longest_s=settings.dialer_stream_s)
    streams = EventStreams(bus, bounds, parts.draining)
    routers = (
        call_routes(dialer, placing, settings.order_rules, desk),
        action_routes(actions, settings.dialer_number_check, desk),
        event_routes(dialer, streams, desk),
        access_routes(keys, trail, desk),
        account_routes(parts.account, desk),
        *_list_routes(settings, bus, desk),
    )
    return create_app(routers, bus, parts.registry, audit=trail, is_draining=parts.draining.is_set)


def _list_routes(
    settings: DialerSettings, bus: RedisBus, desk: Desk
) -> tuple[APIRouter, APIRouter]:
    """Return the routes of campaigns and of the do-not-call list."""
    ledger, rules = Ledger(bus.store, rows_max=settings.dialer_rows_max), settings.campaign_rules
    keys = Idempotency(bus.store, lease_s=_FILLING_S)
    intake = Intake(ledger, bus.store, rows_max=settings.dialer_rows_max)
    return (
        campaign_routes(CampaignRequests(ledger, intake, rules, keys), ledger, desk),
        number_routes(DoNotCallList(bus.store), desk, rules.upload),
    )
