"""The API of a small cluster, as much of it as kubectl and `memewax kubernetes` ask for."""

import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]

NAMESPACE: Final = "memewax"
_TICK: Final = 0.1
_KINDS: Final = {
    "api/v1": {
        "configmaps": "ConfigMap",
        "namespaces": "Namespace",
        "persistentvolumeclaims": "PersistentVolumeClaim",
        "pods": "Pod",
        "secrets": "Secret",
        "serviceaccounts": "ServiceAccount",
        "services": "Service",
    },
    "apis/apps/v1": {"statefulsets": "StatefulSet"},
    "apis/batch/v1": {"jobs": "Job", "cronjobs": "CronJob"},
    "apis/policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "apis/networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "apis/rbac.authorization.k8s.io/v1": {"roles": "Role", "rolebindings": "RoleBinding"},
    "apis/monitoring.coreos.com/v1": {"podmonitors": "PodMonitor"},
}


class Objects(Protocol):
    """What the API shows and changes."""

    def find(self, kind: str, name: str) -> Object | None: ...

    def listed(self, kind: str, labels: dict[str, str]) -> list[Object]: ...

    def put(self, kind: str, name: str, body: Object) -> Object: ...

    def merge(self, kind: str, name: str, change: Object) -> Object | None: ...

    def drop(self, kind: str, name: str) -> bool: ...

    def log(self, pod: str) -> str: ...

    def may(self, verb: str, group: str, resource: str, name: str) -> bool: ...


def handler_of(  # noqa: C901 - what kubectl asks for
    cluster: Objects,
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def parse_request(self) -> bool:
            """Refuse what the account of a pod may not do; who has kubectl may do all."""
            if not super().parse_request():
                return False
            if not self.headers["User-Agent"].startswith("python-httpx") or self._is_allowed():
                return True
            self._body()
            self._answer({"kind": "Status", "status": "Failure", "reason": "Forbidden"}, 403)
            return False

        def _is_allowed(self) -> bool:
            path, _ = self._asked()
            kind, name, rest = self._named(path)
            verb = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
            group = "" if path.startswith("api/") else path.split("/")[1]
            return cluster.may(verb[self.command], group, f"{kind}/{rest}" if rest else kind, name)

        def do_GET(self) -> None:
            path, query = self._asked()
            if path == "api":
                return self._answer({"kind": "APIVersions", "versions": ["v1"]})
            if path == "apis":
                return self._answer(_groups())
            if path in _KINDS:
                return self._answer(_resources(path))
            kind, name, rest = self._named(path)
            if not kind:
                return self._answer(None)
            if rest == "scale":
                return self._answer(_scale(cluster.find(kind, name)))
            if rest == "log" and query.get("follow"):
                return self._follow(name)
            if rest == "log":
                return self._answer(cluster.log(name) if cluster.find(kind, name) else None)
            if name:
                return self._answer(_whole(kind, cluster.find(kind, name)))
            labels = dict(it.split("=") for it in query.get("labelSelector", [""])[0].split(",") if it)
            items = [_whole(kind, it) for it in cluster.listed(kind, labels)]
            return self._answer(
                {"kind": f"{_kind(kind)}List", "apiVersion": _version(kind), "items": items, "metadata": {}}
            )

        def do_POST(self) -> None:
            kind, _, _ = self._named(self._asked()[0])
            body = self._body()
            name = body["metadata"]["name"]
            if cluster.find(kind, name) is not None:
                return self._answer({"kind": "Status", "status": "Failure", "reason": "AlreadyExists"}, 409)
            return self._answer(_whole(kind, cluster.put(kind, name, body)), 201)

        def do_PATCH(self) -> None:
            kind, name, rest = self._named(self._asked()[0])
            body = self._body()
            if rest == "scale":
                return self._answer(_scale(cluster.merge(kind, name, {"spec": body["spec"]})))
            if self.headers["Content-Type"] == "application/apply-patch+yaml":
                return self._answer(_whole(kind, cluster.put(kind, name, body)))
            return self._answer(_whole(kind, cluster.merge(kind, name, body)))

        def do_DELETE(self) -> None:
            kind, name, _ = self._named(self._asked()[0])
            self._body()
            self._answer({"kind": "Status", "status": "Success"} if cluster.drop(kind, name) else None)

        def _follow(self, pod: str) -> None:
            """What a pod says, until it ends."""
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            told, over = 0, False
            while not over:
                shown = cluster.find("pods", pod)
                over = shown is None or shown["status"]["phase"] in {"Succeeded", "Failed"}
                text = cluster.log(pod).encode()
                self.wfile.write(text[told:])
                told = len(text)
                time.sleep(_TICK)

        def _asked(self) -> tuple[str, dict[str, list[str]]]:
            parts = urlsplit(self.path)
            return parts.path.strip("/"), parse_qs(parts.query)

        def _named(self, path: str) -> tuple[str, str, str]:
            version = next((it for it in _KINDS if path.startswith(f"{it}/")), "")
            words = path.removeprefix(version).strip("/").split("/") if version else []
            if words[:1] == ["namespaces"] and len(words) > 2:
                words = words[2:]
            kind, name, rest = (*words, "", "", "")[:3]
            return (kind, name, rest) if kind in _KINDS.get(version, {}) else ("", "", "")

        def _body(self) -> Any:
            data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            return json.loads(data) if data else {}

        def _answer(self, body: Any, status: int = 200) -> None:
            if body is None:
                body, status = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}, 404
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _version(kind: str) -> str:
    return next(it for it, kinds in _KINDS.items() if kind in kinds).removeprefix("apis/").removeprefix("api/")


def _kind(kind: str) -> str:
    return next(kinds[kind] for kinds in _KINDS.values() if kind in kinds)


def _whole(kind: str, body: Object | None) -> Object | None:
    return None if body is None else {"apiVersion": _version(kind), "kind": _kind(kind), **body}


def _scale(body: Object | None) -> Object | None:
    """How many of something there are, and should be: what `kubectl scale` reads and changes."""
    if body is None:
        return None
    name, replicas = body["metadata"]["name"], body["spec"]["replicas"]
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": replicas},
        "status": {"replicas": body.get("status", {}).get("replicas", replicas)},
    }


def _groups() -> Object:
    versions = [it.removeprefix("apis/") for it in _KINDS if it.startswith("apis/")]
    groups = [
        {
            "name": it.partition("/")[0],
            "versions": [{"groupVersion": it, "version": "v1"}],
            "preferredVersion": {"groupVersion": it, "version": "v1"},
        }
        for it in versions
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _resources(path: str) -> Object:
    resources = [
        {
            "name": name,
            "singularName": kind.lower(),
            "namespaced": name != "namespaces",
            "kind": kind,
            "verbs": ["create", "delete", "get", "list", "patch"],
        }
        for name, kind in _KINDS[path].items()
    ]
    if "statefulsets" in _KINDS[path]:
        scale = {"group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]}
        resources.append({"name": "statefulsets/scale", "singularName": "", "namespaced": True, **scale})
    version = path.removeprefix("apis/").removeprefix("api/")
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
