"""`memewax kubernetes`: a flow in pods stopped, started, rescaled, backed up and restored."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import SettingsError
from memewax.commands.flow_in_pods import FlowInPods
from memewax.commands.kubernetes_api import KubernetesApi

app = typer.Typer(
    no_args_is_help=True,
    help="Stop, start, rescale, back up and restore a flow in pods; k8s/operate runs this in the cluster.",
)

_Api = Annotated[str | None, typer.Option(help="Address of the API, as `kubectl proxy` serves it; in a pod its own.")]
_Namespace = Annotated[str, typer.Option(help="Namespace, where --api is given.")]
_Name = Annotated[str, typer.Option(help="StatefulSet of the flow.")]
_Seconds = Annotated[float, typer.Option(help="Seconds that each step may take.", min=1)]
_Parts = Annotated[int, typer.Option(help="Parts of a new flow: at most as many processes.", min=1, max=1000)]


@app.command()
def scale(
    to: Annotated[int | None, typer.Option(help="Processes that it shall have; 0 stops it.", min=0)] = None,
    by: Annotated[int, typer.Option(help="In place of --to: processes more, or fewer.")] = 0,
    at_least: Annotated[int, typer.Option(help="With --by.", min=1)] = 1,
    at_most: Annotated[int, typer.Option(help="With --by.", min=1)] = 4,
    not_within: Annotated[float, typer.Option(help="With --by: seconds since the last time.", min=0)] = 1800.0,
    parts: _Parts = 12,
    name: _Name = "memes",
    namespace: _Namespace = "memewax",
    api: _Api = None,
    timeout: _Seconds = 900.0,
) -> None:
    """Stop the flow, deal its parts to another number of processes, and start that; the first time it starts it."""
    if (to is None) == (by == 0):
        raise SettingsError("say either how many processes there shall be (--to) or how many more (--by)")
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
    """Stop the flow, copy what it has, and start it again."""
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
    """Stop the flow, put a backup in the place of what it has, which is kept aside, and start it again."""
    folder = _folder(backed_up)
    _flow(name, namespace, api, timeout).restore(folder)


def _flow(name: str, namespace: str, api: str | None, seconds: float) -> FlowInPods:
    return FlowInPods(KubernetesApi(api, namespace) if api else KubernetesApi.of_pod(), name, seconds)


def _folder(name: str) -> str:
    if not name or name.startswith(("-", ".")) or Path(name).name != name:
        raise SettingsError(f"{name}: expected the name of a folder, such as monday, and no path")
    return name
