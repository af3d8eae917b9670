"""A network of several hosts on this one machine: namespaces, a bridge between them, cables that can be pulled.

The servers stay in the machine's own namespace, on the bridge's address; each host has a namespace, a
cable to the bridge and a loopback of its own. Nothing leads out of it. It needs root and Debian's iproute2.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from tests.servers import missing

_NAMED = re.compile(r"ry(\d+)(?:b|h\d+)")


@dataclass
class Network:
    """A bridge with hosts on it. To be closed; what a killed run left is removed by the next."""

    hosts: list[Host] = field(default_factory=list)
    _id: str = field(default_factory=lambda: f"ry{os.getpid()}")

    @property
    def _bridge(self) -> str:
        return f"{self._id}b"

    @property
    def _net(self) -> str:
        """Of 10.128.0.0/9, so that two test runs on one machine don't meet."""
        number = os.getpid()
        return f"10.{128 + number // 256 % 128}.{number % 256}"

    @property
    def address(self) -> str:
        """Where servers answer to all hosts."""
        return f"{self._net}.1"

    def start(self) -> None:
        if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
            missing("ip")
        _remove_abandoned()
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{self.address}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    def host(self) -> Host:
        """One more host, plugged in."""
        number = len(self.hosts) + 1
        host = Host(f"{self._id}h{number}", f"{self._net}.{10 + number}")
        self.hosts.append(host)
        far = f"{host.name}p"
        _ip("netns", "add", host.name)
        _ip("link", "add", host.name, "type", "veth", "peer", "name", far)
        _ip("link", "set", host.name, "master", self._bridge)
        _ip("link", "set", far, "netns", host.name)
        for command in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{host.address}/24", "dev", far),
            ("link", "set", far, "up"),
        ):
            _ip("-n", host.name, *command)
        host.plug()
        return host

    def close(self) -> None:
        for host in self.hosts:
            _ip("netns", "delete", host.name)
        _remove(self._bridge)


@dataclass(frozen=True)
class Host:
    """A namespace with a cable of the same name."""

    name: str
    address: str

    def argv(self, *command: object) -> Sequence[str]:
        """A command as it is run on this host."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def unplug(self) -> None:
        _ip("link", "set", self.name, "down")

    def plug(self) -> None:
        _ip("link", "set", self.name, "up")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _remove(link: str) -> None:
    subprocess.run(["ip", "link", "delete", link], capture_output=True, check=False)


def _remove_abandoned() -> None:
    """Namespaces and bridges whose test run is gone."""
    for name in (line.partition(" ")[0] for line in _ip("netns", "list").splitlines()):
        if _is_abandoned(name):
            _ip("netns", "delete", name)
    for line in _ip("-brief", "link", "show", "type", "bridge").splitlines():
        if _is_abandoned(line.partition(" ")[0]):
            _remove(line.partition(" ")[0])


def _is_abandoned(name: str) -> bool:
    found = _NAMED.fullmatch(name)
    return found is not None and not psutil.pid_exists(int(found[1]))
