"""Minimal client of the Kubernetes API for one namespace."""

import os
import ssl
from pathlib import Path
from typing import Any, Final, Self

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from core.errors import WorldError
from core.untrusted_text import one_line, shortened

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SECONDS: Final = 30.0
_MERGE: Final = "application/merge-patch+json"
_CORE: Final = "api/v1"
_GROUPS: Final = {"statefulsets": "apis/apps/v1", "jobs": "apis/batch/v1"}
_MADE: Final = {"configmaps": "ConfigMap", "jobs": "Job", "persistentvolumeclaims": "PersistentVolumeClaim"}
"""`kind` of the objects that this client creates, by resource name."""

Object = dict[str, Any]
"""A Kubernetes object, as parsed JSON."""


class KubernetesApi:
    """Client of one namespace of a Kubernetes cluster.

    Args:
        address: URL such as https://10.0.0.1:443, or that of `kubectl proxy`.
        namespace: Namespace of all objects.
        token: File with the token of a service account; read for each call, since Kubernetes rotates it.
        authority: File with the CA certificates; by default those of the system.
    """

    def __init__(self, address: str, namespace: str, token: Path | None = None, authority: Path | None = None) -> None:
        self.namespace = namespace
        self._token = token
        verify = ssl.create_default_context(cafile=authority) if authority else True
        self._client = httpx.Client(base_url=address, timeout=_SECONDS, verify=verify, trust_env=False)

    @classmethod
    def of_pod(cls) -> Self:
        """Connect as the service account of this pod; raises `WorldError` outside of a pod."""
        try:
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
            namespace = (_ACCOUNT / "namespace").read_text().strip()
            shown = f"[{host}]" if ":" in host else host
            return cls(f"https://{shown}:{port}", namespace, _ACCOUNT / "token", _ACCOUNT / "ca.crt")
        except (KeyError, OSError):
            raise WorldError(
                "not in a pod with a Kubernetes service account: run it with k8s/operate, or start `kubectl proxy` and "
                "give its address with --api http://127.0.0.1:8001"
            ) from None

    def find(self, kind: str, name: str) -> Object | None:
        """Return an object, or None if it does not exist."""
        answer = self._call("GET", kind, name)
        return None if answer is None else answer.json()

    def get(self, kind: str, name: str) -> Object:
        """Return an object; raises `WorldError` if it does not exist."""
        found = self.find(kind, name)
        if found is None:
            raise WorldError(f"namespace {self.namespace} has no {name} among its {kind}")
        return found

    def list(self, kind: str, labels: dict[str, str]) -> list[Object]:
        """Return the objects with these labels."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        answer = self._call("GET", kind, "", params={"labelSelector": selector})
        return [] if answer is None else list(answer.json()["items"])

    def create(self, kind: str, body: Object) -> bool:
        """Create an object; return False if one of its name exists already."""
        version = _GROUPS.get(kind, _CORE).removeprefix("apis/").removeprefix("api/")
        whole = {"apiVersion": version, "kind": _MADE[kind], **body}
        answer = self._call("POST", kind, "", json=whole, may_exist=True)
        return answer is not None

    def merge(self, kind: str, name: str, change: Object) -> None:
        """Change fields of an object (merge patch); raises `WorldError` if it does not exist."""
        if self._call("PATCH", kind, name, json=change) is None:
            raise WorldError(f"namespace {self.namespace} has no {name} among its {kind}")

    def delete(self, kind: str, name: str) -> None:
        """Delete an object if it exists."""
        self._call("DELETE", kind, name)

    def last_line(self, pod: str) -> str:
        """Return the last line of a pod's log, sanitized and shortened; empty if unavailable."""
        try:
            answer = self._call("GET", "pods", f"{pod}/log", params={"tailLines": "1"})
        except WorldError:
            return ""
        return "" if answer is None else shortened(one_line(answer.text.strip()), 500)

    @retry(
        retry=retry_if_exception_type(httpx.TransportError),
        stop=stop_after_attempt(5),
        wait=wait_exponential(max=10),
        reraise=True,
    )
    def _request(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Send a request; retry while the API is away, as during upgrades of nodes: each call is idempotent."""
        return self._client.request(method, path, **how)

    def _call(
        self,
        method: str,
        kind: str,
        name: str,
        *,
        may_exist: bool = False,
        json: Object | None = None,
        params: Any = None,
    ) -> httpx.Response | None:
        path = f"/{_GROUPS.get(kind, _CORE)}/namespaces/{self.namespace}/{kind}{f'/{name}' if name else ''}"
        headers = {"Content-Type": _MERGE} if method == "PATCH" else {}
        try:
            if self._token is not None:
                headers["Authorization"] = f"Bearer {self._token.read_text().strip()}"
            answer = self._request(method, path, json=json, params=params, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            raise WorldError(f"the Kubernetes API at {self._client.base_url} does not answer: {error}") from None
        if answer.status_code == httpx.codes.NOT_FOUND or (may_exist and answer.status_code == httpx.codes.CONFLICT):
            return None
        if answer.is_error:
            reason = shortened(one_line(answer.text), 300)
            raise WorldError(f"Kubernetes refused {method} {kind} {name} ({answer.status_code}): {reason}")
        return answer
