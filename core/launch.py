"""How this process was started: which of how many of a flow it is, and where its snapshots are."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Launch:
    """What `python -m bytewax.run` is told, by arguments and variables."""

    process: int = 0
    """Number of the process, from 0."""
    addresses: tuple[str, ...] = ()
    """`HOST:PORT` of each process of the flow; none where it is the only one."""
    recovery: Path | None = None
    """Folder of snapshots."""

    @classmethod
    def of(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Read them as Bytewax does; what it would refuse is left out."""
        set_name, pod = environment.get("BYTEWAX_STATEFULSET_NAME", ""), environment.get("BYTEWAX_POD_NAME", "")
        number = environment.get("BYTEWAX_PROCESS_ID", pod.removeprefix(f"{set_name}-"))
        parser = ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
        parser.add_argument("-i", "--process-id", default=number)
        parser.add_argument("-a", "--addresses", default=environment.get("BYTEWAX_ADDRESSES", ""))
        parser.add_argument("-r", "--recovery-directory", default=environment.get("BYTEWAX_RECOVERY_DIRECTORY", ""))
        told, _ = parser.parse_known_args(arguments)
        addresses = told.addresses.split(";") or []
        if not told.addresses:
            with suppress(OSError, KeyError, UnicodeDecodeError):
                addresses = Path(environment["BYTEWAX_HOSTFILE_PATH"]).read_text().splitlines()
        return cls(
            int(told.process_id) if told.process_id.isdecimal() else 0,
            tuple(it.strip() for it in addresses if it.strip()),
            Path(told.recovery_directory) if told.recovery_directory else None,
        )

    @property
    def processes(self) -> int:
        """Of the flow, on all machines."""
        return max(1, len(self.addresses))

    @property
    def hosts(self) -> int:
        """Machines that they run on."""
        return max(1, len({_host(it) for it in self.addresses}))

    @property
    def share(self) -> tuple[int, int]:
        """Number of its machine, from 0, and of how many: the parts of a recovery folder are dealt to them in turn.

        Raises:
            SettingsError: where the process is none of those that the addresses name.
        """
        if self.process >= self.processes:
            raise SettingsError(
                f"this is process {self.process} of a flow of {self.processes}, counted from 0, so that no other "
                "waits for it: start the flow anew with an address for each process"
            )
        hosts = list(dict.fromkeys(_host(it) for it in self.addresses))
        return (hosts.index(_host(self.addresses[self.process])), len(hosts)) if hosts else (0, 1)

    @property
    def place_on_host(self) -> int:
        """Number of the process among those of its machine, from 0."""
        if self.process >= len(self.addresses):
            return 0
        own = _host(self.addresses[self.process])
        return sum(_host(it) == own for it in self.addresses[: self.process])


def _host(address: str) -> str:
    return address.rpartition(":")[0]
