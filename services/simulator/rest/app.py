"""Puts the REST side together."""

from __future__ import annotations

from random import Random

from fastapi import FastAPI

from services.simulator.calls.cloud import Cloud
from services.simulator.person.people import People
from services.simulator.rest.account import Account, AccountState
from services.simulator.rest.accounts import account, me
from services.simulator.rest.applications import applications
from services.simulator.rest.calls import add_error_shapes, calls
from services.simulator.rest.control import control
from services.simulator.rest.crowd import crowd
from services.simulator.rest.dial_log import DialLog
from services.simulator.rest.dialling import dialling
from services.simulator.rest.live_calls import legs
from services.simulator.rest.state import RestState
from services.simulator.rest.trouble import trouble
from services.simulator.settings import SimulatorSettings
from shared.metrics.server import ops_routes, service_registry


def create_app(cloud: Cloud, settings: SimulatorSettings) -> FastAPI:
    """Return the API of one account on a cloud; the cloud is entered and left by the caller."""
    state = AccountState(cps=settings.simulator_cps, concurrency=settings.simulator_concurrency)
    app = FastAPI(title="Simulated Vobiz cloud", redirect_slashes=False)
    rest = RestState(
        cloud=cloud,
        account=Account(settings.vobiz_auth_id, settings.token, state),
        people=People(
            cloud.speaker,
            say=[text.strip() for text in settings.simulator_say.split(";") if text.strip()],
            answer_after_s=settings.simulator_answer_after_s,
            max_call_s=settings.simulator_max_call_s,
        ),
        dialled=DialLog(cloud.clock.wall(), cloud.clock.now_s()),
        rng=Random(),
    )
    app.state.simulator = rest
    cloud.on_finished = rest.write_down
    for router in (dialling, calls, legs, account, applications, me, control, crowd, trouble):
        app.include_router(router)
    app.router.routes.extend(ops_routes(service_registry(), _always_ready))
    add_error_shapes(app)
    return app


async def _always_ready() -> dict[str, str]:
    """Nothing else has to be up for the cloud to be."""
    return {"cloud": "ok"}
