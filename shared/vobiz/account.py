"""PURE. Which Vobiz account a service acts for, and where its REST API is."""

from __future__ import annotations

from dataclasses import dataclass

VOBIZ_API_BASE = "https://api.vobiz.ai/api/v1"
# A stand-in for Vobiz asks for credentials as Vobiz does; these are made up on both sides.
_TRIAL_ID, _TRIAL_TOKEN = "MA_LOCAL", "local-token"  # as the simulator has them


@dataclass(frozen=True, slots=True)
class VobizAccount:
    """Which account, and where."""

    auth_id: str
    auth_token: str
    api_base: str

    def __repr__(self) -> str:
        return f"VobizAccount({self.auth_id!r}, api_base={self.api_base!r})"


def api_base_of(auth_id: str | None, api_base: str, trial_api_base: str | None) -> str:
    """Return where requests go: to the stand-in until somebody gives an account."""
    return trial_api_base if auth_id is None and trial_api_base is not None else api_base


def account_of(
    auth_id: str | None, auth_token: str | None, api_base: str, trial_api_base: str | None = None
) -> VobizAccount | None:
    """Return the account; made up towards a stand-in for Vobiz, None when the real one has none.

    Args:
        auth_id: the account's id, if one is configured.
        auth_token: its token.
        api_base: Vobiz's REST API, without a slash at its end.
        trial_api_base: a stand-in for it, used as long as there is no id.
    """
    base = api_base_of(auth_id, api_base, trial_api_base)
    if auth_id is not None and auth_token is not None:
        return VobizAccount(auth_id, auth_token, base)
    if base == VOBIZ_API_BASE:
        return None
    return VobizAccount(_TRIAL_ID, _TRIAL_TOKEN, base)
