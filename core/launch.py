"""How this process was launched: its number among the processes of the flow, and its recovery folder."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Launch:
    """The options of `python -m bytewax.run`, from arguments and environment variables."""

    process: int = 0
    """Index of the process, from 0."""
    addresses: tuple[str, ...] = ()
    """`HOST:PORT` of each process of the flow; empty if it is the only one."""
    recovery: Path | None = None
    """The recovery folder."""

    @classmethod
    def of(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Parse the options as Bytewax does; invalid values are ignored, since Bytewax refuses them itself."""
        set_name, pod = environment.get("BYTEWAX_STATEFULSET_NAME", ""), environment.get("BYTEWAX_POD_NAME", "")
        number = environment.get("BYTEWAX_PROCESS_ID", pod.removeprefix(f"{set_name}-"))
        parser = ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
        parser.add_argument("-i", "--process-id", default=number)
        parser.add_argument("-a", "--addresses", default=environment.get("BYTEWAX_ADDRESSES", ""))
        parser.add_argument("-r", "--recovery-directory", default=environment.get("BYTEWAX_RECOVERY_DIRECTORY", ""))
        options, _ = parser.parse_known_args(arguments)
        addresses = options.addresses.split(";") or []
        if not options.addresses:
            with suppress(OSError, KeyError, UnicodeDecodeError):
                addresses = Path(environment["BYTEWAX_HOSTFILE_PATH"]).read_text().splitlines()
        return cls(
            int(options.process_id) if options.process_id.isdecimal() else 0,
            tuple(it.strip() for it in addresses if it.strip()),
            Path(options.recovery_directory) if options.recovery_directory else None,
        )

    @property
    def processes(self) -> int:
        """Return the number of processes of the flow, on all machines."""
        return max(1, len(self.addresses))

    @property
    def hosts(self) -> int:
        """Return the number of machines that they run on."""
        return max(1, len({_host(it) for it in self.addresses}))

    @property
    def share(self) -> tuple[int, int]:
        """Return the index of this machine, from 0, and the number of machines.

        The partitions of a recovery folder are dealt to the machines in turn.

        Raises:
            SettingsError: if the index of the process is beyond the addresses.
        """
        if self.process >= self.processes:
            raise SettingsError(
                f"process number {self.process} is too high: the flow has processes 0 to {self.processes - 1}, one for "
                "each address. Give an address for each process, and restart all of them"
            )
        hosts = list(dict.fromkeys(_host(it) for it in self.addresses))
        return (hosts.index(_host(self.addresses[self.process])), len(hosts)) if hosts else (0, 1)

    @property
    def place_on_host(self) -> int:
        """Return the index of the process among those of its machine, from 0."""
        if self.process >= len(self.addresses):
            return 0
        own = _host(self.addresses[self.process])
        return sum(_host(it) == own for it in self.addresses[: self.process])


def _host(address: str) -> str:
    return address.rpartition(":")[0]
