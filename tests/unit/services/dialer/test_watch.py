"""The balance and the certificate, as the dialer shows them."""

from __future__ import annotations

import asyncio
import math

import pytest
from prometheus_client import CollectorRegistry

from services.dialer.watch import NOT_TRUSTED, Watch
from shared.metrics.catalogue import DialerMetrics
from shared.runtime.tasks import TaskOwner
from shared.vobiz.answers import Balance
from shared.vobiz.errors import Verdict, VobizFailure

ENDS = 1_900_000_000.0


class Account:
    """Has a balance, until it fails."""

    def __init__(self, *balances: Balance) -> None:
        self.balances = list(balances)
        self.asked: list[str] = []

    async def balance(self, currency: str) -> Balance:
        self.asked.append(currency)
        if not self.balances:
            raise VobizFailure(Verdict.UNREACHABLE)
        return self.balances.pop(0)


class Server:
    """Shows a certificate, unless it does not answer."""

    def __init__(self, ends: float | Exception) -> None:
        self.ends = ends
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> float:
        self.asked.append((host, port))
        if isinstance(self.ends, Exception):
            raise self.ends
        return self.ends


class Stage:
    def __init__(
        self,
        account: Account | None = None,
        server: Server | None = None,
        url: str = "https://voice.example.com",
    ) -> None:
        self.registry = CollectorRegistry()
        self.server = server or Server(ENDS)
        self.watch = Watch(
            account,
            DialerMetrics(self.registry),
            currency="INR",
            url=url,
            certificate_end=self.server,
        )

    def value(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value

    def failures(self, subject: str) -> float:
        labels = {"subject": subject}
        name = "voice_dialer_look_failures_total"
        return self.registry.get_sample_value(name, labels) or 0.0


async def test_the_balance_is_shown_with_what_the_account_calls_low() -> None:
    account = Account(Balance(120.5, 50.0))
    stage = Stage(account)
    await stage.watch.look()
    assert stage.value("voice_dialer_account_balance") == 120.5
    assert stage.value("voice_dialer_account_low_balance") == 50.0
    assert (account.asked, stage.failures("balance")) == (["INR"], 0)


async def test_a_balance_that_can_no_longer_be_seen_is_not_shown_as_it_was() -> None:
    stage = Stage(Account(Balance(120.5, None)))
    await stage.watch.look()
    assert math.isnan(stage.value("voice_dialer_account_low_balance"))
    await stage.watch.look()
    assert math.isnan(stage.value("voice_dialer_account_balance"))
    assert stage.failures("balance") == 1


async def test_without_an_account_nobody_is_asked() -> None:
    stage = Stage()
    await stage.watch.look()
    assert math.isnan(stage.value("voice_dialer_account_balance"))
    assert stage.failures("balance") == 0


@pytest.mark.parametrize("ends", [ENDS, NOT_TRUSTED])
async def test_the_end_of_the_certificate_is_shown(ends: float) -> None:
    stage = Stage(server=Server(ends), url="https://voice.example.com:8443/base")
    await stage.watch.look()
    assert stage.server.asked == [("voice.example.com", 8443)]
    assert stage.value("voice_dialer_certificate_expiry_timestamp_seconds") == ends


@pytest.mark.parametrize("error", [OSError("refused"), TimeoutError()])
async def test_a_server_that_does_not_answer_is_counted(error: Exception) -> None:
    stage = Stage(server=Server(error))
    await stage.watch.look()
    assert math.isnan(stage.value("voice_dialer_certificate_expiry_timestamp_seconds"))
    assert stage.failures("certificate") == 1


async def test_without_https_there_is_no_certificate_to_look_at() -> None:
    stage = Stage(url="http://127.0.0.1:5000")
    await stage.watch.look()
    assert stage.server.asked == []
    assert math.isnan(stage.value("voice_dialer_certificate_expiry_timestamp_seconds"))


async def test_it_looks_again_and_again() -> None:
    server = Server(OSError("refused"))
    stage = Stage(server=server)
    async with TaskOwner("test") as tasks:
        tasks.start(stage.watch.run(every_s=0.0), name="watch")
        for _ in range(20):
            await asyncio.sleep(0)
    assert len(server.asked) >= 3
