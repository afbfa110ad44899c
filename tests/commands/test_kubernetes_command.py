"""What `memewax kubernetes` asks of a cluster, and in which order, whatever goes wrong."""

import time
from typing import Any

import kubernetes_validate
import pytest
import typer.testing

from core.errors import BusyError, SettingsError, WorldError
from memewax.commands.flow_in_pods import FlowInPods, recovery_job
from memewax.commands.kubernetes_api import KubernetesApi, Object
from memewax.commands.kubernetes_command import app
from tests.kubernetes.small_cluster import merged

POD: Object = {
    "securityContext": {"runAsUser": 65532},
    "affinity": {"podAffinity": {}},
    "containers": [
        {
            "image": "memewax:7",
            "securityContext": {"readOnlyRootFilesystem": True},
            "ports": [{"name": "flow", "containerPort": 9999}],
        }
    ],
    "volumes": [],
}


class Cluster(KubernetesApi):
    """Objects by kind and name; Jobs end at once, and a StatefulSet is ready at once."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.jobs: list[list[str]] = []
        self.fails = ""
        """What a Job says that fails; it is the next one that names a word of it."""
        labels = {"app": "memes"}
        claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
        self.create(
            "statefulsets",
            {
                "metadata": {"name": "memes"},
                "spec": {
                    "serviceName": "memes",
                    "selector": {"matchLabels": labels},
                    "template": {"spec": POD},
                    "volumeClaimTemplates": [claim],
                },
            },
        )

    def find(self, kind: str, name: str) -> Object | None:
        found = self.objects.get((kind, name))
        if found is not None and kind == "statefulsets":
            found["status"] = {"readyReplicas": found["spec"].get("replicas", 1)}
        return found

    def list(self, kind: str, labels: dict[str, str]) -> list[Object]:
        if kind == "jobs":
            return [body for (it, _), body in self.objects.items() if it == "jobs"]
        return [{"metadata": {"name": "pod"}}] if "job-name" in labels else []

    def create(self, kind: str, body: Object) -> bool:
        name = body["metadata"]["name"]
        if (kind, name) in self.objects:
            return False
        self.objects[kind, name] = body
        if kind == "jobs":
            self.jobs.append(body["spec"]["template"]["spec"]["containers"][0]["args"][2:])
            body["status"] = {"failed" if self.fails else "succeeded": 1}
        return True

    def merge(self, kind: str, name: str, change: Object) -> None:
        self.objects[kind, name] = merged(self.objects[kind, name], change)

    def delete(self, kind: str, name: str) -> None:
        self.objects.pop((kind, name), None)

    def last_line(self, pod: str) -> str:
        return self.fails or "done"

    @property
    def replicas(self) -> int:
        return int(self.objects["statefulsets", "memes"]["spec"]["replicas"])

    @property
    def hosts(self) -> Any:
        return self.objects["configmaps", "memes-hosts"]["data"]["hosts"].split()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def flow(cluster: Cluster) -> FlowInPods:
    return FlowInPods(cluster, tick=0.0, seconds=5.0)


def to(count: int) -> list[str]:
    return [word for number in range(count) for word in ("--to", f"/pods/{number}/recovery")]


def come_from(count: int) -> list[str]:
    return [word for number in range(count) for word in ("--from", f"/pods/{number}/recovery")]


def test_it_is_made_moved_and_started(cluster: Cluster, flow: FlowInPods) -> None:
    flow.scale(2, parts=7)
    flow.scale(3, parts=7)
    flow.scale(0, parts=7)
    assert cluster.replicas == 0
    flow.scale(1, parts=7)
    assert cluster.jobs == [
        ["create", *to(2), "--parts", "7"],
        ["move", *come_from(2), *to(3)],
        ["move", *come_from(3), *to(1)],
    ]
    assert (cluster.replicas, cluster.hosts) == (1, ["memes-0.memes:9999"])
    assert [name for kind, name in cluster.objects if kind == "persistentvolumeclaims"] == [
        f"data-memes-{number}" for number in range(3)
    ]
    job = next(body for (kind, _), body in cluster.objects.items() if kind == "jobs")
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"] == POD["securityContext"]
    assert pod["containers"][0]["image"] == "memewax:7"
    assert pod["enableServiceLinks"] is pod["automountServiceAccountToken"] is False


def test_what_fails_leaves_it_stopped_and_the_same_command_goes_on(cluster: Cluster, flow: FlowInPods) -> None:
    flow.scale(2, parts=7)
    cluster.fails = "memewax: /pods/1/recovery lacks part-3.sqlite3"
    with pytest.raises(WorldError, match=r"memes stays stopped: memewax: .* lacks part-3\.sqlite3"):
        flow.scale(3, parts=7)
    assert cluster.replicas == 0
    cluster.fails = ""
    flow.scale(3, parts=7)
    assert cluster.jobs[-1] == ["move", *come_from(2), *to(3)]
    assert cluster.replicas == 3


def test_after_a_move_that_was_cut_off_another_number_goes_on_from_there(cluster: Cluster, flow: FlowInPods) -> None:
    """Whether the parts had come to the three nobody knows; `recovery move` does, and does no more than is needed."""
    flow.scale(2, parts=7)
    cluster.fails = "killed"
    with pytest.raises(WorldError):
        flow.scale(3, parts=7)
    cluster.fails = ""
    flow.scale(1, parts=7)
    assert cluster.jobs[-2:] == [["move", *come_from(2), *to(3)], ["move", *come_from(3), *to(1)]]
    assert len(cluster.hosts) == 1


def test_backed_up_and_restored(cluster: Cluster, flow: FlowInPods) -> None:
    with pytest.raises(WorldError, match="never ran: start it with"):
        flow.backup("monday")
    flow.scale(2, parts=7)
    cluster.fails = "memewax: /backups/monday is there already"
    with pytest.raises(WorldError, match="is there already"):
        flow.backup("monday")
    assert cluster.replicas == 2  # it goes on
    cluster.fails = ""
    store = {"name": "store", "persistentVolumeClaim": {"claimName": "memes-store"}}
    cluster.objects["statefulsets", "memes"]["spec"]["template"]["spec"] = {**POD, "volumes": [store]}
    flow.backup("tuesday")
    flow.restore("tuesday")
    folders = ["/pods/0/recovery", "/pods/1/recovery"]
    assert cluster.jobs[-2:] == [
        ["backup", *folders, "--to", "/backups/tuesday", "--store", "/store/store"],
        [
            "restore",
            "/backups/tuesday",
            "--recovery",
            folders[0],
            "--recovery",
            folders[1],
            "--store",
            "/store/store",
            "--aside",
        ],
    ]
    assert cluster.replicas == 2


def test_by_one_within_bounds_and_not_too_often(cluster: Cluster, flow: FlowInPods) -> None:
    flow.scale_by(1, 1, 3, 0.0, parts=7)
    assert not cluster.jobs  # it never ran
    flow.scale(2, parts=7)
    flow.scale_by(1, 1, 3, 1800.0, parts=7)
    assert len(cluster.hosts) == 2  # too soon
    cluster.objects["configmaps", "memes-hosts"]["data"]["changed"] = str(time.time() - 2000)
    flow.scale_by(1, 1, 3, 1800.0, parts=7)
    assert len(cluster.hosts) == 3
    flow.scale_by(1, 1, 3, 0.0, parts=7)
    assert len(cluster.hosts) == 3
    flow.scale_by(-5, 1, 3, 0.0, parts=7)
    assert len(cluster.hosts) == 1


def test_what_somebody_has_stopped_is_not_started(cluster: Cluster, flow: FlowInPods) -> None:
    """As KEDA would, in the middle of an upgrade."""
    flow.scale(2, parts=7)
    flow.scale(0, parts=7)
    flow.scale_by(1, 1, 3, 0.0, parts=7)
    assert (cluster.replicas, len(cluster.jobs)) == (0, 1)


def test_a_job_that_still_runs_is_waited_for(cluster: Cluster) -> None:
    """Of a command whose pod was killed: two would deal the same parts."""
    FlowInPods(cluster, tick=0.0).scale(2, parts=7)
    job = next(body for (kind, _), body in cluster.objects.items() if kind == "jobs")
    for status in ({}, {"active": 1}):
        job["status"] = status
        with pytest.raises(WorldError, match="waited 0 s for the Jobs of an interrupted command"):
            FlowInPods(cluster, tick=0.0, seconds=0.01).scale(3, parts=7)
    for status in ({"succeeded": 1}, {"conditions": [{"type": "Failed", "status": "True"}]}):
        job["status"] = status
        FlowInPods(cluster, tick=0.0).scale(3, parts=7)
    assert ("configmaps", "memes-operation") not in cluster.objects


def test_pods_of_before_are_not_taken_for_those_that_are_waited_for(cluster: Cluster, flow: FlowInPods) -> None:
    flow.scale(2, parts=7)
    states = cluster.objects["statefulsets", "memes"]
    states["metadata"]["generation"] = 3
    with pytest.raises(WorldError, match="for 2 pods of memes to be ready"):
        FlowInPods(cluster, tick=0.0, seconds=0.01).scale(2, parts=7)


@pytest.mark.parametrize("version", ["1.31", "1.34", "1.37"])
def test_its_jobs_are_as_the_schemas_of_kubernetes_say(version: str) -> None:
    job = recovery_job("memes-move-1", POD, ["memewax"], {"pods/0": "data-memes-0", "store": "memes-store"}, 900.0)
    assert job["spec"]["activeDeadlineSeconds"] == 900
    assert job["spec"]["template"]["spec"]["affinity"] == POD["affinity"]
    kubernetes_validate.validate({"apiVersion": "batch/v1", "kind": "Job", **job}, version, strict=True)


def test_one_at_a_time(cluster: Cluster, flow: FlowInPods) -> None:
    cluster.create("configmaps", {"metadata": {"name": "memes-operation"}, "data": {"pod": "other"}})
    cluster.objects["pods", "other"] = {"status": {"phase": "Running"}}
    with pytest.raises(BusyError, match="pod other is changing memes"):
        flow.scale(2, parts=7)
    assert not cluster.jobs
    cluster.objects["pods", "other"]["status"]["phase"] = "Failed"
    flow.scale(2, parts=7)
    cluster.create("configmaps", {"metadata": {"name": "memes-operation"}, "data": {"pod": ""}})
    with pytest.raises(BusyError, match="if none is running, kubectl delete configmap memes-operation"):
        flow.scale(3, parts=7)
    cluster.delete("configmaps", "memes-operation")
    assert ("configmaps", "memes-operation") not in cluster.objects


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scale"], "--to"),
        (["backup", "--to", "../x"], "not a path"),
        (["restore", ".."], "not a path"),
        (["scale", "--to", "2"], "not in a pod with a Kubernetes service account"),
    ],
)
def test_what_is_wrong_is_a_line(words: list[str], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    error = typer.testing.CliRunner().invoke(app, words).exception
    assert isinstance(error, SettingsError | WorldError)
    assert told in str(error)


def test_an_api_that_is_not_there_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KubernetesApi._request.retry, "sleep", lambda _: None)  # type: ignore[attr-defined]
    with pytest.raises(WorldError, match=r"http://127\.0\.0\.1:1.* does not answer"):
        KubernetesApi("http://127.0.0.1:1", "memewax").find("pods", "x")
