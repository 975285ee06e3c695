"""Compose and Kubernetes files use existing settings, ports and images, the users of topics.yaml, and no default password."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eddy.contract.topics import topics
from eddy.kafka.permissions import PUBLISHERS
from eddy.paths import REPO_ROOT
from eddy.settings import Settings, load
from eddy_cli.commands import make_app
from eddy_cli.replay.options import MAX_SKEW_SEC
from eddy_cli.services import SERVICES
from eddy_cli.topics.acls import PRINCIPAL, REGISTRY, USERS, login_of
from eddy_cli.topics.passwords import variable_of
from eddy_gateway.settings import GatewaySettings
from eddy_joiner.settings import JoinerSettings

KUBERNETES = REPO_ROOT / "deploy" / "kubernetes"


def settings_of_env_file() -> dict[str, str]:
    lines = (REPO_ROOT / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def compose() -> dict[str, Any]:
    """The services, with the values of .env, and each password replaced by `secret:NAME`."""
    text = (REPO_ROOT / "docker-compose.yml").read_text()
    for name, value in settings_of_env_file().items():
        text = text.replace(f"${{{name}}}", value)
    text = re.sub(r"\$\{(\w*PASSWORD\w*):\?[^}]*\}", r"secret:\1", text)
    assert "${" not in text, "docker-compose.yml asks for what .env does not say"
    return dict(yaml.safe_load(text)["services"])


def manifests(path: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(path.read_text())


def containers() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, container and pod of all workloads on Kubernetes."""
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for manifest in manifests(path):
            if pod := manifest.get("spec", {}).get("template", {}).get("spec"):
                for container in pod["containers"]:
                    yield container["name"], container, pod


def environment_on_kubernetes(name: str) -> dict[str, str]:
    """Variables of a container; those from the secret `passwords` as `secret:KEY`."""
    (container,) = [container for found, container, _ in containers() if found == name]
    values = {}
    for entry in container["env"]:
        if source := entry.get("valueFrom"):
            assert source["secretKeyRef"]["name"] == "passwords"
            values[entry["name"]] = f"secret:{source['secretKeyRef']['key']}"
        else:
            values[entry["name"]] = str(entry["value"])
    return values


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
    values = dict(literal.split("=", 1) for literal in kustomization["configMapGenerator"][0]["literals"])
    for service, settings in SERVICES.items():
        own = {name: value for name, value in environment_on_kubernetes(service).items() if name.startswith("EDDY_")}
        assert load(settings, values | own).kafka_security == "SASL_PLAINTEXT"
    images = {image["name"] for image in kustomization["images"]}
    assert images == {"eddy-cli", *(f"eddy-{service}" for service in SERVICES)}
    assert all((KUBERNETES / name).is_file() for name in kustomization["resources"])
    assert {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"} == {*kustomization["resources"]}


def test_every_name_in_topics_yaml_is_a_user_that_logs_in() -> None:
    named = {name for topic in topics().values() for name in (*topic.producers, *topic.consumers)}
    assert named <= set(USERS)
    for service in (*named - {PUBLISHERS},):
        for environment in (compose()[service]["environment"], environment_on_kubernetes(service)):
            assert environment["EDDY_KAFKA_USERNAME"] == login_of(service, PRINCIPAL).removeprefix("User:")
            assert environment["EDDY_KAFKA_PASSWORD"] == f"secret:{variable_of(service)}"
    assert SERVICES.keys() <= named


def test_users_topics_and_acls_are_created_from_topics_yaml() -> None:
    (job,) = [container for name, container, _ in containers() if name == "topics"]
    init = compose()["topics"]
    assert job["command"] == init["command"] == ["sh", "-c", job["command"][-1]]
    for step in job["command"][-1].split(" && "):
        command, *arguments = step.split()
        assert command == "eddy"
        with pytest.raises(SystemExit) as ended:
            make_app()([*arguments, "--help"])  # a command with these options exists
        assert ended.value.code == 0
    assert {" ".join(step.split()[1:3]) for step in job["command"][-1].split(" && ")} == {
        "topics users",
        "topics create",
        "topics acls",
    }
    assert "acls --apply --registry" in job["command"][-1]
    given = {name: value for name, value in init["environment"].items() if name.startswith("KAFKA_PASSWORD_")}
    assert given == {name: f"secret:{name}" for name in map(variable_of, (*USERS, REGISTRY))}
    assert {"secretRef": {"name": "passwords"}} in job["envFrom"]
    for environment in (init["environment"], environment_on_kubernetes("topics")):
        assert environment["EDDY_KAFKA_USERNAME"] == "eddy-admin"
        assert environment["EDDY_KAFKA_PASSWORD"] == "secret:KAFKA_PASSWORD_ADMIN"
    waits = {name: entry.get("depends_on", {}) for name, entry in compose().items()}
    assert all("topics" in waits[name] for name in (*SERVICES, "schema-registry"))


@pytest.mark.parametrize("platform", ["compose", "kubernetes"])
def test_kafka_lets_in_nobody_without_a_login_and_allows_nothing_without_an_acl(platform: str) -> None:
    kafka = compose()["kafka"]["environment"] if platform == "compose" else environment_on_kubernetes("kafka")
    listeners = [listener.partition("://")[0] for listener in kafka["KAFKA_LISTENERS"].split(",")]
    protocols = dict(entry.split(":") for entry in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert {protocols[listener] for listener in listeners} == {"SASL_PLAINTEXT"}
    assert kafka["KAFKA_AUTHORIZER_CLASS_NAME"].endswith(".StandardAuthorizer")
    assert kafka["KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND"] == "false"
    assert kafka["KAFKA_SUPER_USERS"] == "User:eddy-admin"
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    for listener in listeners:
        login = kafka[f"KAFKA_LISTENER_NAME_{listener}_PLAIN_SASL_JAAS_CONFIG"]
        secret = "secret:KAFKA_PASSWORD_ADMIN" if platform == "compose" else "$(ADMIN_PASSWORD)"
        assert re.findall(r'user_[\w-]+="[^"]*"', login) == [f'user_eddy-admin="{secret}"']
    registry = compose()["schema-registry"]["environment"] if platform == "compose" else None
    registry = registry or environment_on_kubernetes("schema-registry")
    assert 'username="eddy-schema-registry"' in registry["APICURIO_KAFKA_COMMON_SASL_JAAS_CONFIG"]


def test_kubernetes_expands_variables_that_were_set_before() -> None:
    """Kubernetes leaves `$(NAME)` as it is if NAME comes later, and Kafka would take that as its password."""
    for name, container, _ in containers():
        known: set[str] = set()
        for entry in container["env"]:
            assert set(re.findall(r"\$\((\w+)\)", str(entry.get("value", "")))) <= known, name
            known.add(entry["name"])


@pytest.mark.broker
def test_each_password_is_random_private_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "passwords.env"

    def create() -> dict[str, str]:
        subprocess.run(["sh", "deploy/passwords.sh", str(file)], cwd=REPO_ROOT, check=True)
        return dict(line.split("=", 1) for line in file.read_text().splitlines())

    passwords = create()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert passwords.keys() == {*map(variable_of, ("admin", *USERS, REGISTRY)), "GRAFANA_PASSWORD"}
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords.values())
    assert len(set(passwords.values())) == len(passwords)
    file.write_text(f"GRAFANA_PASSWORD={passwords['GRAFANA_PASSWORD']}\nKAFKA_PASSWORD_TOOLS=\n")
    again = create()
    assert again["GRAFANA_PASSWORD"] == passwords["GRAFANA_PASSWORD"]
    assert len(again["KAFKA_PASSWORD_TOOLS"]) == 48


def test_no_password_has_a_default() -> None:
    """Neither in .env nor in a manifest; compose stops with a line that says what to do."""
    assert not [
        name for name, value in settings_of_env_file().items() if "PASSWORD" in name or ("KEY" in name and value)
    ]
    text = (REPO_ROOT / "docker-compose.yml").read_text()
    assert {"use `make up`" in use for use in re.findall(r"\$\{\w*PASSWORD\w*([^}]*)\}", text)} == {True}
    (kustomization,) = manifests(KUBERNETES / "kustomization.yaml")
    assert all("literals" not in secret for secret in kustomization["secretGenerator"])
    ignored = (REPO_ROOT / ".gitignore").read_text().splitlines()
    assert {"deploy/kubernetes/keys/", ".secrets/"} <= set(ignored)
    assert all(
        name.startswith("keys/")
        for secret in kustomization["secretGenerator"]
        for name in (*secret.get("files", ()), *secret.get("envs", ()))
    )


def test_the_gateway_reads_api_keys_from_a_file() -> None:
    gateway = compose()["gateway"]
    assert "./.secrets/gateway:/keys/gateway:ro" in gateway["volumes"]
    makefile = (REPO_ROOT / "Makefile").read_text()
    assert 'GATEWAY_KEYS_FILE:=/keys/gateway/keys.yaml}"' in makefile
    assert load(GatewaySettings, {"EDDY_GATEWAY_KEYS_FILE": ""}).gateway_keys_file is None
    keys_file = Path(environment_on_kubernetes("gateway")["EDDY_GATEWAY_KEYS_FILE"])
    (pod, container) = next((pod, found) for name, found, pod in containers() if name == "gateway")
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mounted[str(keys_file.parent)]]
    (kustomization,) = manifests(KUBERNETES / "kustomization.yaml")
    (secret,) = [entry for entry in kustomization["secretGenerator"] if entry["name"] == volume["secret"]["secretName"]]
    assert secret["files"] == [f"keys/{keys_file.name}"]


def test_named_volumes_exist() -> None:
    """An unnamed one would stay behind at each `make down`."""
    declared = yaml.safe_load((REPO_ROOT / "docker-compose.yml").read_text())["volumes"]
    used = {volume.partition(":")[0] for service in compose().values() for volume in service.get("volumes", ())}
    assert {name for name in used if not name.startswith(".")} == declared.keys()


def test_containers_neither_write_to_their_root_nor_gain_privileges() -> None:
    for name, service in compose().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp" in [mount.partition(":")[0] for mount in service["tmpfs"]], name
    workloads = list(containers())
    assert {name for name, _, _ in workloads} == {*SERVICES, "kafka", "schema-registry", "topics"}
    for name, container, pod in workloads:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name


# Its digest is not known; `make pin-images` writes it.
UNPINNED = {"docker.io/apicurio/apicurio-registry:3.0.9"}


def test_images_are_pinned_and_the_same_everywhere() -> None:
    in_env = {value for name, value in settings_of_env_file().items() if name.endswith("_IMAGE")}
    base = re.findall(r"^ARG PYTHON_IMAGE=(.*)$", (REPO_ROOT / "Dockerfile").read_text(), re.MULTILINE)
    on_kubernetes = {container["image"] for name, container, _ in containers() if name not in SERVICES}
    assert on_kubernetes - {"eddy-cli"} <= in_env
    assert len(base) == 1
    pinned = re.compile(r"docker\.io/[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
    assert {image for image in (*in_env, *base) if not pinned.fullmatch(image)} <= UNPINNED
    assert set(re.findall(r"^FROM (\S+)", (REPO_ROOT / "Dockerfile").read_text(), re.MULTILINE)) == {
        "${PYTHON_IMAGE}",
        "tools",
    }


@pytest.mark.broker
def test_pin_images_writes_the_digests_of_a_registry(tmp_path: Path) -> None:
    """With a `docker` that answers as `docker buildx imagetools inspect` does."""
    docker, files = tmp_path / "docker", [tmp_path / "env", tmp_path / "manifest.yaml"]
    docker.write_text(
        '#!/bin/sh\ncase "$6$5" in *gone*) exit 1;; *kafka*) number=7;; *) number=8;; esac\n'
        'echo "sha256:$(printf "%064d" $number)"\n'
    )
    docker.chmod(0o755)
    old = "0" * 63 + "1"
    files[0].write_text(
        f"A=docker.io/apache/kafka:4.1.0@sha256:{old}\nB=docker.io/x/registry:3.0.9\n# docker.io/no/comment:1\n"
    )
    files[1].write_text("  image: docker.io/apache/kafka:4.1.0\n  other: docker.io/apache/kafka:4.1.0-rc1\n")

    def pin(*names: Path) -> subprocess.CompletedProcess[str]:
        command = ["sh", "deploy/pin-images.sh", *map(str, names)]
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return subprocess.run(command, cwd=REPO_ROOT, env=environment, capture_output=True, text=True, check=False)

    kafka, other = f"sha256:{7:064d}", f"sha256:{8:064d}"
    for _ in range(2):  # a second time changes nothing
        assert pin(*files).returncode == 0
        assert files[0].read_text() == (
            f"A=docker.io/apache/kafka:4.1.0@{kafka}\nB=docker.io/x/registry:3.0.9@{other}\n# docker.io/no/comment:1\n"
        )
        assert files[1].read_text() == (
            f"  image: docker.io/apache/kafka:4.1.0@{kafka}\n  other: docker.io/apache/kafka:4.1.0-rc1@{kafka}\n"
        )
    (tmp_path / "broken").write_text("docker.io/x/gone:1\n")
    failed = pin(tmp_path / "broken")
    assert failed.returncode == 1
    assert "cannot read the digest of docker.io/x/gone:1: check" in failed.stderr


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
    # A single replica must not block the drain of its node.
    for service in ("features", "scorer", "joiner"):
        assert resources["PodDisruptionBudget", service]["maxUnavailable"] == 1
    assert "network.yaml" in next(manifests(KUBERNETES / "kustomization.yaml"))["resources"]
