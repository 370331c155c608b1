"""The manifests are what Kubernetes takes, and keep what a call needs."""

from __future__ import annotations

import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.deployments import DEPLOY, SERVICES, drain_s, setting_names

Document = dict[str, Any]

VARIANTS = ("base", "trial", "production")
OLDEST, NEWEST = "1.29", "1.33"

pytestmark = pytest.mark.kubectl


def rendered(variant: str) -> list[Document]:
    """Return the documents that `kubectl apply -k` would send."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes" / variant)],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    return [document for document in documents if document["kind"] in kinds]


def workloads(variant: str) -> list[Document]:
    return of_kind(rendered(variant), "Deployment", "StatefulSet")


def container(workload: Document) -> Document:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(only)


def settings_of(documents: list[Document]) -> dict[str, str]:
    (shared,) = of_kind(documents, "ConfigMap")
    return dict(shared["data"])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_document_fits_the_schema_of_its_kind(variant: str, version: str) -> None:
    documents = rendered(variant)
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pod_is_given_longer_than_its_drain_takes(variant: str) -> None:
    documents = rendered(variant)
    settings = settings_of(documents)
    deployments = {d["metadata"]["name"]: d for d in of_kind(documents, "Deployment")}
    for name in SERVICES:
        pod = deployments[name]["spec"]["template"]["spec"]
        stop = container(deployments[name])["lifecycle"]["preStop"]["exec"]["command"]
        least_s = float(stop[-1]) + drain_s(name, settings)
        assert pod["terminationGracePeriodSeconds"] > least_s, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_runs_as_root_or_writes_its_own_image(variant: str) -> None:
    for workload in workloads(variant):
        pod = workload["spec"]["template"]["spec"]
        context = container(workload)["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"]["drop"] == ["ALL"]
        assert container(workload)["resources"]["limits"]["memory"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_rollout_never_takes_room_away(variant: str) -> None:
    documents = rendered(variant)
    budgets = {d["metadata"]["name"] for d in of_kind(documents, "PodDisruptionBudget")}
    assert budgets == set(SERVICES)
    for workload in of_kind(documents, "Deployment"):
        if workload["metadata"]["name"] in SERVICES:
            assert workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_pod_is_behind_a_network_policy(variant: str) -> None:
    documents = rendered(variant)
    policies = of_kind(documents, "NetworkPolicy")
    closed = [p for p in policies if "ingress" not in p["spec"]]
    (nothing_in,) = closed
    for workload in of_kind(documents, "Deployment", "StatefulSet"):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        chosen = nothing_in["spec"]["podSelector"]["matchLabels"]
        assert chosen.items() <= labels.items(), workload["metadata"]["name"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_setting_is_one_that_a_service_reads(variant: str) -> None:
    assert set(settings_of(rendered(variant))) <= setting_names()


@pytest.mark.parametrize("variant", VARIANTS)
def test_probes_and_scraping_ask_where_the_service_answers(variant: str) -> None:
    documents = rendered(variant)
    settings = settings_of(documents)
    ports = {
        "gateway": settings["HTTP_PORT"],
        "agent": settings["AGENT_METRICS_PORT"],
        "dialer": settings["DIALER_PORT"],
    }
    for workload in of_kind(documents, "Deployment"):
        port = ports.get(workload["metadata"]["name"])
        if port is None:
            continue
        one = container(workload)
        assert one["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": int(port)}
        assert one["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": int(port)}
        annotations = workload["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == port
        assert int(port) in {p["containerPort"] for p in one["ports"]}


def test_in_production_the_autoscaler_alone_says_how_many() -> None:
    documents = rendered("production")
    scaled = {
        d["spec"]["scaleTargetRef"]["name"] for d in of_kind(documents, "HorizontalPodAutoscaler")
    }
    assert scaled == {"agent", "gateway"}
    for workload in of_kind(documents, "Deployment"):
        assert ("replicas" in workload["spec"]) is (workload["metadata"]["name"] not in scaled)


def test_a_secret_is_in_no_manifest_but_that_of_the_trial() -> None:
    assert of_kind(rendered("trial"), "Secret")
    assert not of_kind(rendered("base") + rendered("production"), "Secret")
