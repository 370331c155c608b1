"""What an agent's file may say of Deepgram. Importing this costs no SDK."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from services.agent.providers.registry import Options, Secrets

_URL = r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$"
PRODUCTION_URL = "https://api.deepgram.com"


class DeepgramOptions(Options):
    """What transcription and speech have in common.

    `base_url` is for a server of one's own or a regional host; empty, DEEPGRAM_BASE_URL counts,
    then Deepgram's own. `mip_opt_out` keeps the calls out of Deepgram's model improvement, at a
    higher price.
    """

    api_key_env: str = Field("DEEPGRAM_API_KEY", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    base_url: str = Field("", pattern=_URL)
    mip_opt_out: bool = False

    def url(self, secrets: Secrets) -> str:
        """Return the base URL that counts, without a slash at its end."""
        found = secrets.get("DEEPGRAM_BASE_URL")
        url = self.base_url or (found.get_secret_value() if found is not None else "")
        return (url or PRODUCTION_URL).rstrip("/")


Term = Annotated[str, Field(min_length=1, max_length=100)]


class DeepgramListenOptions(DeepgramOptions):
    """Live transcription.

    Attributes:
        model: `nova-3`, or another that hears phone calls (`nova-2-phonecall`).
        language: in place of the agent's; `multi` for several in one call.
        endpointing_ms: silence after which Deepgram says that the speaker has ended.
        utterance_end_ms: gap between words for the same, where noise hides the silence; 0: off.
        keyterms: names and words to be expected; sent as `keywords` to models before nova-3.
        least_confidence: below it an utterance counts as not understood.
    """

    model: str = Field("nova-3", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    language: str = Field("", pattern=r"^(multi|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$")
    endpointing_ms: int = Field(300, ge=10, le=5000)
    utterance_end_ms: int = Field(1000, ge=0, le=5000)
    punctuate: bool = True
    smart_format: bool = False
    numerals: bool = False
    profanity_filter: bool = False
    keyterms: tuple[Term, ...] = Field((), max_length=100)
    least_confidence: float = Field(0.3, ge=0, le=1)

    @field_validator("utterance_end_ms")
    @classmethod
    def _none_or_a_second(cls, value: int) -> int:
        if 0 < value < 1000:
            raise ValueError("0 (off) or at least 1000, as Deepgram demands")
        return value


class DeepgramSpeakOptions(DeepgramOptions):
    """Speech by Aura.

    Attributes:
        voice: its name says the language too, as `aura-2-thalia-en`.
        gain_db: added to what Deepgram sends, to come near -20 dBFS.
        timeout_s: longest silence of the server within one answer.
    """

    voice: str = Field("aura-2-thalia-en", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    gain_db: float = Field(0.0, ge=-30, le=30)
    timeout_s: float = Field(10.0, gt=0, le=60)
