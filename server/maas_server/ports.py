"""Ports: finding free ones, and saying who holds a taken one."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import psutil

from maas_server.errors import PortTaken

LOOPBACK = "127.0.0.1"


def choose_ports(wanted: Mapping[str, int], address: str = LOOPBACK) -> dict[str, int]:
    """A port for each name; 0 asks for a free one.

    All are held open until the last is chosen, so that none is given twice.

    Raises:
        PortTaken: where a given port is in use; it says by whom, where that may be known.
    """
    held: list[socket.socket] = []
    try:
        for name, port in wanted.items():
            held.append(_bind(name, port, address))
        return {name: sock.getsockname()[1] for name, sock in zip(wanted, held, strict=True)}
    finally:
        for sock in held:
            sock.close()


def _bind(name: str, port: int, address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As the server does it: a port in TIME_WAIT is free.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, port))
        sock.listen(1)
    except OSError as error:
        sock.close()
        raise PortTaken(
            f"{name} port {port} on {address} cannot be used ({error.strerror}{_holder(port)})",
            f"stop that process, or give another port with --{name}-port (0 takes a free one)",
        ) from error
    return sock


def _holder(port: int) -> str:
    try:
        listening = [
            c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port
        ]
        pid = next((connection.pid for connection in listening if connection.pid), None)
        return f", held by process {pid} ({psutil.Process(pid).name()})" if pid is not None else ""
    except psutil.Error:
        return ""
