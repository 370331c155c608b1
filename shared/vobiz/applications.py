"""Vobiz's REST API, as far as setting an account up goes: limits, Applications, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from shared.vobiz.answers import Balance
from shared.vobiz.client import VobizClient
from shared.vobiz.setup_answers import (
    AccountFacts,
    Application,
    Channels,
    OwnedNumber,
    check_done,
    read_account,
    read_applications,
    read_channels,
    read_new_application,
    read_numbers,
)

_PAGE = 20  # applications are listed by twenty, whatever is asked for
_NUMBERS_PAGE = 100
_MAX_PAGES = 100


class VobizSetup:
    """What an account has, and how it is changed.

    Requests that meet 401 or 404 are sent once more in the path's other form, because pages of
    the docs disagree on it and neither status means that anything was done.
    """

    def __init__(self, vobiz: VobizClient) -> None:
        self._vobiz = vobiz

    async def account(self) -> AccountFacts:
        """Return whose credentials these are.

        Raises:
            VobizFailure: they are refused, or nobody knows.
        """
        return read_account(*await self._vobiz.ask("GET", "auth/me"))

    async def balance(self, currency: str) -> Balance:
        """Return what the account can spend.

        Raises:
            VobizFailure: nobody knows.
        """
        return await self._vobiz.balance(currency)

    async def channels(self) -> Channels:
        """Return how many channels are in use, and how many there may be.

        Raises:
            VobizFailure: nobody knows.
        """
        return read_channels(*await self._ask("GET", self._lower("concurrency")))

    async def applications(self) -> list[Application]:
        """Return all Applications, up to 2,000.

        Raises:
            VobizFailure: nobody knows.
        """
        found: list[Application] = []
        for page in range(_MAX_PAGES):
            offset = page * _PAGE
            forms = self._upper("Application", f"?limit={_PAGE}&offset={offset}")
            answer = await self._ask("GET", forms)
            listed = read_applications(*answer, offset=offset)
            found += listed.applications
            if not listed.has_more:
                break
        return found

    async def create_application(self, fields: Mapping[str, object]) -> str:
        """Make an Application and return its id.

        Raises:
            VobizFailure: it was not made, or nobody knows.
        """
        return read_new_application(*await self._ask("POST", self._upper("Application"), fields))

    async def change_application(self, app_id: str, fields: Mapping[str, object]) -> None:
        """Change fields of an Application; asking again does no harm.

        Raises:
            VobizFailure: they were not changed, or nobody knows.
        """
        path = f"Application/{quote(app_id, safe='')}"
        check_done(*await self._ask("POST", self._upper(path), fields))

    async def numbers(self) -> list[OwnedNumber]:
        """Return the account's numbers, up to 10,000.

        Raises:
            VobizFailure: nobody knows.
        """
        found: list[OwnedNumber] = []
        for page in range(_MAX_PAGES):
            path = f"numbers?page={page + 1}&per_page={_NUMBERS_PAGE}"
            listed = read_numbers(
                *await self._ask("GET", self._lower(path)), before=page * _NUMBERS_PAGE
            )
            found += listed.numbers
            if not listed.has_more:
                break
        return found

    async def attach(self, e164: str, app_id: str) -> None:
        """Attach a number to an Application, in the place of another.

        Some accounts overwrite, some answer 409: then what stands is looked at, and another
        Application's number is detached first.

        Raises:
            VobizFailure: it is not attached, or nobody knows.
        """
        forms = self._lower(f"numbers/{quote(e164, safe='')}/application")
        body = {"application_id": app_id}
        answer = await self._ask("POST", forms, body)
        if answer[0] == 409:
            if any(n.e164 == e164 and n.application_id == app_id for n in await self.numbers()):
                return
            check_done(*await self._ask("DELETE", forms))
            answer = await self._ask("POST", forms, body)
        check_done(*answer)

    def _upper(self, path: str, query: str = "") -> tuple[str, str]:
        """A path written with capitals, which ends in a slash; then without."""
        base = f"Account/{self._vobiz.auth_id}/{path}"
        return f"{base}/{query}", f"{base}{query}"

    def _lower(self, path: str) -> tuple[str, str]:
        """A path in lower case, which ends in none; older pages write the account so too."""
        rest = f"{self._vobiz.auth_id}/{path}"
        return f"Account/{rest}", f"account/{rest}"

    async def _ask(
        self, method: str, forms: Sequence[str], body: Mapping[str, object] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        first = await self._vobiz.ask(method, forms[0], body)
        if first[0] not in {401, 404}:
            return first
        second = await self._vobiz.ask(method, forms[1], body)
        # A form that does not exist is a 401 or 404 too; the first one's words are the better ones.
        return first if second[0] in {401, 404} else second
