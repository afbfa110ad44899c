"""The manifests: of the form that Kubernetes wants, named rightly, and no more open than they need be."""

import ipaddress
import json
import os
import re
from itertools import pairwise
from pathlib import Path

import kubernetes_validate
import pytest

from connectors.fetching.address_policy import _V4_SPECIAL
from connectors.topics.declared import ANSWERING, FLOW
from core.activity import Activity
from core.health import FlowHealth, health_pages
from core.settings import PREFIX
from dataflows.all_settings import Settings, load_settings
from memewax.commands.flow_in_pods import BACKUPS, recovery_job
from tests.kubernetes.manifests import FOLDER, OVERLAYS, Object, needs_kubectl, of_kind, overlay, pods, rendered
from tests.test_docs import parse

VERSIONS = ("1.31", "1.34", "1.37")
_DOCUMENTATION = [*map(ipaddress.IPv4Network, ("192.0.2.0/24", "192.88.99.0/24", "198.51.100.0/24", "203.0.113.0/24"))]
"""Networks that nobody has."""
OF_OTHERS = {"monitoring.coreos.com/v1", "keda.sh/v1alpha1"}
"""Whose schemas Kubernetes does not have."""

pytestmark = needs_kubectl
each = pytest.mark.parametrize("name", OVERLAYS)


@pytest.mark.parametrize("version", VERSIONS)
@each
def test_they_are_as_the_schemas_of_kubernetes_say(name: str, version: str) -> None:
    checked = [it for it in overlay(name) if it["apiVersion"] not in OF_OTHERS]
    assert len(checked) > 12
    for it in checked:
        kubernetes_validate.validate(it, version, strict=True)


def test_what_is_wrong_would_be_noticed() -> None:
    states = json.loads(json.dumps(of_kind(overlay("cpu"), "StatefulSet")["memes"]))
    states["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(states, VERSIONS[0], strict=True)


@each
def test_they_name_each_other_rightly(name: str) -> None:
    objects = overlay(name)
    maps, claims = of_kind(objects, "ConfigMap"), of_kind(objects, "PersistentVolumeClaim")
    accounts = of_kind(objects, "ServiceAccount")
    assert {it["metadata"].get("namespace", "memewax") for it in objects} == {"memewax"}
    for owner, pod in pods(objects).items():
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        templates = objects_of(objects, owner).get("volumeClaimTemplates", [])
        volumes = {it["name"] for it in spec.get("volumes", [])} | {it["metadata"]["name"] for it in templates}
        assert {it["name"] for it in container["volumeMounts"]} == volumes, owner
        for source in container.get("envFrom", []):
            assert "secretRef" in source or source["configMapRef"]["name"] in maps
        for volume in spec["volumes"]:
            assert volume.get("configMap", {"name": "memes-hosts"})["name"] == "memes-hosts"  # which a command makes
            assert "persistentVolumeClaim" not in volume or volume["persistentVolumeClaim"]["claimName"] in claims
        assert spec.get("serviceAccountName", "memes-operate") in accounts
    for it in of_kind(objects, "Service").values():
        assert any(selects(it["spec"]["selector"], pod) for pod in pods(objects).values())
    for it in of_kind(objects, "PodDisruptionBudget").values():
        assert any(selects(it["spec"]["selector"]["matchLabels"], pod) for pod in pods(objects).values())


def objects_of(objects: list[Object], owner: str) -> Object:
    kind, _, name = owner.partition("/")
    found: Object = of_kind(objects, kind)[name]["spec"]
    return found


def selects(labels: dict[str, str], pod: Object) -> bool:
    return labels.items() <= pod["metadata"]["labels"].items()


@each
def test_the_flow_is_as_bytewax_and_health_want_it(name: str) -> None:
    objects = overlay(name)
    states = of_kind(objects, "StatefulSet")["memes"]["spec"]
    container = states["template"]["spec"]["containers"][0]
    assert "replicas" not in states  # applying it again changes nothing
    assert states["serviceName"] in of_kind(objects, "Service")
    variables = {it["name"]: it.get("value") for it in container["env"]}
    assert variables["BYTEWAX_STATEFULSET_NAME"] == "memes"
    mounts = {it["mountPath"] for it in container["volumeMounts"]}
    assert str(Path(str(variables["BYTEWAX_HOSTFILE_PATH"])).parent) in mounts
    ports = {it["name"]: it["containerPort"] for it in container["ports"]}
    assert ports["health"] == Settings.model_fields["health_port"].default
    pages = health_pages(FlowHealth(Activity(), 1))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in pages
        assert container[probe]["httpGet"]["port"] in ports
    monitor = of_kind(objects, "PodMonitor").get("memewax")
    if monitor is not None:
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["path"] in pages
        assert endpoint["port"] in ports
    drain = Settings.model_fields["drain_seconds"].default
    assert states["template"]["spec"]["terminationGracePeriodSeconds"] >= 2 * drain + 60


@each
def test_what_they_set_are_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = next(it["data"] for it in of_kind(overlay(name), "ConfigMap").values())
    of_stores = {"similarity", "page"} if "memes-store" in of_kind(overlay(name), "PersistentVolumeClaim") else set()
    with_them = set()
    for owner, pod in pods(overlay(name)).items():
        container = pod["spec"]["containers"][0]
        if not any("configMapRef" in it for it in container.get("envFrom", [])):
            continue
        with_them.add(owner.partition("/")[2])
        own = {it["name"]: it["value"] for it in container.get("env", []) if "value" in it}
        whole = {key: value for key, value in (settings | own).items() if not key.startswith("BYTEWAX_")}
        known = {f"{PREFIX}{it.upper()}" for it in Settings.model_fields}
        assert whole.keys() <= known | {"OMP_NUM_THREADS"}
        with monkeypatch.context() as patched:
            for key, value in whole.items():
                patched.setenv(key, value)
            threads = load_settings().threads
        # No more threads than the pod has processors, however many its node has.
        assert str(threads) == whole["OMP_NUM_THREADS"]
        assert threads <= float(container["resources"]["limits"]["cpu"])
    assert with_them == {"memes", *of_stores}, "whose models have to be the same"


@each
def test_jobs_with_the_store_go_where_it_is(name: str) -> None:
    """A volume that one node has mounted cannot be mounted by another; and the first of all may go anywhere."""
    flow = of_kind(overlay(name), "StatefulSet")["memes"]["spec"]["template"]["spec"]
    if not any(it["name"] == "store" for it in flow["volumes"]):
        return
    job = recovery_job("memes-move-1", flow, [], {}, 900.0)["spec"]["template"]
    for pod in (job, *(it for owner, it in pods(overlay(name)).items() if owner.startswith("StatefulSet"))):
        if pod["metadata"]["labels"].get("app") == "kafka":
            assert "affinity" not in pod["spec"]
            continue
        (term,) = pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (expression,) = term["labelSelector"]["matchExpressions"]
        assert pod["metadata"]["labels"]["app.kubernetes.io/component"] in expression["values"]


@each
def test_commands_and_topics_in_them_exist(name: str) -> None:
    topics = {it.name for it in (*FLOW, *ANSWERING)}
    count = 0
    for pod in pods(overlay(name)).values():
        words = pod["spec"]["containers"][0].get("args", [])
        if words[:1] == ["memewax"] and "--help" not in words:
            parse(words[1:])
            count += 1
        named = [after for word, after in pairwise(words) if word == "--only"]
        assert set(named) <= topics
    assert count


@each
def test_pods_have_no_more_rights_than_they_need(name: str) -> None:
    """The profile `restricted` of Kubernetes, and more."""
    for owner, pod in pods(overlay(name)).items():
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        context, own = spec["securityContext"], container["securityContext"]
        assert context["runAsNonRoot"], owner
        assert context["runAsUser"] >= 1000
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["enableServiceLinks"] is False, owner
        assert spec["automountServiceAccountToken"] is (spec.get("serviceAccountName") is not None), owner
        assert set(container["resources"]["requests"]) >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert re.fullmatch(r"[\w/.-]+:\d[\w.-]+", container["image"]), "an exact version"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not any("hostPath" in it for it in spec["volumes"])


@each
def test_the_network_is_closed_but_for_what_is_needed(name: str) -> None:
    policies = of_kind(overlay(name), "NetworkPolicy")
    assert policies["memes-nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    blocks = [
        to["ipBlock"] for rule in policies["memes-flow"]["spec"]["egress"] for to in rule["to"] if "ipBlock" in to
    ]
    refused = (
        "169.254.169.254",
        "10.96.0.1",
        "172.20.0.1",
        "192.168.1.1",
        "100.100.100.200",
        "127.0.0.1",
        "fd00:ec2::254",
    )
    special = [str(it.broadcast_address) for it in _V4_SPECIAL if it not in _DOCUMENTATION]
    for address in (*refused, *special):
        assert not any(lets_out(it, address) for it in blocks), address
    for address in ("1.1.1.1", "2606:4700::1111"):
        assert any(lets_out(it, address) for it in blocks), address
    labels = {pod["metadata"]["labels"].get("app.kubernetes.io/component") for pod in pods(overlay(name)).values()}
    assert labels >= {"flow", "operate", "topics"}


def lets_out(block: Object, address: str) -> bool:
    asked = ipaddress.ip_address(address)

    def covers(network: str) -> bool:
        there = ipaddress.ip_network(network)
        return asked.version == there.version and asked in there

    return covers(block["cidr"]) and not any(map(covers, block.get("except", [])))


def test_a_changed_setting_starts_pods_anew(tmp_path: Path) -> None:
    def template(threads: str) -> Object:
        changed = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(FOLDER / "overlays/cpu", tmp_path)],
            "namespace": "memewax",
            "configMapGenerator": [
                {"name": "memes-settings", "behavior": "merge", "literals": [f"MEMEWAX_THREADS={threads}"]}
            ],
        }
        (tmp_path / "kustomization.yaml").write_text(json.dumps(changed))
        found: Object = of_kind(rendered(tmp_path), "StatefulSet")["memes"]["spec"]["template"]
        return found

    assert template("3") != template("4")
    assert template("3") == template("3")


def test_who_rescales_may_do_what_it_does_and_no_more() -> None:
    role = of_kind(overlay("cpu"), "Role")["memes-operate"]
    for rule in role["rules"]:
        assert "*" not in [*rule["resources"], *rule["verbs"], *rule["apiGroups"]]
        assert "secrets" not in rule["resources"]
        made = {f"memes-{it}" for it in ("hosts", "operation")} if rule["resources"] == ["configmaps"] else {"memes"}
        assert set(rule.get("resourceNames", made)) == made, "kustomize renames what is named as a ConfigMap of its own"
    binding = of_kind(overlay("cpu"), "RoleBinding")["memes-operate"]
    assert [it["name"] for it in binding["subjects"]] == ["memes-operate"]
    assert f"memes-{BACKUPS}" in of_kind(overlay("cpu"), "PersistentVolumeClaim")


def test_keda_only_starts_the_job() -> None:
    kinds = {it["kind"] for it in overlay("keda") if it["apiVersion"].startswith("keda.sh")}
    assert kinds == {"ScaledJob"}
    own = {name: pod for name, pod in pods(overlay("keda")).items() if name.startswith("ScaledJob")}
    image = of_kind(overlay("keda"), "CronJob")["memes-operate"]
    for pod in own.values():
        container = pod["spec"]["containers"][0]
        assert container["image"] == image["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
        assert container["args"][:3] == ["memewax", "kubernetes", "scale"]
        assert container["args"][3].startswith("--by=")
