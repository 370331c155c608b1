"""Dashboards and alerts on a real stack: every panel has data, every fault rings and is over.

Gateway, two workers, dialer, simulator and Redis run as processes, the vendors are stand-ins, and
a real Prometheus scrapes them. Long, so it is run by `make soak`.

ALERTS_QUICK=1 shortens what alerts wait and look back (see tests/support/prometheus.py), so that
those that wait for five minutes can be tried too; without it the rules are those that ship, and
only the alerts that must ring within two minutes are tried. What rang after how long is written to
.parley/alerts.json.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

from deploy.grafana.board import plain
from deploy.grafana.boards import BOARDS
from deploy.local.install import ROOT
from tests.support.ports import free_ports
from tests.support.processes import Crew, Process
from tests.support.prometheus import Prometheus, seconds_until, why_no_prometheus
from tests.support.redis_server import RedisServer
from tests.support.standins import ScriptedEar, World
from tests.support.vendor_platform import KEYS, Vendors, running_vendors

IS_QUICK = os.environ.get("ALERTS_QUICK", "1") == "1"
WITHIN_S = 120.0
CLEAR_S = 180.0 if IS_QUICK else 480.0
"""As they ship, rules look back on five minutes."""
CAPACITY = 5
CHAT, SPEECH = "/v1/chat/completions", "/v1/audio/speech"
TALK = ("--say", "Tell me about it please.") * 3
FIGURES = ROOT / ".parley" / "alerts.json"

pytestmark = [pytest.mark.soak, pytest.mark.containers, pytest.mark.timeout(900)]


def agent(hook: str, *, is_recorded: bool) -> str:
    """By the stand-ins alone, so that a fault of one has nothing to fall back on."""
    return yaml.safe_dump(
        {
            "recording": {"enabled": is_recorded},
            # Of each call's own, so that the voice is asked for it.
            "greeting": "Good day, this is the desk, call {call.id}. How can I help you today?",
            "prompt": "You are a desk.",
            "providers": {"stt": ["deepgram"], "llm": ["openai"], "tts": ["openai"]},
            "limits": {"first_s": 20.0, "tts_first_s": 6.0},
            "turn_taking": {"filler": {"texts": []}},
            "after_call": {"url": hook, "allow_private": True},
        }
    )


class Hook(BaseHTTPRequestHandler):
    """Takes transcripts, with whatever status the server has."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(getattr(self.server, "status", 200))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written."""


@contextmanager
def serving(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[ThreadingHTTPServer]:
    """A small HTTP server on loopback, with TLS where a context is given."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Hook)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Stage:
    """The stack, and what rang on it."""

    def __init__(
        self, folder: Path, vendors: Vendors, hook: ThreadingHTTPServer, **settings: str
    ) -> None:
        self.folder = folder
        self.vendors = vendors
        self.hook = hook
        (folder / "redis").mkdir()
        self.redis = RedisServer(folder / "redis")
        self.redis.start()
        self.crew = Crew(
            folder,
            self.redis.url,
            has_dialer=True,
            settings=KEYS
            | {
                "DEEPGRAM_BASE_URL": vendors.standins.http_url,
                "OPENAI_BASE_URL": vendors.standins.openai_base_url,
                "AGENT_CAPACITY": str(CAPACITY),
                "AGENT_LATENESS_BUDGET_S": "0.2",
                "DIALER_LOOK_EVERY_S": "2",
                "GATEWAY_WORKER_WAIT_S": "8",
                "FROM_NUMBER": "+918000000001",
                **{name: value.format(folder=folder) for name, value in settings.items()},
            },
        )
        url = f"http://127.0.0.1:{hook.server_address[1]}/hook"
        (folder / "agents" / "default.yaml").write_text(
            agent(url, is_recorded="RECORDINGS_URL" in settings)
        )
        self.crew.start()
        (folder / "prometheus").mkdir()
        crew = self.crew
        self.prometheus = Prometheus(
            folder / "prometheus",
            {
                "gateway": [place(process) for process in crew.gateways],
                "agent": [place(process) for process in crew.workers],
                "dialer": [crew.dialer_url.removeprefix("http://")],
            },
            is_quick=IS_QUICK,
        )
        self.prometheus.start()
        self._loads: list[subprocess.Popen[str]] = []

    def stop(self) -> None:
        for load in self._loads:
            if load.poll() is None:
                load.terminate()
                load.wait(10)
        self.prometheus.stop()
        self.crew.stop()
        self.redis.stop()

    def load(self, calls: int, over_s: float, *options: str) -> subprocess.Popen[str]:
        """Begin calls, each of twelve seconds unless the options say otherwise."""
        out = self.folder / f"load-{len(self._loads)}"
        if "--hangup-after" not in options:
            options = ("--hangup-after", "12", *options)
        self._loads.append(self.crew.load(out, calls, over_s, *options))
        return self._loads[-1]

    def talk(self, calls: int, over_s: float, *options: str) -> None:
        """Begin calls and wait until the agent has spoken to each for a while."""
        self.load(calls, over_s, *options)
        name = "voice_agent_active_calls"
        running = [worker for worker in self.crew.workers if worker.is_ready()]

        def are_all_here() -> bool:
            return sum(worker.metrics()[name] for worker in running) >= calls

        assert seconds_until(are_all_here, 30.0) is not None
        time.sleep(4)

    def one_that(self, state: str) -> Process:
        """Wait for a worker with two calls in a state."""
        found: list[Process] = []

        def is_there() -> bool:
            for worker in self.crew.workers:
                count = sum(
                    value
                    for name, value in worker.metrics().items()
                    if name.startswith("voice_agent_calls_in_state") and f'"{state}"' in name
                )
                if count >= 2:
                    found.append(worker)
            return bool(found)

        assert seconds_until(is_there, 30.0) is not None
        return found[0]

    def simulator(self, path: str, **body: Any) -> None:
        """Tell the simulated cloud something."""
        url = f"{self.crew.simulator_url}/simulator/{path}"
        httpx.post(url, json=body, timeout=5, trust_env=False).raise_for_status()

    def order(self) -> httpx.Response:
        """Have a call dialled."""
        body = {"to": "+918000000199"}
        url = f"{self.crew.dialer_url}/v1/calls"
        return httpx.post(url, json=body, timeout=25, trust_env=False)

    # --- what rings --------------------------------------------------------------------------

    def rings(self, *names: str, since_s: float | None = None) -> None:
        """Wait until every one of these alerts fires, and write down how long that took."""
        began_s = time.monotonic() if since_s is None else since_s
        missing = set(names)

        def all_ring() -> bool:
            for name in missing & self.prometheus.firing():
                note(name, "fired_after_s", time.monotonic() - began_s)
                missing.discard(name)
            return not missing

        seconds_until(all_ring, WITHIN_S - (time.monotonic() - began_s))
        assert missing == set(), f"{missing} did not fire; these did: {self.prometheus.firing()}"

    def is_over(self, *names: str) -> None:
        """Wait until none of these alerts fires."""
        began_s = time.monotonic()
        left = set(names)

        def all_quiet() -> bool:
            for name in left - self.prometheus.firing():
                note(name, "over_after_s", time.monotonic() - began_s)
                left.discard(name)
            return not left

        seconds_until(all_quiet, CLEAR_S)
        assert left == set(), f"{left} still fire"


def place(process: Process) -> str:
    return process.url.removeprefix("http://")


def note(alert: str, what: str, seconds: float) -> None:
    """Keep a figure for whoever reads the test's outcome."""
    FIGURES.parent.mkdir(exist_ok=True)
    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    rules = "quick" if IS_QUICK else "as shipped"
    kept.setdefault(rules, {}).setdefault(alert, {})[what] = round(seconds, 1)
    FIGURES.write_text(json.dumps(kept, indent=1, sort_keys=True))


quick_only = pytest.mark.skipif(not IS_QUICK, reason="waits longer than two minutes as it ships")


@pytest.fixture
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    reason = why_no_prometheus()
    if reason is not None:
        pytest.skip(reason)
    world = World(ear=ScriptedEar(otherwise="tell me about it please"))
    world.mouth.is_tone = True
    world.talker.rules = [("about", "It is a long story, and it goes like this. " * 3)]
    with running_vendors(world) as vendors, serving() as hook:
        stage = Stage(tmp_path, vendors, hook, **getattr(request, "param", {}))
        try:
            yield stage
        finally:
            stage.stop()


# --- the dashboards -----------------------------------------------------------------------------

# Only what a fault or an account brings has no figure: a histogram of things that did not happen.
MAY_BE_NAN = {
    "Balance": "only the real account has one",
    "Certificate of the public URL": "there is no https here",
}


def test_every_panel_has_data_and_none_an_error(stage: Stage) -> None:
    stage.load(15, 75.0, *TALK, "--barge-in-at", "turn,1.0,1.0")
    load = stage.load(12, 75.0, *TALK, "--hangup-after", "16")
    assert stage.order().status_code == 201
    time.sleep(20)
    speaking = stage.one_that("speaking")
    speaking.kill()
    assert stage.order().status_code == 201
    time.sleep(20)
    speaking.start()
    assert stage.order().status_code == 201
    time.sleep(35)
    queries = [
        (board.name, title, expression)
        for board in BOARDS
        for title, expression in board.expressions()
    ]
    empty, unknown = [], []
    for name, title, expression in queries:
        values = [
            float(one["value"][1]) for one in stage.prometheus.query(plain(expression, "90s"))
        ]
        if not values:
            empty.append((name, title, expression))
        elif all(map(math.isnan, values)) and title not in MAY_BE_NAN:
            unknown.append((name, title, expression))
    load.wait(60)
    assert (empty, unknown) == ([], [])


# --- the alerts ---------------------------------------------------------------------------------


def test_a_line_with_jitter_and_a_pool_that_is_full(stage: Stage) -> None:
    began_s = time.monotonic()
    stage.load(16, 8.0, *TALK * 4, "--line-jitter", "0.3", "--hangup-after", "100")
    stage.rings("ParleyJitter", "ParleyNoRoom", "ParleyCallersTurnedAway", since_s=began_s)
    stage.is_over("ParleyJitter", "ParleyNoRoom", "ParleyCallersTurnedAway")


def test_a_worker_that_is_killed_and_then_the_last_one(stage: Stage) -> None:
    stage.talk(4, 2.0, *TALK, "--hangup-after", "90")
    name = "voice_agent_active_calls"
    last, first = sorted(stage.crew.workers, key=lambda worker: worker.metrics()[name])
    began_s = time.monotonic()
    first.kill()
    stage.rings("ParleyWorkerLost", "ParleyDown", since_s=began_s)
    began_s = time.monotonic()
    last.kill()
    stage.rings("ParleyCallsLost", "ParleyNoWorkers", since_s=began_s)
    for worker in stage.crew.workers:
        worker.start()
    names = ("ParleyWorkerLost", "ParleyDown", "ParleyCallsLost", "ParleyNoWorkers")
    stage.is_over(*names)


def test_redis_that_is_stopped(stage: Stage) -> None:
    stage.load(24, 100.0, "--hangup-after", "12")
    time.sleep(10)
    began_s = time.monotonic()
    stage.redis.stop()
    names = ("ParleyRedisAway", "ParleyChangesWaiting", "ParleyCallsCannotMove")
    try:
        stage.rings(*names, since_s=began_s)
    finally:
        stage.redis.start()
    stage.is_over(*names)


@quick_only
def test_redis_that_is_slow(stage: Stage) -> None:
    began_s = time.monotonic()
    over = threading.Event()

    def hold_up() -> None:
        while not over.is_set():
            os.kill(stage.redis.process.pid, signal.SIGSTOP)
            time.sleep(0.6)
            os.kill(stage.redis.process.pid, signal.SIGCONT)
            time.sleep(0.6)

    thread = threading.Thread(target=hold_up)
    thread.start()
    try:
        stage.rings("ParleyRedisSlow", since_s=began_s)
    finally:
        over.set()
        thread.join()
    stage.is_over("ParleyRedisSlow")


def test_a_provider_that_fails(stage: Stage) -> None:
    stage.load(12, 60.0, *TALK)
    time.sleep(5)
    began_s = time.monotonic()
    stage.vendors.world.faults.plan(CHAT, "500", 10_000)
    stage.hook.status = 410  # type: ignore[attr-defined] # read by its handler
    names = ["ParleyProviderFailing", "ParleyProvidersExhausted"]
    names += ["ParleyDeliveriesFailed"] * IS_QUICK
    stage.rings(*names, since_s=began_s)
    stage.vendors.world.faults.clear()
    stage.hook.status = 200  # type: ignore[attr-defined] # read by its handler
    stage.load(20, 100.0, *TALK)
    stage.is_over(*names)


@quick_only
def test_providers_that_are_slow(stage: Stage) -> None:
    world = stage.vendors.world
    world.talker.first_s, world.mouth.first_s = 6.5, 1.5
    stage.load(30, 80.0, *TALK, "--hangup-after", "25", "--turn-silence", "0.5")
    names = ("ParleyRepliesSlow", "ParleyDeadAir", "ParleyFirstAudioSlow")
    stage.rings(*names)
    world.talker.first_s = world.mouth.first_s = 0.0
    stage.is_over(*names)


@contextmanager
def starved(stage: Stage) -> Iterator[None]:
    """Stop the workers for a while again and again, as by a host that gives them too little."""
    over = threading.Event()

    def starve() -> None:
        while not over.is_set():
            for sign, pause_s in ((signal.SIGSTOP, 0.75), (signal.SIGCONT, 0.25)):
                for worker in stage.crew.workers:
                    os.kill(worker.pid, sign)
                time.sleep(pause_s)

    thread = threading.Thread(target=starve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@quick_only
@pytest.mark.parametrize("stage", [{"GATEWAY_LINK_PONG_S": "3"}], indirect=True)
def test_a_worker_that_has_no_time(stage: Stage) -> None:
    stage.load(60, 90.0, *TALK, "--hangup-after", "10")
    time.sleep(5)
    began_s = time.monotonic()
    names = ("ParleyUnderruns", "ParleyLoopLag", "ParleyWorkersLate")
    with starved(stage):
        stage.rings(*names, since_s=began_s)
    stage.is_over(*names)


@quick_only
@pytest.mark.parametrize(
    "stage", [{"GATEWAY_LINK_PONG_S": "3", "AGENT_LATENESS_BUDGET_S": "10"}], indirect=True
)
def test_a_worker_that_has_no_time_and_takes_calls_all_the_same(stage: Stage) -> None:
    talk = (*TALK, "--barge-in-at", "1.0,1.0,1.0,1.0", "--hangup-after", "15")
    stage.load(60, 90.0, *talk)
    time.sleep(5)
    began_s = time.monotonic()
    with starved(stage):
        stage.rings("ParleyBargeInSlow", since_s=began_s)
    stage.load(30, 90.0, *talk)
    stage.is_over("ParleyBargeInSlow")


def test_records_that_can_never_be_written(stage: Stage) -> None:
    """What stands in Redis where a record belongs is none: the change is refused when it comes."""
    stage.load(12, 4.0, "--hangup-after", "25")
    time.sleep(8)
    began_s = time.monotonic()
    with redis.Redis.from_url(stage.redis.url) as client:
        for key in client.scan_iter("*:call:*"):
            client.set(key, "not a record")
        # The calls end meanwhile: each end waits, and is refused when it can be written.
        client.execute_command("CLIENT", "PAUSE", 22_000, "ALL")
    stage.rings("ParleyChangesLost", since_s=began_s)
    if IS_QUICK:  # it is told for five minutes
        stage.is_over("ParleyChangesLost")


@pytest.mark.parametrize("stage", [{"RECORDINGS_URL": "{folder}/recordings"}], indirect=True)
def test_a_store_of_recordings_that_is_gone(stage: Stage) -> None:
    stage.talk(4, 1.0, *TALK, "--hangup-after", "30")
    began_s = time.monotonic()
    store = stage.folder / "recordings"
    shutil.rmtree(store)
    store.write_text("no folder")
    stage.rings("ParleyRecordingsStopped", since_s=began_s)
    if IS_QUICK:  # it is told for five minutes
        stage.is_over("ParleyRecordingsStopped")


def test_a_bug_of_ours(stage: Stage) -> None:
    for worker in stage.crew.workers:
        worker.stop()
        worker.start("tests.support.buggy_worker")
        worker.wait_ready()
    began_s = time.monotonic()
    stage.load(4, 4.0, *TALK)
    stage.rings("ParleyBug", since_s=began_s)
    if IS_QUICK:  # it is told for five minutes
        stage.is_over("ParleyBug")


@quick_only
@pytest.mark.parametrize("stage", [{"GATEWAY_LINK_PONG_S": "2.5"}], indirect=True)
def test_a_frozen_worker_that_is_noticed_late(stage: Stage) -> None:
    stage.talk(4, 1.0, *TALK, "--hangup-after", "60")
    name = "voice_agent_active_calls"
    busiest = max(stage.crew.workers, key=lambda worker: worker.metrics()[name])
    began_s = time.monotonic()
    os.kill(busiest.pid, signal.SIGSTOP)
    try:
        stage.rings("ParleyResumeSilent", since_s=began_s)
    finally:
        os.kill(busiest.pid, signal.SIGCONT)
    stage.is_over("ParleyResumeSilent")


def test_an_account_that_is_spent_and_a_vobiz_that_refuses(stage: Stage) -> None:
    began_s = time.monotonic()
    stage.simulator("account", balance=10)
    stage.rings("ParleyBalanceLow", since_s=began_s)
    began_s = time.monotonic()
    stage.simulator("account", balance=0)
    assert stage.order().status_code == 402
    stage.rings("ParleyBalanceSpent", since_s=began_s)
    stage.simulator("account", balance=100)
    began_s = time.monotonic()
    stage.simulator("faults", status=403, count=4, operation="POST /Account")
    assert {stage.order().status_code for _ in range(4)} == {403}
    stage.rings("ParleyDialerRefused", since_s=began_s)
    stage.is_over("ParleyBalanceLow")
    if IS_QUICK:
        stage.is_over("ParleyBalanceSpent", "ParleyDialerRefused")


def test_calls_of_which_nothing_is_heard(stage: Stage) -> None:
    """Vobiz takes the call, and its webhooks reach nobody."""
    for process in (*stage.crew.gateways, stage.crew.others[0]):
        process.stop()
    began_s = time.monotonic()
    assert stage.order().status_code == 201
    stage.rings("ParleyDialerStuck", since_s=began_s)


# --- a certificate ------------------------------------------------------------------------------


class Authority:
    """Signs certificates for 127.0.0.1 that end when a test wants."""

    def __init__(self, folder: Path) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._make("authority", self._key, days=365, is_authority=True))

    def load_into(self, context: ssl.SSLContext, *, days: float) -> None:
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        path = self._folder / "server.pem"
        path.write_bytes(secret + self._make("127.0.0.1", key, days=days))
        context.load_cert_chain(path)

    def _make(self, name: str, key: Any, *, days: float, is_authority: bool = False) -> bytes:
        import ipaddress

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import NameOID

        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        signed = made.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Looking:
    """What a dialer looks at, and the Prometheus that looks at the dialer."""

    authority: Authority
    context: ssl.SSLContext
    prometheus: Prometheus
    server: ThreadingHTTPServer

    def show(self, *, days: float) -> None:
        """Show a certificate that ends in so many days."""
        self.authority.load_into(self.context, days=days)


@pytest.fixture
def looking(tmp_path: Path) -> Iterator[Looking]:
    reason = why_no_prometheus()
    if reason is not None:
        pytest.skip(reason)
    authority, context = Authority(tmp_path), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.load_into(context, days=90)
    for name in ("redis", "prometheus"):
        (tmp_path / name).mkdir()
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    (port,) = free_ports(1)
    with serving(context) as server:
        environment = {
            "REDIS_URL": redis.url,
            "DIALER_PORT": str(port),
            "DIALER_HOST": "127.0.0.1",
            "DIALER_API_KEY": "a-key-of-this-test",
            "DIALER_GATEWAY_URL": f"https://127.0.0.1:{server.server_address[1]}",
            "DIALER_LOOK_EVERY_S": "2",
            "SSL_CERT_FILE": str(authority.file),
        }
        url = f"http://127.0.0.1:{port}"
        dialer = Process("dialer", "services.dialer", url, environment, tmp_path)
        prometheus = Prometheus(
            tmp_path / "prometheus", {"dialer": [place(dialer)]}, is_quick=IS_QUICK
        )
        try:
            dialer.start()
            dialer.wait_ready()
            prometheus.start()
            yield Looking(authority, context, prometheus, server)
        finally:
            prometheus.stop()
            dialer.stop()
            redis.stop()


def watch(prometheus: Prometheus, name: str, *, is_firing: bool) -> None:
    def is_so() -> bool:
        return (name in prometheus.firing()) is is_firing

    took_s = seconds_until(is_so, WITHIN_S)
    assert took_s is not None, f"{name}: {prometheus.firing()}"
    note(name, "fired_after_s" if is_firing else "over_after_s", took_s)


def test_a_certificate_that_ends(looking: Looking) -> None:
    prometheus = looking.prometheus
    time.sleep(15)
    assert prometheus.firing() == set()
    if IS_QUICK:
        looking.show(days=5)
        watch(prometheus, "ParleyCertificateEnding", is_firing=True)
    looking.show(days=-1)
    watch(prometheus, "ParleyCertificateBad", is_firing=True)
    looking.show(days=90)
    watch(prometheus, "ParleyCertificateBad", is_firing=False)
    if IS_QUICK:
        watch(prometheus, "ParleyCertificateEnding", is_firing=False)


@quick_only
def test_a_certificate_that_nobody_shows(looking: Looking) -> None:
    server = looking.server
    server.shutdown()
    server.server_close()
    watch(looking.prometheus, "ParleyCannotLook", is_firing=True)
    with serving(looking.context, server.server_address[1]):
        watch(looking.prometheus, "ParleyCannotLook", is_firing=False)
