"""The manifests for Kubernetes agree with the service, vLLM and Kubernetes' own schemas."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from weft.service.config.file import ServiceConfig, load_config
from weft.service.openapi import document

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deploy" / "kubernetes"
BASE, POSTGRES = FOLDER / "base", FOLDER / "postgres"
KINDS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "Service": "v1",
    "PersistentVolumeClaim": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}
SECRETS = ("WEFT_KEY", "WEFT_ADMIN_KEY", "WEFT_SECRET")


def objects(*folders: Path) -> list[dict[str, Any]]:
    """The objects of what a kustomization names."""
    return [
        found
        for folder in folders
        for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        for found in yaml.safe_load_all((folder / name).read_text())
    ]


EVERYTHING = objects(BASE, POSTGRES, FOLDER / "monitoring")


def one(kind: str, name: str) -> Any:
    [found] = [o for o in EVERYTHING if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def pod(kind: str, name: str) -> tuple[Any, Any]:
    """The pods of a workload, and their only container."""
    spec = one(kind, name)["spec"]["template"]["spec"]
    [container] = spec["containers"]
    return spec, container


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> ServiceConfig:
    _, container = pod("Deployment", "weft")
    for name in SECRETS:
        monkeypatch.setenv(name, f"weft-{name:_<40}")
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    return load_config(BASE / "serve.yaml")


def test_objects_have_what_kubernetes_asks_for() -> None:
    """A look at the form alone; `test_schemas` has more where its package is installed."""
    for found in EVERYTHING:
        kind, spec = found["kind"], found["spec"]
        assert found["apiVersion"] == KINDS[kind]
        assert re.fullmatch(r"[a-z0-9-]{1,63}", found["metadata"]["name"])
        if kind not in ("Deployment", "StatefulSet"):
            continue
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
        inner = spec["template"]["spec"]
        claims = {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", ())}
        volumes = claims | {volume["name"] for volume in inner.get("volumes", ())}
        [container] = inner["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        ports = {port["name"] for port in container["ports"]}
        probes = [container[name] for name in container if name.endswith("Probe")]
        assert probes
        assert {p["httpGet"]["port"] for p in probes if "httpGet" in p} <= ports
        assert "memory" in container["resources"]["limits"]
        [service] = [
            o
            for o in EVERYTHING
            if o["kind"] == "Service" and o["spec"]["selector"] == spec["selector"]["matchLabels"]
        ]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
        if kind == "StatefulSet":
            assert spec["serviceName"] == service["metadata"]["name"]


def test_schemas() -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="install kubernetes-validate")
    for found in EVERYTHING:
        if found["kind"] != "ServiceMonitor":  # is the Prometheus operator's
            schemas.validate(found, schemas.latest_version(), strict=True)


def test_the_configuration_is_weft_s(config: ServiceConfig) -> None:
    _, container = pod("Deployment", "weft")
    [secret] = [source["secretRef"]["name"] for source in container["envFrom"]]
    used = set(re.findall(r"\$\{(\w+)\}", (BASE / "serve.yaml").read_text()))
    assert used == {*SECRETS, *(variable["name"] for variable in container["env"])}
    assert f"create secret generic {secret} " in (ROOT / "docs" / "kubernetes.md").read_text()
    assert config.tenants
    assert config.listen.port == container["ports"][0]["containerPort"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["command"] == ["weft", "serve", f"{mounts['config']}/serve.yaml"]
    assert str(config.store).startswith(mounts["state"] + "/")
    [generated] = yaml.safe_load((BASE / "kustomization.yaml").read_text())["configMapGenerator"]
    assert generated["files"] == ["serve.yaml"]
    assert generated["name"] == pod("Deployment", "weft")[0]["volumes"][0]["configMap"]["name"]


def test_one_service_that_drains(config: ServiceConfig) -> None:
    spec = one("Deployment", "weft")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    inner, container = pod("Deployment", "weft")
    _, before = container["lifecycle"]["preStop"]["exec"]["command"]
    due = float(before) + config.limits.drain_seconds + 15
    assert inner["terminationGracePeriodSeconds"] >= due


def test_probes_are_routes_of_the_service() -> None:
    routes = set(document()["paths"])
    _, container = pod("Deployment", "weft")
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness")}
    assert set(paths.values()) == {"/health"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    monitor = one("ServiceMonitor", "weft")["spec"]["endpoints"][0]
    assert {"/health", "/ready", monitor["path"]} <= routes
    marks = one("Deployment", "weft")["spec"]["template"]["metadata"]["annotations"]
    assert marks["prometheus.io/path"] == monitor["path"]
    assert marks["prometheus.io/port"] == str(container["ports"][0]["containerPort"])


def test_engines_are_the_replicas_of_vllm(config: ServiceConfig) -> None:
    replicas = one("StatefulSet", "vllm")["spec"]["replicas"]
    _, container = pod("StatefulSet", "vllm")
    flags = dict(word.removeprefix("--").split("=", 1) for word in container["command"][3:])
    port = container["ports"][0]["containerPort"]
    assert flags["port"] == str(port)
    assert [(e.spec, e.name, e.concurrency) for e in config.engines] == [
        (f"http://vllm-{i}.vllm:{port}", f"vllm-{i}", int(flags["max-num-seqs"]))
        for i in range(replicas)
    ]
    assert one("Service", "vllm")["spec"]["clusterIP"] == "None"
    documented = (ROOT / "docs" / "leases.md").read_text()
    [wanted] = re.findall(r"--kv-transfer-config '(.*)'", documented)
    assert json.loads(flags["kv-transfer-config"]) == json.loads(wanted)


def test_vllm_has_the_flags() -> None:
    spec = importlib.util.find_spec("vllm")  # which does not import it
    if spec is None or spec.origin is None:
        pytest.skip("vLLM is missing")
    package = Path(spec.origin).parent
    sources = (package / "engine" / "arg_utils.py").read_text()
    _, container = pod("StatefulSet", "vllm")
    flags = {word.partition("=")[0] for word in container["command"][3:]} - {"--port"}
    assert {flag for flag in flags if f'"{flag}"' not in sources} == set()
    lines = (ROOT / "packaging" / "vllm.Dockerfile").read_text()
    known = (ROOT / "docs" / "leases.md").read_text()
    [version] = re.findall(r"FROM vllm/vllm-openai:v(\d+\.\d+)", lines)
    assert f"vLLM {version}" in known


def test_only_the_service_reaches_engines() -> None:
    policy = one("NetworkPolicy", "vllm")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= (
        one("StatefulSet", "vllm")["spec"]["template"]["metadata"]["labels"].items()
    )
    [rule] = policy["ingress"]
    [source] = rule["from"]
    labels = one("Deployment", "weft")["spec"]["template"]["metadata"]["labels"]
    assert source["podSelector"]["matchLabels"] == labels


def test_what_is_rendered(tmp_path: Path) -> None:
    """With all components the store is in PostgreSQL, and there is no volume for a file."""
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("kubectl is missing")
    shutil.copytree(FOLDER, tmp_path / "k")
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    [overlay] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "k" / "mine").mkdir()
    (tmp_path / "k" / "mine" / "kustomization.yaml").write_text(
        "\n".join(line[4:] for line in overlay.splitlines())
    )
    done = subprocess.run(
        [kubectl, "kustomize", tmp_path / "k" / "mine"], capture_output=True, text=True, check=True
    )
    found = list(yaml.safe_load_all(done.stdout))
    assert {o["kind"] for o in found} == {"ConfigMap", *KINDS} - {"PersistentVolumeClaim"}
    [deployment] = [o for o in found if o["kind"] == "Deployment"]
    assert {o["metadata"].get("namespace") for o in found} == {"inference"}
    inner = deployment["spec"]["template"]["spec"]
    [container] = inner["containers"]
    [variable] = container["env"]
    assert variable["name"] == "WEFT_STORE"
    assert variable["valueFrom"]["secretKeyRef"]["name"] == "weft-postgres"
    assert {"name": "state", "emptyDir": {}} in inner["volumes"]
    assert container["image"].startswith("registry.mine.org/weft:")
