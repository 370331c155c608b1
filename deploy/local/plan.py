"""PURE. What runs on this machine without containers: which programs, with which settings.

The environment comes in as a mapping and free ports as a callable, so that the plan of a machine
can be looked at, and tested, without starting anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

_LOOPBACK = "127.0.0.1"
MOST_AGENTS = 64


class BadSetting(Exception):
    """A setting of the local run makes no sense; the text names it."""


@dataclass(frozen=True, slots=True)
class Port:
    """A fixed port: its number and the setting that moves it."""

    number: int
    setting: str

    def taken(self, owner: str) -> str:
        """The one line that says whose port is taken and what to do."""
        other = self.number + 1000 if self.number <= 64_535 else self.number - 1000
        return (
            f"port {self.number} ({owner}) is in use by another program;"
            f" free it, or choose another: {self.setting}={other}"
        )


@dataclass(frozen=True, slots=True)
class Program:
    """One process: its name in messages and logs, its module, its settings, where it is ready.

    `environment` holds only what differs from the user's own.
    """

    name: str
    module: str
    ready_url: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """A line of the list that tells the user where things are."""

    what: str
    url: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All programs in the order they start; they stop in reverse."""

    programs: tuple[Program, ...]
    addresses: tuple[Address, ...]
    gateway_url: str


def make_plan(
    environment: Mapping[str, str],
    *,
    redis: Mapping[str, str],
    free_port: Callable[[], int],
    prometheus_url: str = "",
    recordings: str = "",
) -> Plan:
    """Decide on the programs.

    Args:
        environment: the user's settings, `.env` included.
        redis: REDIS_URL and, where it has one, REDIS_PASSWORD of the Redis to use.
        free_port: a new unused port at each call, for the agents after the first.
        prometheus_url: of the Prometheus that is started too; "": there is none.
        recordings: the folder that recordings go to; empty: none are made.

    Raises:
        BadSetting: a port or AGENT_REPLICAS is no sensible number.
    """
    gateway_port = _port(environment, "HTTP_PORT", 5000)
    dialer_port = _port(environment, "DIALER_PORT", 5002)
    simulator_port = _port(environment, "SIMULATOR_PORT", 5003)
    gateway_url = f"http://{_LOOPBACK}:{gateway_port.number}"
    dialer_url = f"http://{_LOOPBACK}:{dialer_port.number}"
    simulator_url = f"http://{_LOOPBACK}:{simulator_port.number}"

    kept = {"RECORDINGS_URL": recordings} if recordings else {}

    def given_or(defaults: Mapping[str, str]) -> dict[str, str]:
        wanted = {name: value for name, value in defaults.items() if not environment.get(name)}
        return {**wanted, **redis}

    # On one machine nothing needs to be reached from outside; a reverse proxy and ngrok come in
    # by loopback too.
    gateway = Program(
        "gateway",
        "services.gateway",
        f"{gateway_url}/readyz",
        environment=given_or(
            {
                "GATEWAY_HOST": _LOOPBACK,
                "GATEWAY_TRIAL_API_BASE": f"{simulator_url}/api/v1",
                "CONSOLE_DIALER_URL": dialer_url,
                **kept,
            }
            | ({"PROMETHEUS_URL": prometheus_url} if prometheus_url else {})
        ),
        ports=(gateway_port,),
    )
    dialer = Program(
        "dialer",
        "services.dialer",
        f"{dialer_url}/readyz",
        environment=given_or(
            {
                "DIALER_HOST": _LOOPBACK,
                "DIALER_GATEWAY_URL": environment.get("PUBLIC_URL") or gateway_url,
                "DIALER_TRIAL_API_BASE": f"{simulator_url}/api/v1",
            }
        ),
        ports=(dialer_port,),
    )
    simulator = Program(
        "simulator",
        "services.simulator",
        f"{simulator_url}/readyz",
        arguments=("serve",),
        environment=given_or({"SIMULATOR_HOST": _LOOPBACK}),
        ports=(simulator_port,),
    )
    more = {"AGENT_TRIAL_API_BASE": f"{simulator_url}/api/v1", **kept}
    agents = tuple(_agents(environment, given_or, free_port, more))
    return Plan(
        programs=(*agents, gateway, dialer, simulator),
        addresses=(
            Address("gateway", gateway_url),
            Address("dialer", dialer_url),
            Address("simulator", simulator_url),
            *(Address(agent.name, agent.ready_url.replace("/readyz", "")) for agent in agents),
        ),
        gateway_url=gateway_url,
    )


def _agents(
    environment: Mapping[str, str],
    given_or: Callable[[Mapping[str, str]], dict[str, str]],
    free_port: Callable[[], int],
    more: Mapping[str, str],
) -> Iterator[Program]:
    for index in range(agent_replicas(environment)):
        ports: tuple[Port, ...] = ()
        if index == 0:
            media = _port(environment, "AGENT_WS_PORT", 5001)
            metrics = _port(environment, "AGENT_METRICS_PORT", 9101)
            ports = (media, metrics)
            numbers = (media.number, metrics.number)
        else:
            numbers = (free_port(), free_port())
        yield Program(
            f"agent-{index + 1}",
            "services.agent",
            f"http://{_LOOPBACK}:{numbers[1]}/readyz",
            environment={
                **given_or(
                    {
                        "AGENT_WS_HOST": _LOOPBACK,
                        "AGENT_ADVERTISE_HOST": _LOOPBACK,
                        **more,
                    }
                ),
                "AGENT_WS_PORT": str(numbers[0]),
                "AGENT_METRICS_PORT": str(numbers[1]),
            },
            ports=ports,
        )


def agent_replicas(environment: Mapping[str, str]) -> int:
    """How many workers to start: AGENT_REPLICAS, 1 when absent.

    Raises:
        BadSetting: not a whole number from 1 to MOST_AGENTS.
    """
    text = environment.get("AGENT_REPLICAS") or "1"
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_AGENTS:
        raise BadSetting(f"AGENT_REPLICAS must be a number from 1 to {MOST_AGENTS}, not {text!r}")
    return int(text)


def caller_urls(gateway: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The simulator's options that say where the gateway is, its path secret included."""
    secret = environment.get("GATEWAY_PATH_SECRET")
    return ("--gateway", f"{gateway}/{secret}" if secret else gateway, "--platform", gateway)


def is_public(environment: Mapping[str, str]) -> bool:
    """Whether strangers reach the gateway: then only Vobiz itself can play a call into it."""
    return bool(environment.get("PUBLIC_URL") or environment.get("NGROK_AUTH_TOKEN"))


def _port(environment: Mapping[str, str], setting: str, default: int) -> Port:
    text = environment.get(setting) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise BadSetting(f"{setting} must be a port from 1 to 65535, not {text!r}")
    return Port(int(text), setting)


def parse_env_file(text: str) -> dict[str, str]:
    """Read a `.env`: NAME=value lines, `#` comments, single or double quotes, `export` allowed.

    Only what starting needs: the services read the file by themselves.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name or name.startswith("#"):
            continue
        if value[:1] in {'"', "'"} and value.find(value[0], 1) > 0:
            found[name] = value[1 : value.find(value[0], 1)]
        else:
            found[name] = value.split(" #", 1)[0].strip() if not value.startswith("#") else ""
    return found
