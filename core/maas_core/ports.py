"""Ports: finding free ones, and saying who holds a taken one."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import psutil

from maas_core.errors import PortTaken

LOOPBACK = "127.0.0.1"


class PortHold:
    """Ports that are ours from the choice on until :meth:`release`, also while no server listens on them.

    A server listens only after its models are loaded, and not at all while it is being restarted; meanwhile any
    outgoing connection of another process could be given the port. A bound socket that does not listen keeps it, and
    lets a server that sets SO_REUSEADDR, as Triton does, listen there.

    Args:
        wanted: a port for each name; 0 asks for a free one.
        address: what the server will listen on.
        option: the command line's option for the port of a name.

    Raises:
        PortTaken: where a given port is in use; it says by whom, where that may be known.
    """

    def __init__(self, wanted: Mapping[str, int], address: str = LOOPBACK, option: str = "--{name}-port") -> None:
        self._sockets: list[socket.socket] = []
        self.ports: dict[str, int] = {}
        try:
            for name, port in wanted.items():
                self._sockets.append(_hold(name, port, address, option.format(name=name)))
                self.ports[name] = self._sockets[-1].getsockname()[1]
        except PortTaken:
            self.release()
            raise

    def release(self) -> None:
        """Gives the ports up."""
        for sock in self._sockets:
            sock.close()


def choose_ports(wanted: Mapping[str, int], address: str = LOOPBACK) -> dict[str, int]:
    """A port for each name, no two the same; 0 asks for a free one. See :class:`PortHold`, which also keeps them.

    Raises:
        PortTaken: where a given port is in use.
    """
    hold = PortHold(wanted, address)
    hold.release()
    return hold.ports


def _hold(name: str, port: int, address: str, option: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if port:
            _refuse_listener(port, address)
            # Before binding: a port in TIME_WAIT is free for a server, as the server itself sees it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        # After binding to a free port: the kernel then chooses one that nobody else holds.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        sock.close()
        raise PortTaken(
            f"{name} port {port} on {address} cannot be used ({error.strerror}{_holder(port)})",
            f"stop that process, or give another port with {option} (0 takes a free one)",
        ) from error
    return sock


def _refuse_listener(port: int, address: str) -> None:
    """Binding succeeds beside a socket that only holds a port; listening does not beside one that listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
        probe.listen(1)


def _holder(port: int) -> str:
    try:
        listening = [
            c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port
        ]
        pid = next((connection.pid for connection in listening if connection.pid), None)
        return f", held by process {pid} ({psutil.Process(pid).name()})" if pid is not None else ""
    except psutil.Error:
        return ""
