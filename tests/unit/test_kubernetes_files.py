"""deploy/kubernetes: no key that Kubernetes does not know stands where it is used, and the files agree with each other,
with the image and with the proxy. `docs/deploy.md` says which tools have read them as well."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrypoints.config.load import load_settings
from entrypoints.processes import supervisor
from tests.unit.config_examples import ROOT

FOLDER = ROOT / "deploy/kubernetes"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
FILES: dict[str, dict[str, Any]] = {path.name: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}
DEPLOYMENT = FILES["deployment.yaml"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]

ANY: Any = None
"""Names of its own, or a single value."""
_META = {"name": ANY, "labels": ANY}
_HEAD = {"apiVersion": ANY, "kind": ANY, "metadata": _META}
_LABELS = {"matchLabels": ANY}
_PROBE = {
    "httpGet": {"path": ANY, "port": ANY, "httpHeaders": ANY},
    **dict.fromkeys(("periodSeconds", "timeoutSeconds", "failureThreshold", "initialDelaySeconds")),
}
_CONTAINER = {
    **dict.fromkeys(("name", "image")),
    "ports": {"name": ANY, "containerPort": ANY},
    "envFrom": {"secretRef": {"name": ANY}},
    "securityContext": {
        **dict.fromkeys(("allowPrivilegeEscalation", "readOnlyRootFilesystem")),
        "capabilities": {"drop": ANY},
    },
    "resources": {"requests": {"cpu": ANY, "memory": ANY}, "limits": {"memory": ANY}},
    "lifecycle": {"preStop": {"exec": {"command": ANY}}},
    **dict.fromkeys(("startupProbe", "livenessProbe", "readinessProbe"), _PROBE),
    "volumeMounts": dict.fromkeys(("name", "mountPath", "readOnly")),
}
_POD = {
    **dict.fromkeys(("enableServiceLinks", "automountServiceAccountToken", "terminationGracePeriodSeconds")),
    "securityContext": {
        **dict.fromkeys(("runAsNonRoot", "runAsUser", "runAsGroup")),
        "seccompProfile": {"type": ANY},
    },
    "topologySpreadConstraints": {
        **dict.fromkeys(("maxSkew", "topologyKey", "whenUnsatisfiable")),
        "labelSelector": _LABELS,
    },
    "containers": _CONTAINER,
    "volumes": {"name": ANY, "configMap": {"name": ANY}, "emptyDir": {"medium": ANY, "sizeLimit": ANY}},
}
KNOWN: dict[tuple[str, str], Any] = {
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"): {
        **dict.fromkeys(("apiVersion", "kind", "resources")),
        "images": dict.fromkeys(("name", "newName", "newTag")),
    },
    ("v1", "ConfigMap"): _HEAD | {"data": ANY},
    ("v1", "Secret"): _HEAD | {"type": ANY, "stringData": ANY},
    ("v1", "Service"): _HEAD | {"spec": {"selector": ANY, "ports": dict.fromkeys(("name", "port", "targetPort"))}},
    ("policy/v1", "PodDisruptionBudget"): _HEAD | {"spec": {"maxUnavailable": ANY, "selector": _LABELS}},
    ("apps/v1", "Deployment"): _HEAD
    | {
        "spec": {
            "selector": _LABELS,
            "strategy": {"type": ANY, "rollingUpdate": {"maxSurge": ANY, "maxUnavailable": ANY}},
            "template": {"metadata": _META, "spec": _POD},
        }
    },
    ("autoscaling/v2", "HorizontalPodAutoscaler"): _HEAD
    | {
        "spec": {
            "scaleTargetRef": dict.fromkeys(("apiVersion", "kind", "name")),
            **dict.fromkeys(("minReplicas", "maxReplicas")),
            "metrics": {
                "type": ANY,
                "resource": {"name": ANY, "target": {"type": ANY, "averageUtilization": ANY}},
            },
            "behavior": {
                "scaleDown": {
                    "stabilizationWindowSeconds": ANY,
                    "policies": dict.fromkeys(("type", "value", "periodSeconds")),
                }
            },
        }
    },
}


def unknown(value: Any, known: Any, path: str = "") -> list[str]:
    """The places of keys that are not known there."""
    if known is None:
        return []
    if isinstance(value, list):
        return [place for number, item in enumerate(value) for place in unknown(item, known, f"{path}[{number}]")]
    if not isinstance(value, dict):
        return [f"{path} is no mapping"]
    strange = [f"{path}.{key}" for key in value if key not in known]
    return strange + [
        place for key, item in value.items() if key in known for place in unknown(item, known[key], f"{path}.{key}")
    ]


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_key_is_one_that_kubernetes_knows_there(name: str) -> None:
    file = FILES[name]

    assert unknown(file, KNOWN[file["apiVersion"], file["kind"]]) == []


def test_a_key_that_is_misspelt_or_misplaced_is_found() -> None:
    spec = {"template": {"spec": {"enableServiceLink": False, "containers": [{"securityContext": {"runAsUser": 1}}]}}}

    assert unknown({"spec": spec}, KNOWN["apps/v1", "Deployment"]) == [
        ".spec.template.spec.enableServiceLink",
        ".spec.template.spec.containers[0].securityContext.runAsUser",
    ]


def test_all_files_are_applied_together() -> None:
    assert set(FILES["kustomization.yaml"]["resources"]) == FILES.keys() - {"kustomization.yaml"}
    assert [each["name"] for each in FILES["kustomization.yaml"]["images"]] == [CONTAINER["image"]]


def test_the_configuration_is_valid_with_the_variables_of_the_secret_once_they_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(FILES["configmap.yaml"]["data"]["llmproxy.yaml"])
    given = {name: f"value-of-{name}" for name in FILES["secret.yaml"]["stringData"]} | {"REDIS_URL": ""}
    flags = {"bind_address": "0.0.0.0", "bind_port": 4000}

    settings = load_settings(path, given, flags)

    assert settings.warnings == () and not settings.general.uses_redis
    assert load_settings(path, given | {"REDIS_URL": "redis://redis:6379/0"}, flags).general.uses_redis


def test_the_image_reads_the_configuration_where_it_is_mounted_and_runs_as_its_own_user() -> None:
    read = re.search(r"LLMPROXY_CONFIG=(\S+)", DOCKERFILE)
    user = re.search(r"^USER (\d+):(\d+)", DOCKERFILE, re.MULTILINE)
    mounts = {each["name"]: each["mountPath"] for each in CONTAINER["volumeMounts"]}
    volumes = {each["name"]: each for each in POD["volumes"]}

    assert read is not None and user is not None
    assert mounts["config"] == str(Path(read[1]).parent)
    assert volumes.keys() == mounts.keys()
    assert volumes["config"]["configMap"]["name"] == FILES["configmap.yaml"]["metadata"]["name"]
    assert CONTAINER["envFrom"] == [{"secretRef": {"name": FILES["secret.yaml"]["metadata"]["name"]}}]
    context = POD["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user.groups()


def test_the_port_is_the_images_everywhere() -> None:
    (port,) = CONTAINER["ports"]
    (served,) = FILES["service.yaml"]["spec"]["ports"]
    probed = {CONTAINER[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "liveness", "readiness")}

    assert f"EXPOSE {port['containerPort']}\n" in DOCKERFILE
    assert {served["targetPort"], *probed} == {port["name"]}


def test_all_select_the_same_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    selectors = [
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        FILES["service.yaml"]["spec"]["selector"],
        FILES["disruption.yaml"]["spec"]["selector"]["matchLabels"],
        POD["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    target = FILES["autoscaler.yaml"]["spec"]["scaleTargetRef"]

    assert all(selector == labels for selector in selectors)
    assert (target["kind"], target["name"]) == (DEPLOYMENT["kind"], DEPLOYMENT["metadata"]["name"])


def test_liveness_does_not_depend_on_providers() -> None:
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_a_pod_has_longer_to_end_than_its_requests(tmp_path: Path) -> None:
    command = " ".join(CONTAINER["lifecycle"]["preStop"]["exec"]["command"])
    settings = yaml.safe_load(FILES["configmap.yaml"]["data"]["llmproxy.yaml"])["general_settings"]
    waits = re.search(r"sleep\((\d+)\)", command)

    assert waits is not None
    ends_s = int(waits[1]) + settings["drain_timeout"] + supervisor._KILL_GRACE_S
    assert POD["terminationGracePeriodSeconds"] > ends_s


def test_no_service_sets_variables_and_no_token_is_mounted() -> None:
    assert POD["enableServiceLinks"] is False
    assert POD["automountServiceAccountToken"] is False


def test_no_secret_is_committed() -> None:
    assert set(FILES["secret.yaml"]["stringData"].values()) == {""}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kubectl_puts_them_together() -> None:
    done = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=True)
    made = list(yaml.safe_load_all(done.stdout))

    (image,) = FILES["kustomization.yaml"]["images"]
    (deployment,) = [each for each in made if each["kind"] == "Deployment"]
    assert {each["kind"] for each in made} == {each["kind"] for each in FILES.values()} - {"Kustomization"}
    used = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert used == f"{image['newName']}:{image['newTag']}"
