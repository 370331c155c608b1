"""Connections to vendors: opened before the first turn, kept while a caller thinks."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from services.agent.providers.base import ChatMessage, LanguageModel
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Breakers, Link
from services.agent.providers.chain.model import FallbackModel
from services.agent.providers.chain.synthesiser import FallbackSynthesiser
from services.agent.providers.openai.chat import OpenAiLanguageModel
from services.agent.providers.openai.options import OpenAiChatOptions, OpenAiSpeechOptions
from services.agent.providers.openai.speech import OpenAiSynthesiser
from services.agent.providers.warmth import warm
from shared.metrics.catalogue import ProviderMetrics
from shared.runtime.clock import SystemClock
from tests.support.ports import free_ports
from tests.support.standins import StandIns
from tests.support.vendors import FakeSecrets, vendor_secrets

pytestmark = pytest.mark.system
ASKED = (ChatMessage("user", "Hello?"),)


async def answered(model: LanguageModel) -> None:
    async for _ in model.stream(ASKED, ()):
        pass


async def test_a_warmed_model_answers_by_the_connection_it_has_for_longer_than_a_turn() -> None:
    """Connections were let go after 5 s: each turn of a slow caller opened another."""
    async with StandIns() as standins:
        model = OpenAiLanguageModel(OpenAiChatOptions(), vendor_secrets(standins))
        chain = FallbackModel([Link("openai", model)], ChainLimits(), breakers())
        await warm(chain)
        assert len(standins.world.transports) == 1
        await answered(chain)
        await asyncio.sleep(5.2)
        await answered(chain)
        assert len(standins.world.transports) == 1
        await model.aclose()


async def test_a_voice_is_warmed_too() -> None:
    async with StandIns() as standins:
        standins.world.mouth.is_tone = True
        voice = OpenAiSynthesiser(OpenAiSpeechOptions(), vendor_secrets(standins))
        chain = FallbackSynthesiser([Link("openai", voice)], ChainLimits(), breakers())
        await warm(chain)
        assert len(standins.world.transports) == 1
        assert [pcm async for pcm in chain.speak("Hello.")]
        assert len(standins.world.transports) == 1
        await voice.aclose()


async def test_a_server_that_is_not_there_is_left_for_the_request_to_find() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}/v1"
    secrets = FakeSecrets(OPENAI_API_KEY="k", OPENAI_BASE_URL=url)
    model = OpenAiLanguageModel(OpenAiChatOptions(), secrets)
    await warm(model)
    await warm(object())
    await model.aclose()


def breakers() -> Breakers:
    return Breakers(ProviderMetrics(CollectorRegistry()), SystemClock())
