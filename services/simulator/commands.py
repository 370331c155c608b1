"""What the three commands do."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import httpx
import structlog

from services.simulator.asked import person_of, plan_of, platform_of
from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.wheel import SimulatedClock
from services.simulator.load import load_lines, load_report, play_load, write_load
from services.simulator.person.caller import CallerScript
from services.simulator.person.script import build_script
from services.simulator.results.call_report import build_report
from services.simulator.results.outputs import CallFiles, human_lines, write_files
from services.simulator.results.platform_record import fetch_record
from services.simulator.settings import SimulatorSettings
from shared.runtime.lifecycle import Lifecycle

_log = structlog.get_logger(__name__)
CALLS_FOLDER = Path(".parley/calls")


async def run_call(options: argparse.Namespace, settings: SimulatorSettings) -> int:
    """Place one call, write its files, print its report; 0 when it was a good one, else 1."""
    async with Cloud(SimulatedClock(settings.simulator_speed)) as cloud:
        script = await prepared_script(options, cloud)
        auth_id, token = account(options, settings)
        plan = plan_of(options, script, auth_id=auth_id, token=token)
        call = cloud.start(plan)
        await call.over.wait()
        report = await finished_report(call, cloud, options)
    folder = options.out or CALLS_FOLDER / call.call_uuid
    files = await write_files(call, report, folder, has_picture=not options.no_picture)
    _print_call(report, files, as_json=options.json)
    return 0 if report["ok"] else 1


async def prepared_script(options: argparse.Namespace, cloud: Cloud) -> CallerScript:
    """Return what the person does, all audio ready.

    Raises:
        BadScript: a recording can't be read.
        SpeechError: there is a text to say and no engine.
    """
    person = person_of(options)
    return await build_script(
        person.turns,
        cloud.speaker,
        barge_ins=person.barge_ins,
        pressed_at=person.pressed_at,
        level_dbfs=person.level_dbfs,
        limits=person.limits,
    )


async def finished_report(call: Call, cloud: Cloud, options: argparse.Namespace) -> dict[str, Any]:
    """Return a call's report with what the platform says of it."""
    record = None
    platform = platform_of(options)
    if platform is not None:
        async with httpx.AsyncClient(trust_env=False) as client:
            record = await fetch_record(client, platform, call.plan)
    return build_report(call, cloud.lag, record)


def account(options: argparse.Namespace, settings: SimulatorSettings) -> tuple[str, str]:
    """Return whose calls these are: Auth ID and token."""
    return options.auth_id or settings.vobiz_auth_id, options.auth_token or settings.token


def _print_call(report: dict[str, Any], files: CallFiles, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print("\n".join(human_lines(report, files)))


async def run_serve(options: argparse.Namespace, settings: SimulatorSettings) -> int:
    """Offer the REST API until told to stop; calls that are up are cut."""
    from services.simulator.rest.app import create_app  # calls need no web framework
    from services.simulator.rest.server import serve_cloud

    lifecycle = Lifecycle()
    lifecycle.install_signals()
    host = options.host or settings.simulator_host
    port = settings.simulator_port if options.port is None else options.port
    async with Cloud(SimulatedClock(settings.simulator_speed)) as cloud:
        app = create_app(cloud, settings)
        async with serve_cloud(app, host=host, port=port) as bound:
            _log.info("simulator_ready", url=f"http://{host}:{bound}/api/v1")
            await lifecycle.draining.wait()
            _log.info("simulator_stopping", calls=len(cloud.live))
    return 0


async def run_load(options: argparse.Namespace, settings: SimulatorSettings) -> int:
    """Place many calls, print one report of all; 0 when every one was good, else 1."""
    async with Cloud(SimulatedClock(settings.simulator_speed)) as cloud:
        script = await prepared_script(options, cloud)
        auth_id, token = account(options, settings)
        plans = [
            plan_of(options, script, auth_id=auth_id, token=token, index=index)
            for index in range(options.calls)
        ]
        calls = await play_load(cloud, plans, over_s=options.over)
        aggregate = load_report(calls, cloud.lag)
    folder = options.out or CALLS_FOLDER / f"load-{calls[0].call_uuid[:8]}"
    await write_load(calls, aggregate, folder, keep=options.keep)
    if options.json:
        print(json.dumps(aggregate, indent=2, ensure_ascii=False))
    else:
        print("\n".join([*load_lines(aggregate), f"  report: {folder / 'report.json'}"]))
    return 0 if not aggregate["failed"] else 1
