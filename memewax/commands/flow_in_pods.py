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
_COPY_SECONDS: Final = 6.0 * _HOUR
"""That a backup or its way back may take: a store of a terabyte takes hours."""
_LATE: Final = 60.0
"""Seconds within which Kubernetes ends a Job that has taken too long."""
_TICK: Final = 1.0
_OVER: Final = {"Succeeded", "Failed"}
_LABELS: Final = {"app.kubernetes.io/name": "memewax", "app.kubernetes.io/component": "recovery"}
"""Of Jobs, and their pods."""


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
        """Add processes, or take some away, within bounds; nothing soon after the last time or while it is stopped."""
        with self._alone():
            now, found = self.processes(), self.api.find("configmaps", self._hosts)
            to = max(least, min(most, now + by))
            rested = time.time() - float((found or {}).get("data", {}).get("changed", "0"))
            is_stopped = self.api.get("statefulsets", self.name)["spec"].get("replicas", 1) == 0
            if is_stopped:  # by somebody who upgrades it, say
                self.tell(f"{self.name} is stopped, and stays so")
                return
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
                words = ["backup", *folders, "--to", f"/{BACKUPS}/{to}", *self._store_options()]
                self._job("backup", words, count, _COPY_SECONDS)
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
            self._job("restore", ["restore", f"/{BACKUPS}/{backed_up}", *options], count, _COPY_SECONDS)
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
            states = self.api.get("statefulsets", self.name)
            status = states.get("status", {})
            is_of_now = status.get("observedGeneration", 0) >= states["metadata"].get("generation", 0)
            return bool(is_of_now and status.get("readyReplicas", 0) == count)

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

    def _job(self, what: str, words: list[str], volumes: int, seconds: float | None = None) -> None:
        """Run `memewax recovery` in a pod that has the volumes of all of them; raises `WorldError` where it fails.

        Kubernetes ends it when its time is over: it shall not begin, or go on, when nobody waits for it any more.
        """
        pod = self.api.get("statefulsets", self.name)["spec"]["template"]["spec"]
        claims = {f"pods/{number}": self._claim_of(number) for number in range(volumes)}
        if (store := self._store_claim()) is not None:
            claims[_STORE] = store
        if what in {"backup", "restore"}:
            claims[BACKUPS] = f"{self.name}-{BACKUPS}"
        name = f"{self.name}-{what}-{uuid4().hex[:8]}"
        longest = max(seconds or 0.0, self.seconds)
        self.api.create("jobs", recovery_job(name, pod, ["memewax", "recovery", *words], claims, longest))
        self._until(lambda: _has_ended(self.api.get("jobs", name)), f"job {name}", longest + _LATE)
        pods = self.api.list("pods", {"job-name": name})
        said = self.api.last_line(pods[-1]["metadata"]["name"]) if pods else ""
        if not self.api.get("jobs", name)["status"].get("succeeded"):
            raise WorldError(f"job {name} failed, and {self.name} stays stopped: {said or 'it said nothing'}")
        self.tell(said or f"job {name} has ended")

    def _until(self, is_so: Callable[[], bool], what: str, seconds: float | None = None) -> None:
        seconds = seconds or self.seconds
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise WorldError(f"waited {seconds:,.0f} s for {what}; the same command goes on")
            time.sleep(self.tick)

    def _no_job_runs(self) -> bool:
        jobs = [it for it in self.api.list("jobs", _LABELS) if it["metadata"]["name"].startswith(f"{self.name}-")]
        return all(map(_has_ended, jobs))

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
            self._until(self._no_job_runs, "the Jobs of a command that was cut off")
            yield
        finally:
            self.api.delete("configmaps", name)


def _has_ended(job: Object) -> bool:
    status = job.get("status", {})
    said = {it["type"] for it in status.get("conditions", []) if it["status"] == "True"}
    return bool(status.get("succeeded") or status.get("failed") or said & {"Complete", "Failed"})


def recovery_job(name: str, pod: Object, words: list[str], claims: dict[str, str], seconds: float) -> Object:
    """A Job that runs a command once, with the image, the rights and the node of a pod, and volumes by their paths.

    Args:
        name: Of the Job.
        pod: Specification of the pod that it is like.
        words: Arguments of its container.
        claims: By path in it, without the first slash.
        seconds: That it may take.
    """
    container = pod["containers"][0]
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"sizeLimit": "128Mi"}}]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - of the pod
    for path, claim in claims.items():
        volume = path.replace("/", "-")
        volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": volume, "mountPath": f"/{path}"})
    # With the affinity: a volume that another pod has is on that pod's node.
    taken = ("affinity", "imagePullSecrets", "nodeSelector", "securityContext", "tolerations")
    return {
        "metadata": {"name": name, "labels": _LABELS},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(seconds),
            "ttlSecondsAfterFinished": 24 * _HOUR,
            "template": {
                "metadata": {"labels": _LABELS},
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
                            "resources": {
                                "requests": {"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "64Mi"},
                                "limits": {"cpu": "2", "memory": "2Gi", "ephemeral-storage": "256Mi"},
                            },
                            "volumeMounts": mounts,
                        }
                    ],
                    "volumes": volumes,
                },
            },
        },
    }
