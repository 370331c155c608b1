"""Campaigns against the simulated cloud: real processes, dialers that are killed, and what is told.

The cloud's own limits stand far above the dialers': whatever they hold to, they hold to by
themselves. What came of it is read from the cloud's book and from any dialer that is up.
"""

from __future__ import annotations

import csv
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tests.support.dial_judge import Asked, Limits, RowTold, Rule
from tests.support.processes import Crew, Process

_PAGE = 1000
_LOOK_S = 0.5
_AWAY_S = 30.0
_STALL_S = 0.2
RULE = Rule(3, {"busy": (2, 3), "no_answer": (2, 4), "failed": (2, 2)})


@dataclass(frozen=True)
class Scale:
    """How large a campaign is, how fast, and how rough its days are."""

    numbers: int
    limits: Limits
    kill_every_s: tuple[float, float]
    burst_every_s: float
    trouble_share: float
    limit_s: float
    kills_most: int = 1000
    reconcile_s: int = 10
    seed: int = 1


class CampaignStage:
    """One campaign's platform: a gateway, workers, two dialers, the simulated cloud.

    Args:
        directory: of logs and of the agent's file.
        redis_url: an empty Redis.
        limits: the dialers'.
        workers: agent workers.
        dialers: dialers.
        reconcile_s: without news of a call for so long, dialers ask the cloud.
    """

    def __init__(
        self,
        directory: Path,
        redis_url: str,
        limits: Limits,
        *,
        workers: int = 1,
        dialers: int = 2,
        reconcile_s: int = 10,
    ) -> None:
        self.crew = Crew(
            directory,
            redis_url,
            workers_wanted=workers,
            has_dialer=True,
            dialers_wanted=dialers,
            settings={
                "DIALER_CPS": str(limits.cps),
                "DIALER_CONCURRENCY": str(limits.concurrency),
                "DIALER_RECONCILE_S": str(reconcile_s),
                "DIALER_LEASE_S": "12",
                # A machine that runs tests and nine processes is late now and then.
                "DIALER_PACE_MARGIN_S": "0.4",
                "DIALER_VOBIZ_TIMEOUT_S": "2",
                "AGENT_CAPACITY": "60",
                "SIMULATOR_CPS": "1000",
                "SIMULATOR_CONCURRENCY": "1000",
                "LOG_LEVEL": "INFO",
            },
        )
        self.crew.write_agent("Hello.")
        self._client = httpx.Client(timeout=20, trust_env=False)

    def stop(self) -> None:
        """End all of it."""
        self.crew.stop()
        self._client.close()

    # --- the cloud ----------------------------------------------------------------------------

    def tell_cloud(self, path: str, **body: Any) -> None:
        """Change the simulated cloud."""
        self._client.post(self._cloud(path), json=body).raise_for_status()

    def _cloud(self, path: str) -> str:
        return f"{self.crew.simulator_url}/simulator/{path}"

    def book(self) -> list[Asked]:
        """Return all that the cloud was asked to dial."""
        return [Asked.of(line) for line in self.book_lines()]

    def book_lines(self) -> list[dict[str, Any]]:
        """Return the book as it is written."""
        lines: list[dict[str, Any]] = []
        while True:
            after = lines[-1]["n"] if lines else 0
            page = self._client.get(self._cloud("dialled"), params={"after": after}).json()
            if not page["calls"]:
                return lines
            lines += page["calls"]

    def stalls(self) -> list[tuple[float, float]]:
        """Return when the cloud itself did not run, for longer than the dialers' margin covers."""
        answer = self._client.get(self._cloud("dialled"), params={"limit": 0}).json()
        return [(begin, end) for begin, end in answer["stalls"] if end - begin > _STALL_S]

    # --- the dialers --------------------------------------------------------------------------

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Ask whichever dialer is up; only for what may be asked twice."""
        deadline_s = time.monotonic() + _AWAY_S
        while True:
            for dialer in self.crew.dialers:
                try:
                    answer = self._client.request(method, f"{dialer.url}{path}", **request)
                except httpx.HTTPError:
                    continue
                if answer.status_code < 500:
                    return answer
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no dialer answers {method} {path}")
            time.sleep(0.1)

    def campaign(self, campaign_id: str) -> dict[str, Any]:
        """Return a campaign as it stands."""
        answer = self.ask("GET", f"/v1/campaigns/{campaign_id}")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def rows(self, campaign_id: str) -> list[RowTold]:
        """Return what the dialer says of each number."""
        rows: list[RowTold] = []
        cursor: str | None = None
        while True:
            query = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
            answer = self.ask("GET", f"/v1/campaigns/{campaign_id}/rows", params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            rows += [_row_told(row) for row in page["rows"]]
            cursor = page["next"]
            if cursor is None:
                return rows

    def results(self, campaign_id: str) -> list[dict[str, str]]:
        """Return the campaign's CSV."""
        answer = self.ask("GET", f"/v1/campaigns/{campaign_id}/results.csv")
        assert answer.status_code == 200, answer.text
        return list(csv.DictReader(io.StringIO(answer.text)))

    def until(self, campaign_id: str, state: str, limit_s: float) -> dict[str, Any]:
        """Wait until a campaign is in a state."""
        deadline_s = time.monotonic() + limit_s
        while (told := self.campaign(campaign_id))["state"] != state:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not {state} after {limit_s:.0f} s: {told}")
            time.sleep(_LOOK_S)
        return told


@dataclass
class Keeper:
    """Kills a random dialer again and again, starts it anew, and makes bad weather between.

    `kills` counts; a failure of its own is raised when it is left.
    """

    stage: CampaignStage
    scale: Scale
    kills: int = 0
    bursts: int = 0
    _failures: list[BaseException] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def at_work(self) -> Iterator[Keeper]:
        """Work while the context lasts; all dialers are up afterwards."""
        threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._kill_now_and_then, self._burst_now_and_then)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join(60)
        if self._failures:
            raise self._failures[0]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as exc:  # noqa: BLE001 - told to the test when it leaves
            self._failures.append(exc)

    def _kill_now_and_then(self) -> None:
        chance = Random(self.scale.seed)
        dialers = self.stage.crew.dialers
        while self.kills < self.scale.kills_most:
            if self._is_over.wait(chance.uniform(*self.scale.kill_every_s)):
                return
            victim = chance.choice(dialers)
            victim.kill()
            self.kills += 1
            self._is_over.wait(chance.uniform(0, 0.5))
            victim.start()
            _wait_ready(victim)

    def _burst_now_and_then(self) -> None:
        kinds = (
            {"status": 429, "limit": "cps"},
            {"status": 503},
            {"status": 429, "limit": "concurrency", "retry_after_s": 2},
            {"status": 500, "dials": True},
        )
        while not self._is_over.wait(self.scale.burst_every_s):
            kind = kinds[self.bursts % len(kinds)]
            operation = "POST /Account/MA_LOCAL/Call/"
            self.stage.tell_cloud("faults", operation=operation, share=1.0, for_s=0.6, **kind)
            self.bursts += 1


def _wait_ready(dialer: Process) -> None:
    dialer.wait_ready(_AWAY_S)


def spread_trouble(stage: CampaignStage, share: float) -> None:
    """Let a share of all Make Calls go wrong, each kind for its part."""
    kinds: list[Mapping[str, Any]] = [
        {"answer": "none"},
        {"answer": "none", "dials": True},
        {"answer": "late", "delay_s": 3},
        {"status": 503},
        {"status": 502, "dials": True},
    ]
    for seed, kind in enumerate(kinds, 1):
        operation = "POST /Account/MA_LOCAL/Call/"
        part = share / len(kinds)
        stage.tell_cloud("faults", operation=operation, share=part, seed=seed, **kind)


def numbers_of(count: int) -> list[str]:
    """Return so many numbers that exist nowhere."""
    return [f"+9180000{index:05d}" for index in range(10_000, 10_000 + count)]


def _row_told(row: Mapping[str, Any]) -> RowTold:
    tries = [(tried["call_id"], tried["outcome"]) for tried in row["history"]]
    return RowTold(row["to"], row["state"], row["outcome"], row["attempts"], tries)
