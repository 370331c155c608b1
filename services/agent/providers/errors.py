"""Errors of the providers (voice activity, transcriber, brain, synthesiser).

    ProviderError                 something a provider promised did not happen
    ├── ProviderUnavailable       not installed, not configured, refused at start: try another one
    ├── ProviderFailed            worked before, broke now: a retry may help
    │   └── ProviderTimeout       no answer within the bound
    └── ProviderRejected          refused this input for good: a retry will not help

Split by what the caller can do. `provider` names the part as metrics and logs do.
"""

from __future__ import annotations


class ProviderError(Exception):
    """Base of every error that a provider lets out."""

    def __init__(self, provider: str, detail: str) -> None:
        super().__init__(provider, detail)
        self.provider = provider
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.provider}: {self.detail}"


class ProviderUnavailable(ProviderError):
    """The provider cannot be used here at all; `detail` says what is missing."""


class ProviderFailed(ProviderError):
    """The provider broke during use; the same request may succeed later."""


class ProviderTimeout(ProviderFailed):
    """The provider did not answer within the stated bound."""


class ProviderRejected(ProviderError):
    """The provider will never accept this input."""
