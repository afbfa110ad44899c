"""Containers without an engine: a command in namespaces, with the root, the user, the network and the names of a pod."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

from tests.folders import ROOT

_SYSTEM: Final = ("/bin", "/lib", "/lib64", "/sbin", "/usr")
_DEVICES: Final = ("/dev", "/proc", "/sys")
_ETC: Final = ("ld.so.cache", "passwd", "group", "nsswitch.conf", "ssl", "localtime", "mime.types")
_USER: Final = 65532
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET: Final = 0x40000000

_ENTER: Final = """
set -eu
mount -t tmpfs -o mode=0755 root "$NEW"
bind() { mkdir -p "$NEW$2"; mount --rbind "$1" "$NEW$2"; }
for it in $SYSTEM; do bind "$it" "$it"; mount -o remount,bind,ro "$NEW$it" 2>/dev/null || true; done
mkdir "$NEW/etc"
for it in $ETC; do [ ! -e "/etc/$it" ] || cp -rL "/etc/$it" "$NEW/etc/$it"; done
cp "$HOSTS" "$NEW/etc/hosts"
while read -r from to; do bind "$from" "$to"; done < "$MOUNTS"
mount -o remount,ro "$NEW"
exec chroot "$NEW" /usr/bin/setpriv --reuid $USER_ID --regid $USER_ID --clear-groups --no-new-privs \\
    --bounding-set=-all --inh-caps=-all -- /usr/bin/env --chdir="$WORK" -i "$@"
"""


def why_none() -> str | None:
    """Why there can be no containers here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [it for it in ("ip", "unshare", "chroot", "setpriv", "kubectl") if shutil.which(it) is None]
    if missing:
        return f"no {', '.join(missing)} on the PATH"
    trial = f"mw{uuid4().hex[:8]}"
    if subprocess.run(["ip", "netns", "add", trial], capture_output=True, check=False).returncode:
        return "network namespaces may not be made here"
    subprocess.run(["ip", "netns", "del", trial], check=False)
    return None


class Network:
    """A bridge with a network namespace for each name, and the names in a file of hosts."""

    def __init__(self, folder: Path) -> None:
        self._tag = uuid4().hex[:5]
        self._bridge = f"mw{self._tag}"
        self.hosts = folder / "hosts"
        self._names: dict[str, str] = {}
        self._prefix = ""
        for _ in range(200):
            self._prefix = f"10.{os.urandom(1)[0] % 200 + 20}.{os.urandom(1)[0]}"
            if (
                self._prefix
                not in subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True, check=True).stdout
            ):
                break
        # An address of its own: else it takes the lowest of its cables, and changes it when one is added.
        _ip("link", "add", self._bridge, "address", "02:00:00:00:00:01", "type", "bridge")
        _ip("addr", "add", f"{self._prefix}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        self._write()

    @property
    def gateway(self) -> str:
        """Address of the machine itself."""
        return f"{self._prefix}.1"

    def add(self, name: str) -> str:
        """A namespace for a name, which keeps its address; gives that."""
        if name not in self._names:
            number = len(self._names) + 2
            space, outside, inside = self.space(name), f"v{self._tag}{number}", f"w{self._tag}{number}"
            _ip("netns", "add", space)
            _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", space)
            _ip("link", "set", outside, "master", self._bridge, "up")
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "addr", "add", f"{self._prefix}.{number}/24", "dev", inside)
            _ip("-n", space, "link", "set", inside, "up")
            self._names[name] = f"{self._prefix}.{number}"
            self._write()
        return self._names[name]

    def space(self, name: str) -> str:
        return f"mw{self._tag}-{name}"

    def cut(self, name: str, *, off: bool) -> None:
        """Take the cable out, or put it in again: nobody is told."""
        number = self._names[name].rpartition(".")[2]
        _ip("link", "set", f"v{self._tag}{number}", "down" if off else "up")

    def connected(self, name: str, port: int) -> socket.socket:
        """A connection to a port from within the namespace of a name, as its node has one."""
        with (
            Path("/proc/thread-self/ns/net").open("rb") as own,
            Path("/run/netns", self.space(name)).open("rb") as there,
        ):
            _enter(there.fileno())
            try:
                made = socket.socket()
            finally:
                _enter(own.fileno())
        made.settimeout(2)
        try:
            made.connect(("127.0.0.1", port))
        except OSError:
            made.close()
            raise
        return made

    def close(self) -> None:
        for name in self._names:
            subprocess.run(["ip", "netns", "del", self.space(name)], check=False)
        subprocess.run(["ip", "link", "del", self._bridge], check=False)

    def _write(self) -> None:
        lines = ["127.0.0.1 localhost", *(f"{address} {name} {name}.memes" for name, address in self._names.items())]
        self.hosts.write_text("\n".join(lines) + "\n")


def _enter(space: int) -> None:
    """Let this thread make its sockets in a network namespace."""
    if _LIBC.setns(space, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Container:
    """A command that runs as in a pod.

    Args:
        folder: For its files.
        words: Command and arguments.
        environment: All of it.
        mounts: What lies at which path; all else cannot be written.
        network: That it is in.
        name: Of its namespace.
    """

    folder: Path
    words: Sequence[str]
    environment: Mapping[str, str]
    mounts: Mapping[str, Path]
    network: Network
    name: str
    process: "subprocess.Popen[bytes] | None" = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "log"

    def start(self) -> None:
        own = self.folder / uuid4().hex[:6]
        (own / "root").mkdir(parents=True)
        mounts = {it: it for it in _needed()} | {target: str(source) for target, source in self.mounts.items()}
        # Outer ones first: the checkout may lie below /tmp.
        (own / "mounts").write_text("".join(f"{mounts[target]} {target}\n" for target in sorted(mounts)))
        told = {
            "NEW": str(own / "root"),
            "SYSTEM": " ".join(it for it in (*_SYSTEM, *_DEVICES) if Path(it).exists()),
            "ETC": " ".join(_ETC),
            "HOSTS": str(self.network.hosts),
            "MOUNTS": str(own / "mounts"),
            "USER_ID": str(_USER),
            "WORK": str(ROOT),
            "PATH": os.environ["PATH"],
        }
        given = {
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/tmp",
            **self.environment,
        }
        pairs = [f"{name}={value}" for name, value in given.items()]
        enter = ["ip", "netns", "exec", self.network.space(self.name), "unshare", "--mount", "sh", "-c", _ENTER, "sh"]
        output: IO[bytes]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*enter, *pairs, *self.words],
                env=told,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def send(self, number: int) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def stop(self, grace: float) -> None:
        """As a pod is stopped: SIGTERM, and SIGKILL where it takes too long."""
        self.send(signal.SIGTERM)
        assert self.process is not None
        deadline = time.monotonic() + grace
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.05)


def _needed() -> list[str]:
    """What Python and the project need of this machine."""
    found: list[str] = []
    for it in (ROOT, Path(sys.prefix).resolve(), Path(sys.prefix), Path(sys.base_prefix).resolve()):
        if not any(Path(it).is_relative_to(other) for other in (*found, *_SYSTEM)):
            found.append(str(it))
    return found
