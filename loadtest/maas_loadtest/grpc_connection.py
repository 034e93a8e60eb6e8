"""A connection for gRPC over gevent's cooperative sockets: no thread has a part in a call.

Two greenlets belong to a connection: one reads, one writes. Callers only hand over what is to be written and wait for
their own answer, so that one who gives up, or is killed, never leaves half a frame behind.
"""

from __future__ import annotations

import os
import socket as plain_socket
import ssl as plain_ssl
from importlib.resources import files
from typing import Any

import gevent
from gevent import socket, ssl
from gevent.event import Event

from maas_client._url import Endpoint
from maas_loadtest.http2_connection import Http2Connection, Stream
from maas_loadtest.http2_frames import Http2Error, goaway
from maas_loadtest.sending import SendFailed, no_answer_within

_RECEIVE_BYTES = 1 << 16
_ALPN = "h2"


class GrpcConnection:
    """Connects at once in the background; calls that are started meanwhile wait.

    Args:
        endpoint: a grpc or grpcs address.
        timeout_s: how long connecting may take, with the server's first words.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._http2 = Http2Connection()
        self._has_output = Event()
        self._runner = gevent.spawn(self._run)

    @property
    def takes_calls(self) -> bool:
        """Whether one more call may be started."""
        return self._http2.takes_streams

    @property
    def is_over(self) -> bool:
        """Whether its socket is closed."""
        return bool(self._runner.ready())

    def start(self, call: Stream) -> None:
        """Sends a request as soon as the server takes one more."""
        self._http2.open(call)
        self._has_output.set()

    def end_request(self, call: Stream) -> None:
        """Closes the request side of a stream."""
        self._http2.end_request(call)
        self._has_output.set()

    def cancel(self, call: Stream) -> None:
        """Nobody waits for the answer any more; nothing where it has come."""
        self._http2.cancel(call)
        self._has_output.set()

    def close(self) -> None:
        """Ends it; calls that are under way fail."""
        self._runner.kill()
        # A greenlet that had not begun to run when it was killed has told nobody.
        self._http2.fail(SendFailed("connection", "the sender was closed"))

    def _run(self) -> None:
        failure = SendFailed("connection", "the sender was closed")
        try:
            failure = self._served(_connect(self._endpoint, self._timeout_s))
        except SendFailed as error:
            failure = error
        finally:
            self._http2.fail(failure)

    def _served(self, connected: Any) -> SendFailed:
        """Reads until the end; what that means to those who still wait."""
        writer = gevent.spawn(self._write, connected)
        try:
            return self._read(connected)
        except Http2Error as error:
            _tell(connected, goaway(error.code))
            return SendFailed("protocol", f"the server breaks HTTP/2: {error.message}")
        except TimeoutError:
            return no_answer_within(self._timeout_s)
        except ConnectionError:
            return _lost()
        except OSError as error:
            return SendFailed("connection", f"the connection was lost: {error.strerror or error}")
        finally:
            writer.kill()
            connected.close()

    def _read(self, connected: Any) -> SendFailed:
        http2, has_output = self._http2, self._has_output
        # Until the server's SETTINGS have come it need not be one that speaks HTTP/2.
        connected.settimeout(self._timeout_s)
        while not http2.is_over:
            data = connected.recv(_RECEIVE_BYTES)
            if not data:
                return _lost()
            http2.receive(data)
            # Most answers want no word back: the writer is left asleep.
            if http2.has_output:
                has_output.set()
            if http2.is_ready:
                connected.settimeout(None)
        return SendFailed("connection", "the server closes the connection")

    def _write(self, connected: Any) -> None:
        try:
            while True:
                while output := self._http2.take_output():
                    connected.sendall(output)
                self._has_output.clear()
                self._has_output.wait()
        except OSError:
            # A broken connection ends the reading too, which tells why; a shutdown makes sure of it.
            _shut_down(connected)


def _lost() -> SendFailed:
    """One message: chance decides whether a server that ends shows as an end or as a reset."""
    return SendFailed("connection", "the server closed the connection before the whole answer came")


def _connect(endpoint: Endpoint, timeout_s: float) -> Any:
    """A connected socket, after the TLS handshake of a grpcs address.

    Raises:
        SendFailed: there is nobody, or it is not who it should be.
    """
    try:
        connected = socket.create_connection((endpoint.host, endpoint.port), timeout=timeout_s)
    except TimeoutError as error:
        raise no_answer_within(timeout_s) from error
    except OSError as error:
        raise SendFailed("unreachable", f"no connection: {error.strerror or error}") from error
    connected.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
    return _secured(connected, endpoint) if endpoint.is_secure else connected


def _secured(connected: Any, endpoint: Endpoint) -> Any:
    try:
        # Closes the plain socket where the handshake fails.
        secured = _tls_context().wrap_socket(connected, server_hostname=endpoint.host)
    except OSError as error:
        raise SendFailed("unreachable", f"no connection: {error.strerror or error}") from error
    if secured.selected_alpn_protocol() != _ALPN:
        secured.close()
        raise SendFailed("protocol", "the server does not speak HTTP/2 (no h2 in ALPN)")
    return secured


def _tls_context() -> Any:
    """Trusts whom grpcio trusts by itself: GRPC_DEFAULT_SSL_ROOTS_FILE_PATH, or the roots that it brings."""
    context = ssl.SSLContext(plain_ssl.PROTOCOL_TLS_CLIENT)
    roots = os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
    if roots:
        context.load_verify_locations(cafile=roots)
    else:
        context.load_verify_locations(cadata=(files("grpc") / "_cython/_credentials/roots.pem").read_text("utf-8"))
    context.set_alpn_protocols([_ALPN])
    return context


def _tell(connected: Any, last_words: bytes) -> None:
    """Best effort: who breaks the protocol need not listen either."""
    try:
        connected.settimeout(0.0)
        connected.send(last_words)
    except OSError:
        return


def _shut_down(connected: Any) -> None:
    try:
        connected.shutdown(plain_socket.SHUT_RDWR)
    except OSError:
        return
