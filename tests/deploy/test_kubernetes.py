"""deploy/kubernetes, against Kubernetes' own schemas, and whether its parts fit each other and the service."""

import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.environment import from_environment, unknown_names
from service.web.routes import ROUTES
from tests.needs import program
from tests.system.serving import ROOT

FOLDER = ROOT / "deploy/kubernetes"
VERSIONS = ("1.31", "1.37")
FOR_THE_CLUSTER = {"/metrics", "/livez", "/healthz"}
ORDERS = ("/v1/admin/", "/v2/repository/models/")


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


DEPLOYMENT = read("base/deployment.yaml")
POD = DEPLOYMENT["spec"]["template"]
SERVICE = read("base/service.yaml")
PREDICTOR = read("kserve/inferenceservice.yaml")["spec"]["predictor"]


def rendered(folder: str) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send."""
    done = subprocess.run(
        [program("kubectl", "kubectl"), "kustomize", FOLDER / folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return list(yaml.safe_load_all(done.stdout))


def validate(document: dict[str, Any]) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(
    "name",
    sorted(
        path.name
        for path in (FOLDER / "base").glob("*.yaml")
        if path.stem not in ("kustomization", "servicemonitor")
    ),
)
def test_a_manifest_is_what_kubernetes_knows(name):
    validate(read(f"base/{name}"))


@pytest.mark.parametrize("folder", ["base", "gpu"])
def test_every_manifest_is_applied_and_the_image_comes_from_a_registry(folder):
    documents = rendered(folder)
    assert len(documents) == len(list((FOLDER / "base").glob("*.yaml"))) - 1
    for document in documents:
        if document["kind"] != "ServiceMonitor":
            validate(document)
    (deployment,) = [document for document in documents if document["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    registry, _, name = container["image"].rpartition("/")
    assert (registry, name.partition(":")[0]) == (
        "registry.example.com",
        "ganserve-cuda" if folder == "gpu" else "ganserve",
    )
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (folder == "gpu")
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_predictor_of_kserve_is_a_pod_with_a_few_fields_more():
    # serving.kserve.io/v1beta1 PredictorSpec: PodSpec and ComponentExtensionSpec, both inline.
    extension = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"}
    assert extension <= PREDICTOR.keys()
    pod = {name: value for name, value in PREDICTOR.items() if name not in extension}
    validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": pod})


@pytest.mark.parametrize("spec", [POD["spec"], PREDICTOR], ids=["deployment", "kserve"])
def test_a_pod_is_somebody_without_rights_who_can_write_only_to_tmp(spec):
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)


@pytest.mark.parametrize("spec", [POD["spec"], PREDICTOR], ids=["deployment", "kserve"])
def test_a_pod_has_time_to_drain_and_its_settings_are_settings(spec):
    (container,) = spec["containers"]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    settings = from_environment(environment)
    assert unknown_names(environment) == []
    assert spec["terminationGracePeriodSeconds"] >= settings.drain_seconds + settings.timeout_seconds + 5
    ready = container["readinessProbe"]
    assert (
        settings.drain_seconds > ready["periodSeconds"] * ready["failureThreshold"] + ready["timeoutSeconds"]
    )
    assert container["lifecycle"]["preStop"]["exec"]["command"][-1] == "kill -TERM 1"


@pytest.mark.parametrize("spec", [POD["spec"], PREDICTOR], ids=["deployment", "kserve"])
def test_probes_ask_what_the_service_answers_and_only_liveness_restarts(spec):
    (container,) = spec["containers"]
    ports = {port["name"] for port in container["ports"]}
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert {probe["port"] for probe in probes} <= ports
    assert [probe["path"] for probe in probes] in (
        ["/livez", "/livez", "/readyz"],
        ["/v2/health/live", "/v2/health/live", "/v2/health/ready"],
    )


def test_all_parts_mean_the_same_pods_and_ports():
    labels = POD["metadata"]["labels"]
    budget, monitor = read("base/poddisruptionbudget.yaml"), read("base/servicemonitor.yaml")
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert SERVICE["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert monitor["spec"]["selector"]["matchLabels"] == SERVICE["metadata"]["labels"]
    (port,) = SERVICE["spec"]["ports"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
    assert port["targetPort"] in {port["name"] for port in POD["spec"]["containers"][0]["ports"]}
    target = read("base/horizontalpodautoscaler.yaml")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", DEPLOYMENT["metadata"]["name"])


def test_the_autoscaler_goes_by_the_metric_that_the_adapter_makes_and_has_no_rival():
    (metric,) = read("base/horizontalpodautoscaler.yaml")["spec"]["metrics"]
    (rule,) = read("prometheus-adapter.yaml")["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert "replicas" not in DEPLOYMENT["spec"], "every `kubectl apply` would undo the autoscaler's number"


def test_clients_reach_every_route_but_orders_and_those_for_the_cluster():
    (rule,) = read("base/ingress.yaml")["spec"]["rules"]
    exact = {path["path"] for path in rule["http"]["paths"] if path["pathType"] == "Exact"}
    prefixes = {path["path"] for path in rule["http"]["paths"] if path["pathType"] == "Prefix"}

    def reached(route: str) -> bool:
        return route in exact or any(f"{route}/".startswith(f"{prefix}/") for prefix in prefixes)

    routes = {route.path for route in ROUTES}
    kept = {route for route in routes if route in FOR_THE_CLUSTER or route.startswith(ORDERS)}
    assert {route for route in routes if not reached(route)} == kept
    assert not any(reached(order) for order in ORDERS)
    assert {backend["backend"]["service"]["name"] for backend in rule["http"]["paths"]} == {"ganserve"}
