"""A flow of pods: a StatefulSet whose pods have a recovery folder each, on volumes of their own.

A flow of Bytewax has a fixed number of processes. So another number is a stop, parts that are dealt anew by a Job that
mounts all volumes, and a start. How many processes the parts are dealt to is noted in a ConfigMap, with the addresses
that each pod reads; the StatefulSet's manifest says nothing of `replicas`, so that applying it again changes nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from core.errors import BusyError, WorldError
from memewax.commands.kubernetes_api import KubernetesApi, Object

BACKUPS: Final = "backups"
"""The claim, and its path in a Job."""
_STORE: Final = "store"
_FOLDER: Final = "recovery"
_VOLUME: Final = "data"
_HOUR: Final = 3600
_TICK: Final = 1.0
_OVER: Final = {"Succeeded", "Failed"}


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass(slots=True)
class FlowInPods:
    """A flow, and what can be done with it.

    Args:
        api: Of its namespace.
        name: Of its StatefulSet.
        seconds: That each step may take.
        tick: Seconds between two looks at something that is waited for.
    """

    api: KubernetesApi
    name: str = "memes"
    seconds: float = 900.0
    tick: float = _TICK
    tell: Callable[[str], None] = field(default=_tell)

    @property
    def _hosts(self) -> str:
        return f"{self.name}-hosts"

    def processes(self) -> int:
        """How many its parts are dealt to; 0: it never ran."""
        found = self.api.find("configmaps", self._hosts)
        return 0 if found is None else len(found["data"]["hosts"].split())

    def scale(self, to: int, parts: int) -> None:
        """Stop it, deal its parts to another number of processes, and start that; 0: only stop it.

        The same command goes on where one was cut off, be it with another number.
        """
        with self._alone():
            self._scale(to, parts)

    def scale_by(self, by: int, least: int, most: int, quiet_seconds: float, parts: int) -> None:
        """Add processes, or take some away, within bounds; does nothing soon after the last time."""
        with self._alone():
            now, found = self.processes(), self.api.find("configmaps", self._hosts)
            to = max(least, min(most, now + by))
            rested = time.time() - float((found or {}).get("data", {}).get("changed", "0"))
            if found is None or to == now or rested < quiet_seconds:
                self.tell(f"{self.name} stays at {now} processes")
                return
            self._scale(to, parts)

    def backup(self, to: str) -> None:
        """Stop it, copy its recovery folders and its store to the claim `backups`, and start it again."""
        with self._alone():
            count = self._known()
            was_running = self._stop()
            try:
                folders = self._folders(count)
                self._job("backup", ["backup", *folders, "--to", f"/{BACKUPS}/{to}", *self._store_options()], count)
            finally:
                if was_running:
                    self._start(count)

    def restore(self, backed_up: str) -> None:
        """Stop it, put a backup in the place of its recovery folders and store, which are kept aside, and start it."""
        with self._alone():
            count = self._known()
            self._stop()
            folders = [word for folder in self._folders(count) for word in ("--recovery", folder)]
            options = [*folders, *self._store_options(), "--aside"]
            self._job("restore", ["restore", f"/{BACKUPS}/{backed_up}", *options], count)
            self._start(count)

    def _scale(self, to: int, parts: int) -> None:
        now = self.processes()
        self._stop()
        if to == 0:
            return
        self._claim(max(now, to))
        found = self.api.find("configmaps", self._hosts) or {"data": {}}
        begun = int(found["data"].get("moving", "0"))
        if begun and begun != to:  # it was cut off, and may have been done
            self._deal(now, begun, parts)
            now = begun
        self._note(now, moving=to)
        self._deal(now, to, parts)
        self._note(to, moving=0)
        self._start(to)

    def _deal(self, now: int, to: int, parts: int) -> None:
        targets = [word for folder in self._folders(to) for word in ("--to", folder)]
        if now == 0:
            self._job("create", ["create", *targets, "--parts", str(parts)], to)
        else:
            sources = [word for folder in self._folders(now) for word in ("--from", folder)]
            self._job("move", ["move", *sources, *targets], max(now, to))

    def _known(self) -> int:
        count = self.processes()
        if count == 0:
            raise WorldError(f"{self.name} never ran: start it with `memewax kubernetes scale --to 1`, or more")
        return count

    def _note(self, count: int, moving: int) -> None:
        spec = self.api.get("statefulsets", self.name)["spec"]
        ports = spec["template"]["spec"]["containers"][0]["ports"]
        port = next(it["containerPort"] for it in ports if it["name"] == "flow")
        hosts = "".join(f"{self.name}-{number}.{spec['serviceName']}:{port}\n" for number in range(count))
        data = {"hosts": hosts, "moving": str(moving), "changed": str(int(time.time()))}
        body = {"metadata": {"name": self._hosts}, "data": data}
        if not self.api.create("configmaps", body):
            self.api.merge("configmaps", self._hosts, {"data": data})

    def _stop(self) -> bool:
        """Whether it ran."""
        states = self.api.get("statefulsets", self.name)
        self.api.merge("statefulsets", self.name, {"spec": {"replicas": 0}})
        labels = states["spec"]["selector"]["matchLabels"]
        self._until(lambda: not self.api.list("pods", labels), f"pods of {self.name} to end")
        self.tell(f"{self.name} is stopped")
        return bool(states["spec"].get("replicas", 1))

    def _start(self, count: int) -> None:
        self.api.merge("statefulsets", self.name, {"spec": {"replicas": count}})

        def are_ready() -> bool:
            status = self.api.get("statefulsets", self.name).get("status", {})
            return bool(status.get("readyReplicas", 0) == count)

        self._until(are_ready, f"{count} pods of {self.name} to be ready")
        self.tell(f"{self.name} runs in {count} processes")

    def _claim(self, count: int) -> None:
        """The volumes of pods that there were none of yet, as their StatefulSet would claim them."""
        spec = self.api.get("statefulsets", self.name)["spec"]
        wanted = next(it["spec"] for it in spec["volumeClaimTemplates"] if it["metadata"]["name"] == _VOLUME)
        for number in range(count):
            name, labels = self._claim_of(number), spec["selector"]["matchLabels"]
            if self.api.find("persistentvolumeclaims", name) is None:
                self.api.create(
                    "persistentvolumeclaims", {"metadata": {"name": name, "labels": labels}, "spec": wanted}
                )

    def _claim_of(self, number: int) -> str:
        return f"{_VOLUME}-{self.name}-{number}"

    def _folders(self, count: int) -> list[str]:
        return [f"/pods/{number}/{_FOLDER}" for number in range(count)]

    def _store_claim(self) -> str | None:
        volumes = self.api.get("statefulsets", self.name)["spec"]["template"]["spec"].get("volumes", [])
        return next((it["persistentVolumeClaim"]["claimName"] for it in volumes if it["name"] == _STORE), None)

    def _store_options(self) -> list[str]:
        return ["--store", f"/{_STORE}/{_STORE}"] if self._store_claim() else []

    def _job(self, what: str, words: list[str], volumes: int) -> None:
        """Run `memewax recovery` in a pod that has the volumes of all of them; raises `WorldError` where it fails."""
        pod = self.api.get("statefulsets", self.name)["spec"]["template"]["spec"]
        claims = {f"pods/{number}": self._claim_of(number) for number in range(volumes)}
        if (store := self._store_claim()) is not None:
            claims[_STORE] = store
        if what in {"backup", "restore"}:
            claims[BACKUPS] = f"{self.name}-{BACKUPS}"
        name = f"{self.name}-{what}-{uuid4().hex[:8]}"
        self.api.create("jobs", _job(name, pod, ["memewax", "recovery", *words], claims))

        def has_ended() -> bool:
            status = self.api.get("jobs", name).get("status", {})
            return bool(status.get("succeeded") or status.get("failed"))

        self._until(has_ended, f"job {name}")
        pods = self.api.list("pods", {"job-name": name})
        said = self.api.last_line(pods[-1]["metadata"]["name"]) if pods else ""
        if not self.api.get("jobs", name)["status"].get("succeeded"):
            raise WorldError(f"job {name} failed, and {self.name} stays stopped: {said or 'it said nothing'}")
        self.tell(said or f"job {name} has ended")

    def _until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self.seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise WorldError(f"waited {self.seconds:,.0f} s for {what}; the same command goes on")
            time.sleep(self.tick)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One such command at a time; what a pod that is gone has left is taken over."""
        name = f"{self.name}-operation"
        own = os.environ.get("HOSTNAME", "") if "KUBERNETES_SERVICE_HOST" in os.environ else ""
        body: Object = {"metadata": {"name": name}, "data": {"pod": own}}
        if not self.api.create("configmaps", body):
            other = (self.api.find("configmaps", name) or {"data": {}})["data"].get("pod", "")
            if not other:  # from outside of the cluster, where nobody sees whether it has ended
                raise BusyError(
                    f"somebody is at work on {self.name}: wait for the end, or, if nobody is, "
                    f"kubectl delete configmap {name}"
                )
            pod = self.api.find("pods", other)
            if pod is not None and pod["status"].get("phase") not in _OVER and other != own:
                raise BusyError(f"pod {other} is at work on {self.name}: wait for its end")
            self.api.delete("configmaps", name)
            if not self.api.create("configmaps", body):
                raise BusyError(f"another command is at work on {self.name}: wait for its end")
        try:
            yield
        finally:
            self.api.delete("configmaps", name)


def _job(name: str, pod: Object, words: list[str], claims: dict[str, str]) -> Object:
    """A Job that runs a command once, with the image and the rights of a pod, and volumes by their paths."""
    container = pod["containers"][0]
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - of the pod
    for path, claim in claims.items():
        volume = path.replace("/", "-")
        volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": volume, "mountPath": f"/{path}"})
    labels = {"app.kubernetes.io/name": "memewax", "app.kubernetes.io/component": "recovery"}
    taken = ("imagePullSecrets", "nodeSelector", "securityContext", "tolerations")
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": _HOUR,
            "ttlSecondsAfterFinished": 24 * _HOUR,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    **{key: pod[key] for key in taken if key in pod},
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "containers": [
                        {
                            "name": "recovery",
                            "image": container["image"],
                            "imagePullPolicy": container.get("imagePullPolicy", "IfNotPresent"),
                            "args": words,
                            "securityContext": container["securityContext"],
                            "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
                            "volumeMounts": mounts,
                        }
                    ],
                    "volumes": volumes,
                },
            },
        },
    }
