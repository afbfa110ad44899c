"""What k8s/README.md says, done with kubectl: N pods as processes with the manifests' own commands, names and addresses.

`pytest -m slow tests/kubernetes` has all of it; without, the flow is started, one of it killed, and rescaled.
"""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import orjson
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connectors.store.posts_table import PostStore
from tests.brokers import START, produce, read_topic, real_broker_missing
from tests.folders import ROOT
from tests.kubernetes.containers import Network, why_none
from tests.kubernetes.small_cluster import Pod, SmallCluster

PATIENCE = 300.0
POSTS = 5000
SETTINGS = {
    "MEMEWAX_MODELS": "fake",
    "MEMEWAX_STALLED_SECONDS": "8",
    "MEMEWAX_DRAIN_SECONDS": "1",
    "MEMEWAX_THREADS": "1",
}

pytestmark = [
    pytest.mark.skipif(
        (missing := why_none() or real_broker_missing()) is not None, reason=f"the runbook is not tried: {missing}"
    ),
    pytest.mark.timeout(1200),
]


class BrokerInPods:
    """Apache Kafka in a network namespace, by the name and the port that the manifests say."""

    def __init__(self, folder: Path, network: Network) -> None:
        address = network.add("kafka")
        self.bootstrap = f"{address}:9092"
        enter = ["ip", "netns", "exec", network.space("kafka"), str(START), "9092", str(folder)]
        properties = [
            "listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093",
            f"advertised.listeners=PLAINTEXT://{self.bootstrap}",
            "num.partitions=4",
        ]
        folder.mkdir()
        with (folder / "output").open("wb") as output:
            environment = {**os.environ, "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
            self._process = subprocess.Popen([*enter, *properties], env=environment, stdout=output, stderr=output)

    def wait(self) -> None:
        until(self._answers, "Kafka to answer")

    def _answers(self) -> bool:
        try:
            return bool(
                AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}).list_topics(timeout=2).brokers
            )
        except KafkaException:
            return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Runbook:
    """A cluster, and a person who has kubectl."""

    def __init__(self, folder: Path, overlay: str, *, shows: bool) -> None:
        """`shows`: whether similarity and the page run."""
        self.folder = folder
        self.cluster = SmallCluster(folder / "cluster", {})
        self.broker = BrokerInPods(folder / "kafka", self.cluster.network)
        self.given = 0
        self.shows = shows
        self._overlay = folder / "overlay"
        self._overlay.mkdir()
        self._base = overlay
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "small",
            "clusters": [{"name": "small", "cluster": {"server": self.cluster.address}}],
            "contexts": [{"name": "small", "context": {"cluster": "small", "user": "me", "namespace": "memewax"}}],
            "users": [{"name": "me", "user": {}}],
        }
        (folder / "kubeconfig").write_text(json.dumps(config))

    def apply(self, tag: str = "0.1.0", **settings: str) -> None:
        """`kubectl apply` of an overlay with settings for tests."""
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "memewax",
            "resources": [os.path.relpath(ROOT / "k8s" / self._base, self._overlay)],
            "images": [{"name": "memewax", "newTag": tag}],
            "configMapGenerator": [
                {
                    "name": "memes-settings",
                    "behavior": "merge",
                    "literals": [f"{k}={v}" for k, v in {**SETTINGS, **settings}.items()],
                }
            ],
        }
        if not self.shows:
            kustomization["replicas"] = [{"name": "similarity", "count": 0}, {"name": "page", "count": 0}]
        (self._overlay / "kustomization.yaml").write_text(json.dumps(kustomization))
        self.kubectl("apply", "--server-side", "--validate=false", "-k", str(self._overlay))

    def kubectl(self, *words: str) -> str:
        return self._run("kubectl", *words)

    def operate(self, *words: str) -> str:
        return self._run(str(ROOT / "k8s/operate"), *words)

    def _run(self, *words: str) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": str(self.folder)}
        try:
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{words}: no end; {error.stdout!r} {error.stderr!r}{self.last_words()}") from None
        assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}{self.last_words()}"
        return done.stdout

    def last_words(self) -> str:
        """What each pod said last, for a test that fails."""
        logs = {it.name: (it.phase, it.why, self.cluster.log(it.name)[-800:]) for it in self.cluster.pods.values()}
        return "".join(f"\n{name} {phase} {why}:\n{log}" for name, (phase, why, log) in logs.items())

    def give(self, count: int) -> None:
        """Posts into the topic, and the first one of all once more."""
        ids = [f"{number:05d}-reddit" for number in range(self.given, self.given + count)]
        self.given += count
        posts = [{"global_id": it, "url": f"https://example.com/{it}.png", "source": "reddit"} for it in ids]
        again = {"global_id": "00000-reddit", "url": "https://example.com/00000-reddit.png", "source": "reddit"}
        produce(self.broker, "posts", [orjson.dumps(it) for it in (*posts, again)])

    @property
    def store(self) -> Path:
        return self.cluster.folder / "claims/memes-store/store"

    def stored(self) -> list[str]:
        return [row["global_id"] for row in PostStore(self.store, 8, 8).rows()] if self.store.exists() else []

    def wait_for_posts(self) -> None:
        until(lambda: len(set(self.stored())) >= self.given, f"{self.given} posts in the store", self.last_words)

    def check(self) -> None:
        """Every post is in the store once, and in the topic."""
        ids = {f"{number:05d}-reddit" for number in range(self.given)}
        self.wait_for_posts()
        counts = Counter(self.stored())
        assert counts.keys() == ids
        assert max(counts.values()) == 1
        records = [orjson.loads(it.value or b"") for it in read_topic(self.broker, "analytics")]
        assert {it["global_id"] for it in records} == ids
        assert {it["revision"] for it in records} == {1}

    def restarts(self) -> list[int]:
        pods = [self.cluster.pods.get(f"memes-{number}") for number in range(self.processes())]
        return [0 if pod is None else pod.restarts for pod in pods]

    def processes(self) -> int:
        hosts = self.cluster.find("configmaps", "memes-hosts") or {"data": {"hosts": ""}}
        return len(hosts["data"]["hosts"].split())

    def wait_until_ready(self) -> None:
        self.wait_for(*(f"memes-{number}" for number in range(self.processes())))

    def wait_for(self, *names: str) -> None:
        pods = self.cluster.pods
        until(lambda: all(it in pods and pods[it].is_ready for it in names), f"{names} to be ready", self.last_words)

    def wait_until_new(self, old: list[Pod]) -> None:
        """Until other pods stand in the place of some, and are ready."""
        until(
            lambda: all(self.cluster.pods.get(it.name) not in (None, it) for it in old), "other pods", self.last_words
        )
        self.wait_until_ready()

    def flow(self) -> list[Pod]:
        return [self.cluster.pods[f"memes-{number}"] for number in range(self.processes())]


def until(is_so: Callable[[], bool], what: str, told: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}{told()}"
        time.sleep(0.1)


@pytest.fixture
def runbook(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Runbook]:
    made = Runbook(tmp_path, "overlays/cpu", shows="whole_runbook" in request.node.name)
    with made.cluster:
        try:
            made.broker.wait()
            made.apply()
            yield made
        finally:
            made.broker.stop()


def kill_one(runbook: Runbook) -> None:
    """The others end too; all are started anew, and go on."""
    before = runbook.restarts()
    container = runbook.cluster.pods["memes-1"].container
    assert container is not None
    container.send(signal.SIGKILL)
    until(lambda: all(now > then for now, then in zip(runbook.restarts(), before, strict=True)), "all to start anew")
    runbook.wait_until_ready()


def cut_one_off(runbook: Runbook) -> None:
    """Nobody is told that a cable is out. Those that wait for it are found stalled, and started anew when it is back."""
    before = runbook.restarts()
    runbook.cluster.network.cut("memes-1", off=True)

    def is_found() -> bool:
        if runbook.given < POSTS - 2100:
            runbook.give(5)  # as a stream goes on: an epoch that does not end takes no more, and what comes waits
        return runbook.restarts()[0] > before[0]

    until(is_found, "the other to be found stalled", runbook.last_words)
    runbook.cluster.network.cut("memes-1", off=False)
    until(lambda: runbook.restarts()[1] > before[1], "the one that was cut off to start anew", runbook.last_words)
    runbook.wait_until_ready()


def move_one(runbook: Runbook) -> None:
    """A pod that is moved gets SIGTERM alone; the others end with it, and all go on."""
    before, old = runbook.restarts(), runbook.cluster.pods["memes-1"]
    runbook.kubectl("delete", "pod", "memes-1", "--wait=false")
    until(lambda: runbook.restarts()[0] > before[0], "the other to start anew", runbook.last_words)
    runbook.wait_until_new([old])
    assert old.container is not None
    assert old.container.code == 0, runbook.last_words()


def change_a_setting(runbook: Runbook) -> None:
    """All pods at once, and as before Kubernetes 1.35 one after another."""
    for batch, at_once in (("12", True), ("10", False)):
        runbook.cluster.replaces_at_once = at_once
        old = runbook.flow()
        runbook.apply(MEMEWAX_READ_BATCH=batch)
        runbook.wait_until_new(old)


def ask(runbook: Runbook) -> None:
    """A question in its topic gets an answer, and the page is shown to who has the token."""
    token = "of-this-test-alone"
    secret = ["secret", "generic", "page", "--from-literal", f"token={token}"]
    (runbook.folder / "secret").write_text(
        runbook.kubectl("create", *secret, "--dry-run=client", "--output", "json")
    )  # it sends what it makes itself in a form that this API does not read
    runbook.kubectl("create", "--validate=false", "--filename", str(runbook.folder / "secret"))
    runbook.wait_for("similarity-0", "page-0")
    produce(runbook.broker, "queries", [orjson.dumps({"id": "1", "text": "hello"})])
    until(lambda: bool(read_topic(runbook.broker, "answers")), "an answer", runbook.last_words)
    with closing(HTTPConnection("page", 3080, timeout=30)) as connection:
        connection.sock = runbook.cluster.network.connected("page-0", 3080)
        connection.request("GET", "/api/v1/posts", headers={"Authorization": f"Bearer {token}"})
        assert connection.getresponse().status == 200
    runbook.kubectl("scale", "statefulset/similarity", "--replicas=0")  # before a backup, as the page says
    until(lambda: "similarity-0" not in runbook.cluster.pods, "similarity to end", runbook.last_words)


def test_started_killed_and_rescaled(runbook: Runbook) -> None:
    runbook.operate("scale", "2")
    runbook.give(2000)
    runbook.wait_for_posts()
    kill_one(runbook)
    runbook.give(1500)
    assert "memes runs in 3 processes" in runbook.operate("scale", "3")
    runbook.give(POSTS - runbook.given)
    runbook.check()


@pytest.mark.slow
def test_the_whole_runbook(runbook: Runbook) -> None:
    """All of the page: killed, cut off, moved, changed, rescaled, upgraded, rolled back, backed up and restored."""
    runbook.operate("scale", "2")
    runbook.give(1500)
    runbook.wait_for_posts()
    ask(runbook)
    kill_one(runbook)
    runbook.give(700)
    cut_one_off(runbook)
    runbook.give(250)
    move_one(runbook)
    runbook.give(250)
    change_a_setting(runbook)
    runbook.operate("scale", "3")
    runbook.give(500)
    runbook.wait_for_posts()
    runbook.operate("backup", "monday")
    runbook.give(500)
    runbook.wait_for_posts()
    runbook.operate("restore", "monday")
    runbook.wait_for_posts()  # what came after the backup is read again
    for tag, processes in (("0.2.0", "2"), ("0.1.0", "2")):  # upgraded, and rolled back
        runbook.operate("scale", "0")
        runbook.give(250)
        runbook.apply(tag, MEMEWAX_READ_BATCH="16" if tag == "0.2.0" else "8")
        assert f"memes runs in {processes} processes" in runbook.operate("scale", processes)
    runbook.give(POSTS - runbook.given)
    runbook.check()


@pytest.mark.slow
def test_a_part_that_is_missing_is_said_and_nothing_starts(runbook: Runbook) -> None:
    runbook.operate("scale", "2")
    runbook.operate("scale", "0")
    (part,) = (runbook.cluster.folder / "claims/data-memes-1/recovery").glob("part-3.sqlite3")
    part.rename(part.with_name("aside"))
    with pytest.raises(AssertionError, match=r"lacks part-3\.sqlite3"):
        runbook.operate("scale", "3")
    runbook.kubectl("scale", "statefulset/memes", "--replicas=2")
    until(lambda: runbook.restarts()[1] > 0, "the pod to refuse", runbook.last_words)
    assert "lacks part-3.sqlite3" in runbook.cluster.log("memes-1")
    assert not runbook.cluster.pods["memes-0"].is_ready
    runbook.kubectl("scale", "statefulset/memes", "--replicas=0")
    until(lambda: "memes-1" not in runbook.cluster.pods, "the pods to end")
    part.with_name("aside").rename(part)
    runbook.operate("scale", "3")
    runbook.give(100)
    runbook.check()
