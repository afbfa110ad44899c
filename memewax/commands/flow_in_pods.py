"""A flow in Kubernetes: a StatefulSet whose pods each have a recovery folder on their own volume.

A Bytewax flow has a fixed number of processes. Scaling therefore stops the flow, runs a Job that mounts all volumes and
redistributes the recovery partitions, and starts the flow again. A ConfigMap stores how many processes the partitions
are distributed to, with the addresses that each pod reads. The StatefulSet's manifest omits `replicas`, so that
applying it again changes nothing.
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
"""Suffix of the volume claim's name, and its mount path in a Job."""
_STORE: Final = "store"
_FOLDER: Final = "recovery"
_VOLUME: Final = "data"
_HOUR: Final = 3600
_COPY_SECONDS: Final = 6.0 * _HOUR
"""Time limit of a backup or restore: a store of a terabyte takes hours."""
_LATE: Final = 60.0
"""Seconds that Kubernetes may need to end a Job after its deadline."""
_TICK: Final = 1.0
_OVER: Final = {"Succeeded", "Failed"}
_LABELS: Final = {"app.kubernetes.io/name": "memewax", "app.kubernetes.io/component": "recovery"}
"""Labels of Jobs and their pods."""


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass(slots=True)
class FlowInPods:
    """Operations on a flow in Kubernetes: scale, back up, restore.

    Args:
        api: Kubernetes API of the flow's namespace.
        name: Name of its StatefulSet.
        seconds: Time limit of each step.
        tick: Seconds between two polls.
        report: Called with each line of progress.
    """

    api: KubernetesApi
    name: str = "memes"
    seconds: float = 900.0
    tick: float = _TICK
    report: Callable[[str], None] = field(default=_print_line)

    @property
    def _hosts(self) -> str:
        return f"{self.name}-hosts"

    def processes(self) -> int:
        """Return the number of processes that the recovery partitions are distributed to; 0 if the flow never ran."""
        found = self.api.find("configmaps", self._hosts)
        return 0 if found is None else len(found["data"]["hosts"].split())

    def scale(self, to: int, parts: int) -> None:
        """Stop the flow, redistribute its recovery partitions to `to` processes, and start it; 0 only stops it.

        After an interruption the same command resumes, even with another number.
        """
        with self._alone():
            self._scale(to, parts)

    def scale_by(self, by: int, least: int, most: int, quiet_seconds: float, parts: int) -> None:
        """Change the number of processes by `by` within bounds, unless it changed recently or the flow is stopped."""
        with self._alone():
            now, found = self.processes(), self.api.find("configmaps", self._hosts)
            to = max(least, min(most, now + by))
            rested = time.time() - float((found or {}).get("data", {}).get("changed", "0"))
            is_stopped = self.api.get("statefulsets", self.name)["spec"].get("replicas", 1) == 0
            if is_stopped:  # by a person who upgrades it, for example
                self.report(f"{self.name} is stopped and stays stopped")
                return
            if found is None or to == now or rested < quiet_seconds:
                self.report(f"{self.name} stays at {now} processes")
                return
            self._scale(to, parts)

    def backup(self, to: str) -> None:
        """Stop the flow, copy its recovery folders and store to the claim `backups`, and start it if it was running."""
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
        """Stop the flow, replace its recovery folders and store by a backup, keeping the old ones, and start it."""
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
        interrupted = int(found["data"].get("moving", "0"))
        if interrupted and interrupted != to:  # the previous scaling was interrupted, and its Job may have finished
            self._redistribute(now, interrupted, parts)
            now = interrupted
        self._note(now, moving=to)
        self._redistribute(now, to, parts)
        self._note(to, moving=0)
        self._start(to)

    def _redistribute(self, now: int, to: int, parts: int) -> None:
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
        """Stop the flow and wait for its pods to end; return whether it was running."""
        states = self.api.get("statefulsets", self.name)
        self.api.merge("statefulsets", self.name, {"spec": {"replicas": 0}})
        labels = states["spec"]["selector"]["matchLabels"]
        self._until(lambda: not self.api.list("pods", labels), f"pods of {self.name} to end")
        self.report(f"{self.name} is stopped")
        return bool(states["spec"].get("replicas", 1))

    def _start(self, count: int) -> None:
        self.api.merge("statefulsets", self.name, {"spec": {"replicas": count}})

        def are_ready() -> bool:
            states = self.api.get("statefulsets", self.name)
            status = states.get("status", {})
            is_of_now = status.get("observedGeneration", 0) >= states["metadata"].get("generation", 0)
            return bool(is_of_now and status.get("readyReplicas", 0) == count)

        self._until(are_ready, f"{count} pods of {self.name} to be ready")
        self.report(f"{self.name} runs in {count} processes")

    def _claim(self, count: int) -> None:
        """Create the volume claims of new pods, as their StatefulSet would create them."""
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
        """Run `memewax recovery` in a pod that mounts the volumes of all pods; raises `WorldError` if it fails.

        Kubernetes ends the Job at its deadline: it must not start or continue when this command has stopped waiting.
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
            raise WorldError(f"job {name} failed, and {self.name} stays stopped: {said or 'it logged nothing'}")
        self.report(said or f"job {name} has ended")

    def _until(self, is_so: Callable[[], bool], what: str, seconds: float | None = None) -> None:
        seconds = seconds or self.seconds
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise WorldError(f"waited {seconds:,.0f} s for {what}; run the same command again to continue")
            time.sleep(self.tick)

    def _no_job_runs(self) -> bool:
        jobs = [it for it in self.api.list("jobs", _LABELS) if it["metadata"]["name"].startswith(f"{self.name}-")]
        return all(map(_has_ended, jobs))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock the flow for one command at a time; take over the lock of a pod that no longer runs."""
        name = f"{self.name}-operation"
        own = os.environ.get("HOSTNAME", "") if "KUBERNETES_SERVICE_HOST" in os.environ else ""
        body: Object = {"metadata": {"name": name}, "data": {"pod": own}}
        if not self.api.create("configmaps", body):
            other = (self.api.find("configmaps", name) or {"data": {}})["data"].get("pod", "")
            if not other:  # held from outside the cluster, so whether that command has ended is unknown
                raise BusyError(
                    f"another command is changing {self.name}: wait until it ends, or, if none is running, "
                    f"kubectl delete configmap {name}"
                )
            pod = self.api.find("pods", other)
            if pod is not None and pod["status"].get("phase") not in _OVER and other != own:
                raise BusyError(f"pod {other} is changing {self.name}: wait until it ends")
            self.api.delete("configmaps", name)
            if not self.api.create("configmaps", body):
                raise BusyError(f"another command is changing {self.name}: wait until it ends")
        try:
            self._until(self._no_job_runs, "the Jobs of an interrupted command to end")
            yield
        finally:
            self.api.delete("configmaps", name)


def _has_ended(job: Object) -> bool:
    status = job.get("status", {})
    said = {it["type"] for it in status.get("conditions", []) if it["status"] == "True"}
    return bool(status.get("succeeded") or status.get("failed") or said & {"Complete", "Failed"})


def recovery_job(name: str, pod: Object, words: list[str], claims: dict[str, str], seconds: float) -> Object:
    """Return a Job that runs a command once, with the image, rights and node of a pod.

    Args:
        name: Name of the Job.
        pod: Specification of the pod to imitate.
        words: Arguments of the container.
        claims: Volume claims by mount path, without the leading slash.
        seconds: Deadline of the Job.
    """
    container = pod["containers"][0]
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"sizeLimit": "128Mi"}}]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - of the pod
    for path, claim in claims.items():
        volume = path.replace("/", "-")
        volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": volume, "mountPath": f"/{path}"})
    # The affinity too: a volume that another pod mounts is on that pod's node.
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
