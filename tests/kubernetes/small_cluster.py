"""As much of a cluster as the manifests need: an API that kubectl can talk to, StatefulSets and Jobs, pods as processes.

It is no Kubernetes: nothing is scheduled, admitted or filtered. What it shares with one is what the manifests say: the
commands, variables, volumes, names, probes, and who is started anew when.
"""

import json
import shutil
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from tests.kubernetes.containers import Container, Network
from tests.kubernetes.small_api import NAMESPACE, Object, handler_of

_TICK: Final = 0.1
_PROBE_SECONDS: Final = 0.5


def merged(old: Any, new: Any) -> Any:
    """A JSON merge patch."""
    if not isinstance(new, dict) or not isinstance(old, dict):
        return deepcopy(new)
    both = {key: merged(old.get(key), value) if key in old else deepcopy(value) for key, value in new.items()}
    return {key: value for key, value in {**old, **both}.items() if value is not None}


@dataclass
class Pod:
    """A pod and its container, started anew where it ends or its liveness probe fails."""

    cluster: "SmallCluster"
    name: str
    owner: str
    labels: dict[str, str]
    spec: Object
    once: bool
    """Of a Job."""
    is_ready: bool = False
    restarts: int = 0
    phase: str = "Pending"
    stopping: bool = False
    gone: bool = False
    container: Container | None = None
    thread: threading.Thread | None = None
    why: list[str] = field(default_factory=list)
    """Why it was started anew."""

    def begin(self) -> None:
        self.thread = threading.Thread(target=self._live, daemon=True)
        self.thread.start()

    def shown(self) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": NAMESPACE, "labels": self.labels},
            "spec": {"containers": [{"name": self.spec["containers"][0]["name"]}]},
            "status": {"phase": self.phase},
        }

    def _live(self) -> None:
        try:
            while not self.stopping and not self.cluster.has_all(self.spec):
                time.sleep(_TICK)
            while not self.stopping:
                container = self.container = self.cluster.container(self)
                container.start()
                self.phase = "Running"
                self._watch(container)
                self.is_ready = False
                if self.stopping:
                    container.stop(self.spec.get("terminationGracePeriodSeconds", 30))
                elif self.once and (container.code == 0 or self.spec["restartPolicy"] == "Never"):
                    self.phase = "Failed" if container.code else "Succeeded"
                    return
                else:
                    self.restarts += 1
                    self.why.append(f"exit {container.code}")
                    time.sleep(0.5)
        except Exception as error:  # whoever waits for the pod is told
            self.why.append(repr(error))
            self.phase = "Failed"
        finally:
            self.gone = self.stopping

    def _watch(self, container: Container) -> None:
        """Until it ends, or is to."""
        probes = self.spec["containers"][0]
        failures, has_started, next_probe = 0, False, 0.0
        while container.code is None and not self.stopping:
            time.sleep(_TICK)
            if "readinessProbe" not in probes or time.monotonic() < next_probe:
                continue
            next_probe = time.monotonic() + _PROBE_SECONDS
            has_started = has_started or self._probe(probes["startupProbe"])
            if not has_started:
                continue
            self.is_ready = self._probe(probes["readinessProbe"])
            failures = 0 if self._probe(probes["livenessProbe"]) else failures + 1
            if failures >= probes["livenessProbe"].get("failureThreshold", 3):
                self.why.append("liveness")
                container.stop(5)

    def _probe(self, probe: Object) -> bool:
        """As the kubelet of its node asks, which no cut cable is between: from within its network."""
        asked = probe["httpGet"]
        ports = {it["name"]: it["containerPort"] for it in self.spec["containers"][0]["ports"]}
        return self.cluster.answers(self, ports[asked["port"]], asked["path"])


class SmallCluster:
    """Objects, and what controllers make of them; what runs is ended with the block.

    Args:
        folder: For files of pods and volumes.
        environment: Variables that every container has besides its own.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.network = Network(folder)
        self._environment = environment
        self._objects: dict[tuple[str, str], Object] = {}
        self.pods: dict[str, Pod] = {}
        self.replaces_at_once = True
        """As Kubernetes 1.35 does, where a StatefulSet says so; before, one pod after another, the last one first."""
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._server = ThreadingHTTPServer((self.network.gateway, 0), handler_of(self))
        self.address = f"http://{self.network.gateway}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        threading.Thread(target=self._control, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for pod in list(self.pods.values()):
            pod.stopping = True
            if pod.container is not None and pod.container.process is not None:
                pod.container.kill()
        for pod in list(self.pods.values()):
            if pod.thread is not None:
                pod.thread.join(20)
        self._server.shutdown()
        self._server.server_close()
        self.network.close()

    # What is asked of the API

    def find(self, kind: str, name: str) -> Object | None:
        with self._lock:
            if kind == "pods":
                return self.pods[name].shown() if name in self.pods else None
            return deepcopy(self._objects.get((kind, name)))

    def listed(self, kind: str, labels: dict[str, str]) -> list[Object]:
        with self._lock:
            found = [it.shown() for it in self.pods.values()] if kind == "pods" else []
            found += [deepcopy(body) for (it, _), body in self._objects.items() if it == kind]
        return [it for it in found if labels.items() <= it["metadata"].get("labels", {}).items()]

    def put(self, kind: str, name: str, body: Object) -> Object:
        """Make or replace an object; what a manifest does not say of `replicas` stays as it is."""
        with self._lock:
            old = self._objects.get((kind, name), {})
            kept = {"replicas": old["spec"]["replicas"]} if kind == "statefulsets" and old else {}
            body = {**body, "metadata": {**body["metadata"], "namespace": NAMESPACE, "uid": str(uuid4())}}
            body.pop("status", None)
            if kind == "statefulsets":
                body["spec"] = {"replicas": 1, **kept, **body["spec"]}
            if kind == "persistentvolumeclaims" and not old:
                volume = self.folder / "claims" / name
                volume.mkdir(parents=True)
                shutil.chown(volume, 65532, 65532)  # as fsGroup has it
            self._objects[kind, name] = body
            return deepcopy(body)

    def merge(self, kind: str, name: str, change: Object) -> Object | None:
        with self._lock:
            if (kind, name) not in self._objects:
                return None
            self._objects[kind, name] = merged(self._objects[kind, name], change)
            return deepcopy(self._objects[kind, name])

    def drop(self, kind: str, name: str) -> bool:
        with self._lock:
            if kind == "pods" and name in self.pods:
                self.pods[name].stopping = True
                return True
            return self._objects.pop((kind, name), None) is not None

    def log(self, pod: str) -> str:
        container = self.pods[pod].container if pod in self.pods else None
        return container.log.read_text(errors="replace") if container is not None and container.log.exists() else ""

    def may(self, verb: str, group: str, resource: str, name: str) -> bool:
        """Whether the account of `k8s/operate` may do something."""

        def allows(rule: Object) -> bool:
            is_named = name in rule["resourceNames"] if "resourceNames" in rule else True
            return verb in rule["verbs"] and group in rule["apiGroups"] and resource in rule["resources"] and is_named

        return any(map(allows, self._objects["roles", "memes-operate"]["rules"]))

    # What controllers do

    def _control(self) -> None:
        while not self._over.wait(_TICK):
            with self._lock:
                for (kind, name), body in list(self._objects.items()):
                    if kind == "statefulsets":
                        self._reconcile(name, body)
                    elif kind == "jobs":
                        self._run_job(name, body)

    def _reconcile(self, name: str, body: Object) -> None:
        spec = body["spec"]
        wanted = json.dumps(spec["template"], sort_keys=True)
        own = {pod.name: pod for pod in self.pods.values() if pod.owner == name}
        for number in range(spec["replicas"]):
            pod_name = f"{name}-{number}"
            if pod_name not in own:
                self._start_pod(name, pod_name, body)
        for pod in self._to_replace([own.get(f"{name}-{it}") for it in range(spec["replicas"])], wanted, spec):
            pod.stopping = True
        for pod in own.values():
            if int(pod.name.rpartition("-")[2]) >= spec["replicas"]:
                pod.stopping = True
            if pod.gone:
                del self.pods[pod.name]
        ready = sum(pod.is_ready for pod in own.values() if not pod.stopping)
        body["status"] = {"replicas": len(own), "readyReplicas": ready}

    def _to_replace(self, own: list[Pod | None], wanted: str, spec: Object) -> Iterator[Pod]:
        """The pods whose template is another one, of which one has its turn when all after it are ready."""
        all_at_once = spec.get("updateStrategy", {}).get("rollingUpdate", {}).get("maxUnavailable") == "100%"
        for pod in reversed(own):
            is_old = pod is not None and pod.spec["_template"] != wanted
            if pod is not None and is_old:
                yield pod
            if not (all_at_once and self.replaces_at_once) and (pod is None or is_old or not pod.is_ready):
                return

    def _start_pod(self, owner: str, name: str, body: Object) -> None:
        template = deepcopy(body["spec"]["template"])
        spec = template["spec"]
        for claim in body["spec"].get("volumeClaimTemplates", []):
            claim_name = f"{claim['metadata']['name']}-{name}"
            if ("persistentvolumeclaims", claim_name) not in self._objects:
                self.put(
                    "persistentvolumeclaims", claim_name, {"metadata": {"name": claim_name}, "spec": claim["spec"]}
                )
            volume = {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim_name}}
            spec.setdefault("volumes", []).append(volume)
        spec["_template"] = json.dumps(body["spec"]["template"], sort_keys=True)
        self._begin(Pod(self, name, owner, template["metadata"]["labels"], spec, once=False))

    def _run_job(self, name: str, body: Object) -> None:
        pod = next((it for it in self.pods.values() if it.owner == f"job/{name}"), None)
        if pod is None and "status" not in body:
            template = body["spec"]["template"]
            labels = {**template["metadata"]["labels"], "job-name": name}
            body["status"] = {}
            self._begin(Pod(self, f"{name}-pod", f"job/{name}", labels, deepcopy(template["spec"]), once=True))
        elif pod is not None and pod.phase in {"Succeeded", "Failed"}:
            body["status"] = {pod.phase.lower(): 1}

    def _begin(self, pod: Pod) -> None:
        self.pods[pod.name] = pod
        self.network.add(pod.name)
        pod.begin()

    # What kubelets do

    def has_all(self, spec: Object) -> bool:
        """Whether all that a pod mounts or reads is there."""
        return all(self.find(kind, name) is not None for kind, name in _named(spec))

    def container(self, pod: Pod) -> Container:
        container = pod.spec["containers"][0]
        folder = self.folder / "pods" / pod.name
        volumes = {it["name"]: self._volume(folder, it) for it in pod.spec.get("volumes", [])}
        mounts = {it["mountPath"]: volumes[it["name"]] for it in container.get("volumeMounts", [])}
        variables = {"KUBERNETES_SERVICE_HOST": self.network.gateway, "HOSTNAME": pod.name, **self._environment}
        for source in container.get("envFrom", []):
            kind, key = ("configmaps", "configMapRef") if "configMapRef" in source else ("secrets", "secretRef")
            variables |= (self.find(kind, source[key]["name"]) or {}).get("data", {})
        for it in container.get("env", []):
            variables[it["name"]] = pod.name if "valueFrom" in it else it.get("value", "")  # the only field asked for
        words = [*container.get("command", []), *container.get("args", [])]
        if words[:2] == ["memewax", "kubernetes"]:  # this API has no TLS, and asks for no account
            words += ["--api", self.address]
        return Container(folder, words, variables, mounts, self.network, pod.name)

    def answers(self, pod: Pod, port: int, path: str) -> bool:
        with suppress(OSError, HTTPException), closing(HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
            connection.sock = self.network.connected(pod.name, port)
            connection.request("GET", path)
            return connection.getresponse().status == 200
        return False

    def _volume(self, folder: Path, volume: Object) -> Path:
        if "persistentVolumeClaim" in volume:
            return self.folder / "claims" / volume["persistentVolumeClaim"]["claimName"]
        place = folder / "volumes" / volume["name"]
        place.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            for name, text in (self.find("configmaps", volume["configMap"]["name"]) or {"data": {}})["data"].items():
                (place / name).write_text(text)
        elif "secret" in volume:
            for name, coded in (self.find("secrets", volume["secret"]["secretName"]) or {"data": {}})["data"].items():
                (place / name).write_bytes(b64decode(coded))
        else:
            place.chmod(0o777)
        return place


def _named(spec: Object) -> Iterator[tuple[str, str]]:
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            yield "configmaps", volume["configMap"]["name"]
        elif "secret" in volume:
            yield "secrets", volume["secret"]["secretName"]
        elif "persistentVolumeClaim" in volume:
            yield "persistentvolumeclaims", volume["persistentVolumeClaim"]["claimName"]
    for source in spec["containers"][0].get("envFrom", []):
        if "configMapRef" in source:
            yield "configmaps", source["configMapRef"]["name"]
        elif not source["secretRef"].get("optional"):
            yield "secrets", source["secretRef"]["name"]
