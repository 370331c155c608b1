"""The catalogue's manners, and the endpoint."""

from __future__ import annotations

import pytest
from httpx import ASGITransport, AsyncClient
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from starlette.applications import Starlette

from shared.metrics import catalogue
from shared.metrics.server import ops_routes, service_registry

CLASSES = [
    kind
    for name, kind in vars(catalogue).items()
    if name.endswith("Metrics") and isinstance(kind, type)
]
FORBIDDEN_LABELS = {"call_id", "from", "number", "peer", "worker_id", "stream_id", "url"}


def metrics() -> list[MetricWrapperBase]:
    registry = CollectorRegistry()
    return [metric for kind in CLASSES for metric in vars(kind(registry)).values()]


def test_all_classes_fit_on_one_registry_and_there_are_some() -> None:
    assert len(CLASSES) >= 5
    assert len(metrics()) > 40


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric._name)
def test_metric_has_a_good_name_help_and_bounded_labels(metric: MetricWrapperBase) -> None:
    assert metric._name.startswith("voice_")
    assert metric._documentation.endswith(".")
    assert not FORBIDDEN_LABELS & set(metric._labelnames)
    if metric._type == "histogram":
        assert metric._name.endswith(("_seconds", "_bytes", "_frames"))
        assert metric._documentation[:5] in {"From ", "Inter", "Frame"}


@pytest.mark.parametrize(("state", "status"), [("ok", 200), ("unavailable", 503)])
async def test_readiness_tells_each_dependency(state: str, status: int) -> None:
    async def ready() -> dict[str, str]:
        return {"redis": state}

    app = Starlette(routes=ops_routes(service_registry(), ready))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/readyz")
        assert answer.status_code == status
        assert answer.json() == {"ready": status == 200, "redis": state}
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        text = await client.get("/metrics")
        assert "process_cpu_seconds_total" in text.text
        assert text.headers["content-type"].startswith("text/plain")
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        assert (await client.get("/metrics", headers=accept)).text.endswith("# EOF\n")


async def test_facts_stand_beside_the_states_and_decide_nothing() -> None:
    async def ready() -> dict[str, str]:
        return {"redis": "ok"}

    routes = ops_routes(service_registry(), ready, facts=lambda: {"public_url": None})
    async with AsyncClient(transport=ASGITransport(Starlette(routes=routes))) as client:
        answer = await client.get("http://test/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "redis": "ok", "public_url": None},
    )
