"""`memewax kubernetes`: stop, start, scale, back up and restore a flow in pods."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import SettingsError
from memewax.commands.flow_in_pods import FlowInPods
from memewax.commands.kubernetes_api import KubernetesApi

app = typer.Typer(
    no_args_is_help=True,
    help="Stop, start, scale, back up and restore a flow in pods; k8s/operate runs this in the cluster.",
)

_Api = Annotated[
    str | None,
    typer.Option(help="URL of the Kubernetes API, such as that of `kubectl proxy`; by default that of this pod."),
]
_Namespace = Annotated[str, typer.Option(help="Namespace of the flow, with --api.")]
_Name = Annotated[str, typer.Option(help="StatefulSet of the flow.")]
_Seconds = Annotated[float, typer.Option(help="Time limit of each step in seconds.", min=1)]
_Parts = Annotated[
    int, typer.Option(help="Recovery partitions of a new flow: its maximum number of processes.", min=1, max=1000)
]


@app.command()
def scale(
    to: Annotated[int | None, typer.Option(help="New number of processes; 0 stops the flow.", min=0)] = None,
    by: Annotated[int, typer.Option(help="Instead of --to: change in the number of processes, such as 1 or -1.")] = 0,
    at_least: Annotated[int, typer.Option(help="With --by: minimum number of processes.", min=1)] = 1,
    at_most: Annotated[int, typer.Option(help="With --by: maximum number of processes.", min=1)] = 4,
    not_within: Annotated[
        float,
        typer.Option(help="With --by: minimum seconds since the last change; before that nothing is done.", min=0),
    ] = 1800.0,
    parts: _Parts = 12,
    name: _Name = "memes",
    namespace: _Namespace = "memewax",
    api: _Api = None,
    timeout: _Seconds = 900.0,
) -> None:
    """Stop the flow, redistribute it to another number of processes, and start it; the first call only starts it."""
    if (to is None) == (by == 0):
        raise SettingsError("give either the number of processes (--to) or the change in it (--by)")
    flow = _flow(name, namespace, api, timeout)
    if to is None:
        flow.scale_by(by, at_least, at_most, not_within, parts)
    else:
        flow.scale(to, parts)


@app.command()
def backup(
    to: Annotated[str, typer.Option(help="Name of a new folder on the volume for backups.")],
    name: _Name = "memes",
    namespace: _Namespace = "memewax",
    api: _Api = None,
    timeout: _Seconds = 900.0,
) -> None:
    """Stop the flow, back up its recovery folders and store, and start it again."""
    folder = _folder(to)
    _flow(name, namespace, api, timeout).backup(folder)


@app.command()
def restore(
    backed_up: Annotated[str, typer.Argument(help="Name of a folder on the volume for backups.")],
    name: _Name = "memes",
    namespace: _Namespace = "memewax",
    api: _Api = None,
    timeout: _Seconds = 900.0,
) -> None:
    """Stop the flow, restore a backup (the replaced folders are kept under another name), and start it again."""
    folder = _folder(backed_up)
    _flow(name, namespace, api, timeout).restore(folder)


def _flow(name: str, namespace: str, api: str | None, seconds: float) -> FlowInPods:
    return FlowInPods(KubernetesApi(api, namespace) if api else KubernetesApi.of_pod(), name, seconds)


def _folder(name: str) -> str:
    if not name or name.startswith(("-", ".")) or Path(name).name != name:
        raise SettingsError(f"{name}: expected the name of a folder, such as monday, not a path")
    return name
