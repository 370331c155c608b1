"""How a Vobiz account stands: looked at before anything of it is changed."""

from __future__ import annotations

from dataclasses import dataclass

from services.dialer.cli.failure import one_line
from shared.vobiz.answers import Balance
from shared.vobiz.applications import VobizSetup
from shared.vobiz.errors import Verdict, VobizFailure
from shared.vobiz.setup_answers import AccountFacts, Channels


@dataclass(frozen=True, slots=True)
class Standing:
    """An account, what it can spend and what it may do; None where Vobiz would not tell."""

    account: AccountFacts
    currency: str
    balance: Balance | None
    channels: Channels | None

    def facts(self) -> list[tuple[str, object]]:
        """Return names and values for people; without a value where nobody knows."""
        account, channels = self.account, self.channels
        spend = None if self.balance is None else f"{self.balance.available:.2f} {self.currency}"
        most = channels.most if channels is not None else account.concurrency
        used = f", {channels.used} in use" if channels is not None else ""
        return [
            ("account", " ".join(filter(None, (account.auth_id, account.name)))),
            ("balance", spend),
            ("calls at once", None if most is None else f"{most}{used}"),
            ("calls per second", account.cps),
        ]

    def warnings(self) -> list[str]:
        """Return what will keep calls from working."""
        found = []
        account, balance = self.account, self.balance
        if not account.is_active:
            found.append("the account is not active: Vobiz refuses its calls.")
        if account.is_trial:
            found.append("a trial account's numbers may only call out.")
        if balance is None:
            found.append(f"Vobiz does not tell the balance in {self.currency}.")
        elif balance.available <= 0:
            found.append("the account has no balance left: top it up.")
        elif balance.low is not None and balance.available < balance.low:
            found.append("the account's balance is low.")
        return found


async def look_at(vobiz: VobizSetup, currency: str) -> Standing:
    """Look at an account; what is not vital may be missing.

    Raises:
        VobizFailure: it can't be told whose credentials these are.
    """
    account = await vobiz.account()
    try:
        balance = await vobiz.balance(currency)
    except VobizFailure:
        balance = None
    try:
        channels = await vobiz.channels()
    except VobizFailure:
        channels = None
    return Standing(account, currency, balance, channels)


def sentence_of(failure: VobizFailure) -> str:
    """Return a failure in words that fit: those of the exception are about dialling."""
    said = f" (Vobiz: {one_line(failure.message)})" if failure.message else ""
    known = _SENTENCES.get(failure.verdict)
    if known is None:
        known = f"Vobiz answered {failure.status} and did not do it."
    return f"{known}{said}"


_SENTENCES = {
    Verdict.UNAUTHORIZED: "Vobiz does not accept these credentials: check VOBIZ_AUTH_ID,"
    " VOBIZ_AUTH_TOKEN and VOBIZ_API_BASE.",
    Verdict.NOT_FOUND: "Vobiz does not know the account, the Application or the number.",
    Verdict.FORBIDDEN: "The Vobiz account may not do this: it is inactive, blocked or not"
    " verified.",
    Verdict.RATE_LIMITED: "Vobiz gets too many requests: wait, then try again.",
    Verdict.UNREACHABLE: "Vobiz could not be reached: check the network and VOBIZ_API_BASE.",
    Verdict.OUTCOME_UNKNOWN: "Vobiz's answer was lost: run it again, it only does what is missing.",
    Verdict.PLATFORM_ERROR: "Vobiz failed: run it again later, it only does what is missing.",
    Verdict.NOT_CONFIGURED: "There is no Vobiz account: set VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN.",
}
