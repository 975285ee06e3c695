"""Compose and Kubernetes files use existing settings, ports and images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eddy.paths import REPO_ROOT
from eddy.settings import Settings, load
from eddy_cli.replay.options import MAX_SKEW_SEC
from eddy_cli.services import SERVICES
from eddy_joiner.settings import JoinerSettings

KUBERNETES = REPO_ROOT / "deploy" / "kubernetes"


def settings_of_env_file() -> dict[str, str]:
    lines = (REPO_ROOT / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def compose() -> dict[str, Any]:
    text = (REPO_ROOT / "docker-compose.yml").read_text()
    for name, value in settings_of_env_file().items():
        text = text.replace(f"${{{name}}}", value)
    assert "${" not in text, "docker-compose.yml asks for what .env does not say"
    return dict(yaml.safe_load(text)["services"])


def manifests(path: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(path.read_text())


@pytest.mark.parametrize("service", SERVICES)
def test_compose_sets_known_settings(service: str) -> None:
    definition = compose()[service]
    settings = load(SERVICES[service], {name: str(value or "") for name, value in definition["environment"].items()})
    assert settings.kafka_bootstrap_servers == "kafka:9092"
    assert settings.schema_registry_url == "http://schema-registry:8080/apis/ccompat/v7"
    assert definition["build"]["args"]["SERVICE"] == service
    assert definition["healthcheck"]["test"][-1] == str(port_of(SERVICES[service], service))


@pytest.mark.parametrize("service", SERVICES)
def test_kubernetes_probes_the_port_of_the_service(service: str) -> None:
    network, workload = manifests(KUBERNETES / f"{service}.yaml")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    port = port_of(SERVICES[service], service)
    assert network["spec"]["ports"][0]["port"] == container["ports"][0]["containerPort"] == port
    assert workload["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == str(port)
    assert container["image"] == f"eddy-{service}"
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
    assert workload["spec"]["selector"]["matchLabels"] == network["spec"]["selector"]


def test_kustomize_sets_known_settings() -> None:
    (kustomization,) = manifests(KUBERNETES / "kustomization.yaml")
    literals = [*kustomization["configMapGenerator"][0]["literals"], *kustomization["secretGenerator"][0]["literals"]]
    values = dict(literal.split("=", 1) for literal in literals)
    for settings in SERVICES.values():
        load(settings, {name: value for name, value in values.items() if "GATEWAY" not in name})
    assert load(SERVICES["gateway"], values).model_dump()["gateway_api_keys"] == "change-me"
    assert {image["name"] for image in kustomization["images"]} == {f"eddy-{service}" for service in SERVICES}
    assert all((KUBERNETES / name).is_file() for name in kustomization["resources"])


def port_of(settings: type[Settings], service: str) -> int:
    return int(settings.model_fields[f"{service}_http_port"].default)


def test_the_joiner_keeps_slates_for_minutes_and_during_a_replay_for_its_skew() -> None:
    lateness = JoinerSettings().joiner_lateness_sec
    assert 60 <= lateness <= 900
    assert float(settings_of_env_file()["JOINER_LATENESS_SEC"]) == lateness
    assert float(compose()["joiner"]["environment"]["EDDY_JOINER_LATENESS_SEC"]) == lateness
    makefile = (REPO_ROOT / "Makefile").read_text()
    assert f"REPLAY_LATENESS_SEC ?= {MAX_SKEW_SEC:.0f}\n" in makefile
    assert "JOINER_LATENESS_SEC=$(REPLAY_LATENESS_SEC) $(COMPOSE) up --detach --no-deps $(WAIT) joiner" in makefile


def test_only_the_gateway_listens_beyond_loopback() -> None:
    text = (REPO_ROOT / "docker-compose.yml").read_text()
    services = yaml.safe_load(text)["services"]
    addresses = {name: port.rsplit(":", 2)[0] for name, entry in services.items() for port in entry.get("ports", ())}
    assert addresses.pop("gateway").startswith("${LISTEN}")
    assert len(addresses) >= 5
    assert set(addresses.values()) == {"127.0.0.1"}


@pytest.mark.parametrize("service", SERVICES)
def test_kubernetes_containers_write_to_volumes_alone(service: str) -> None:
    _, workload = manifests(KUBERNETES / f"{service}.yaml")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"/tmp", "/state"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_kubernetes_lets_nothing_in_but_the_gateway() -> None:
    resources = {
        (entry["kind"], entry["metadata"]["name"]): entry["spec"] for entry in manifests(KUBERNETES / "network.yaml")
    }
    assert resources["NetworkPolicy", "default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    open_to_all = {
        name: spec["podSelector"]
        for (kind, name), spec in resources.items()
        if kind == "NetworkPolicy" and any("from" not in rule for rule in spec.get("ingress", ()))
    }
    assert open_to_all == {"gateway": {"matchLabels": {"app": "gateway"}}}
    assert resources["PodDisruptionBudget", "gateway"]["minAvailable"] == 1
    assert "network.yaml" in next(manifests(KUBERNETES / "kustomization.yaml"))["resources"]
