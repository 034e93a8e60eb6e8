"""Tensors through shared memory: what lies where, the pool of registered regions, and calls that use them.

Source: Triton's "system shared memory extension". No I/O here: the operations ask their driver for it.
"""

from __future__ import annotations

import logging
import math
import os
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from maas_client._calls import (
    Answer,
    InferCall,
    RegionsCall,
    RegisterCall,
    SharedTensors,
    UnregisterCall,
)
from maas_client._deadline import Deadline
from maas_client._dtypes import ITEM_SIZE_BYTES
from maas_client._forks import ForkSafeLock
from maas_client._regions import HEADER_BYTES, LONGEST_USE_S, Region, is_stale, remove_stale
from maas_client._retry import may_still_run
from maas_client._spec import ModelSpec
from maas_client._steps import Exchange, Operation, Pause
from maas_client._url import Endpoint
from maas_client.errors import (
    BadAnswerError,
    MaasClientError,
    PermissionRefusedError,
    QuotaExceededError,
    ServerError,
    TransportError,
    UnavailableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from maas_client._core import Core

_T = TypeVar("_T")
_LOGGER = logging.getLogger("maas_client")
_ALIGN_BYTES = 64
_SMALLEST_BYTES = 1 << 16
_CLOSE_S = 1.0
"""How long a server may take to forget a region while the client closes."""
_REFUSED_S = 5.0
"""How long no region is asked for after a failure that may pass."""
_IN_USE_PAUSES_S = tuple(0.001 * 2**n for n in range(9))
"""How often a server that is still using a region is asked once more to forget it; half a second together."""
_left: deque[tuple[str, Region]] = deque()
"""Regions that closed clients of this process left since a server may still be writing into them, and which server."""
_mapped: deque[tuple[str, str]] = deque(maxlen=4096)
"""Names of regions that are removed and that a server may still have mapped, and which server; of the last so many."""


@dataclass(slots=True)
class _Pool:
    """The regions of one process at one server that no call is using; shared by threads.

    Attributes:
        idle: ready for the next call.
        suspect: those of calls that ended without an answer, and the time when it is safe to use them again: until
            then the server may still be reading or writing.
        refused_until: when it makes sense to ask for one again, on the monotonic clock.
        is_swept: whether the server was asked to forget the regions of clients that died.
    """

    idle: list[Region] = field(default_factory=list)
    suspect: list[tuple[Region, float]] = field(default_factory=list)
    refused_until: float = -math.inf
    is_swept: bool = False


class SharedMemory:
    """The regions of one client."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = ForkSafeLock()
        self._pools: dict[int, _Pool] = {}
        # Appended to without the lock: an abandoned call may be finalized inside a block that holds it.
        self._returned: deque[tuple[int, Region, bool]] = deque()
        self._named: set[Region] = set()
        # Also when the client is never closed; at the end of the process too.
        weakref.finalize(self, _remove_names, self._pid, self._named)

    def exchange(
        self, core: Core, call: InferCall, spec: ModelSpec, deadline: Deadline
    ) -> Operation[tuple[Answer, int]]:
        """Makes a call whose tensors travel through shared memory, or over the network where that cannot be.

        Returns:
            the answer, and the number of attempts.
        """
        index = yield from core.choose(deadline)
        layout = _Layout.of(call, spec)
        for is_last in (False, True):
            region = yield from self._region(core, index, layout.size_bytes, deadline)
            if region is None:
                return (yield from core.exchange(call, deadline))
            try:
                return (yield from self._exchange_in(core, region, layout.placed(call, region), index, deadline))
            except ServerError as error:
                # A server that was started anew does not know the region; it is made anew too.
                if is_last or region.name not in error.message:
                    raise
        raise AssertionError("unreachable")

    def _exchange_in(
        self, core: Core, region: Region, call: InferCall, index: int, deadline: Deadline
    ) -> Operation[tuple[Answer, int]]:
        failures: list[MaasClientError] = []
        is_over = is_known = False
        region.mark(busy=True)
        try:
            answer, attempts = yield from core.exchange(call, deadline, endpoint=index, failures=failures)
            is_over = is_known = True
        except MaasClientError as error:
            is_over, is_known = True, region.name not in error.message
            raise
        finally:
            # One attempt without the server's own verdict may still be under way, however the others ended.
            is_free = is_over and not any(map(may_still_run, failures))
            if is_free:
                region.mark(busy=False)
            if is_over and not is_known:
                self._forget(region)
            else:
                self._returned.append((index, region, is_free))
        return answer, attempts

    def _take_back(self) -> None:
        """Sorts what calls returned; the caller holds the lock."""
        while self._returned:
            index, region, is_free = self._returned.popleft()
            if region.pid != os.getpid():
                continue
            pool = self._pool(index)
            if is_free:
                pool.idle.append(region)
            else:
                pool.suspect.append((region, time.monotonic() + LONGEST_USE_S))

    def _region(self, core: Core, index: int, size_bytes: int, deadline: Deadline) -> Operation[Region | None]:
        """A registered region of at least this size; None where there can be none."""
        with self._lock:
            self._take_back()
            pool = self._pool(index)
            now = time.monotonic()
            if now < pool.refused_until:
                return None
            pool.idle += [region for region, safe_at in pool.suspect if safe_at <= now]
            pool.suspect = [(region, safe_at) for region, safe_at in pool.suspect if safe_at > now]
            fitting = next((region for region in pool.idle if region.size_bytes >= size_bytes + HEADER_BYTES), None)
            if fitting is not None:
                pool.idle.remove(fitting)
                return fitting
            too_small = pool.idle.pop() if pool.idle else None
        try:
            address = str(core.endpoints.addresses[index])
            if too_small is not None:
                self._forget(too_small)
                _mapped.append((address, too_small.name))
            if not pool.is_swept:
                remove_stale()
                yield from _unregister_stale(address, index, deadline)
                pool.is_swept = True
            yield from _unregister_left(address, index, deadline)
            return (yield from self._new_region(index, size_bytes, deadline))
        except (OSError, ServerError) as error:
            pool.refused_until = math.inf if _is_lasting(error) else time.monotonic() + _REFUSED_S
            reason = error.message if isinstance(error, ServerError) else str(error)
            where = core.endpoints.addresses[index]
            _LOGGER.warning("%s: no shared memory, tensors go over the network: %s", where, reason)
            return None
        except TransportError:
            # The call itself will be repeated, or tell what is wrong.
            return None

    def _new_region(self, index: int, size_bytes: int, deadline: Deadline) -> Operation[Region]:
        region = Region(_rounded(size_bytes))
        try:
            yield Exchange(RegisterCall(region.name, region.size_bytes), deadline, index)
        except BaseException:
            region.remove()
            raise
        self._named.add(region)
        return region

    def _forget(self, region: Region) -> None:
        region.remove()
        self._named.discard(region)

    def _pool(self, index: int) -> _Pool:
        if self._pid != os.getpid():
            # The parent goes on using its regions, and removes them.
            self._pid, self._pools, self._named = os.getpid(), {}, set()
            weakref.finalize(self, _remove_names, self._pid, self._named)
        return self._pools.setdefault(index, _Pool())

    def close(self, addresses: Sequence[Endpoint]) -> Operation[None]:
        """Lets the servers forget all regions that no call is using, and removes them.

        Those that a server may still be writing into are left to later clients of this process.
        """
        if self._pid != os.getpid():
            return
        with self._lock:
            self._take_back()
            for index, pool in self._pools.items():
                address = str(addresses[index])
                for region in pool.idle:
                    self._forget(region)
                _mapped.extend((address, region.name) for region in pool.idle)
                _left.extend((address, region) for region, _ in pool.suspect)
                pool.idle, pool.suspect = [], []
        deadline = Deadline(_CLOSE_S)
        for index in list(self._pools):
            try:
                yield from _unregister_left(str(addresses[index]), index, deadline, _IN_USE_PAUSES_S)
            except MaasClientError as error:
                # A server that is gone has forgotten them; another learns it from the next client.
                _LOGGER.debug("%s: not all regions were unregistered: %s", addresses[index], error)


def _remove_names(pid: int, regions: set[Region]) -> None:
    if pid == os.getpid():
        for region in list(regions):
            # One that a server may still be using keeps its name: it tells the next client to wait.
            if not region.is_busy:
                region.remove()


def _is_lasting(error: OSError | ServerError) -> bool:
    """Whether there will be no shared memory later either; a full queue or a full ``/dev/shm`` pass."""
    if isinstance(error, OSError):
        return isinstance(error, FileNotFoundError)
    # Triton's gRPC says UNAVAILABLE of what its options restrict.
    return isinstance(error, UnsupportedError | PermissionRefusedError) or "restricted" in error.message


def _unregister_left(address: str, index: int, deadline: Deadline, pauses_s: Sequence[float] = ()) -> Operation[None]:
    """Lets a server forget what clients of this process no longer use, once it must be done with it."""
    for where, region in _taken(_left):
        if region.pid == os.getpid() and not region.is_safe:
            _left.append((where, region))
        elif region.pid == os.getpid():
            region.remove()
            _mapped.append((where, region.name))
    for where, name in _taken(_mapped):
        is_done = False
        try:
            is_done = where == address and (yield from _unregister(name, index, deadline, pauses_s))
        except ServerError as error:
            # What the server itself refuses for good is not asked again: it would cost every new region.
            is_done = not isinstance(error, UnavailableError | QuotaExceededError) or _is_lasting(error)
            raise
        finally:
            if not is_done:
                _mapped.append((where, name))


def _taken(queue: deque[_T]) -> Iterator[_T]:
    """Takes out what is in a queue now, one by one; other threads may do so at the same time."""
    for _ in range(len(queue)):
        try:
            yield queue.popleft()
        except IndexError:
            return


def _unregister(name: str, index: int, deadline: Deadline, pauses_s: Sequence[float] = ()) -> Operation[bool]:
    """Lets a server forget a region, unless a request is using it.

    Triton counts a request as using its regions until the request is released, which may be after its answer was sent.

    Returns:
        whether the server forgot it.
    """
    for pause_s in (*pauses_s, None):
        try:
            yield Exchange(UnregisterCall(name), deadline, index)
        except ServerError as error:
            if "currently in use" not in error.message:
                raise
        else:
            return True
        if pause_s is not None:
            yield Pause(pause_s)
    return False


def _unregister_stale(address: str, index: int, deadline: Deadline) -> Operation[None]:
    """Frees what a server still has mapped for clients that died.

    Raises:
        BadAnswerError: the server's list is none.
    """
    known = yield Exchange(RegionsCall(), deadline, index)
    if not isinstance(known, dict):
        raise BadAnswerError("the server's list of shared-memory regions is no object")
    for name in filter(is_stale, known):
        if not (yield from _unregister(name, index, deadline)):
            _mapped.append((address, name))


def _rounded(size_bytes: int) -> int:
    """Up to an eighth more than asked for, so that slightly larger batches find room."""
    grain = max(_SMALLEST_BYTES, 1 << max(0, size_bytes.bit_length() - 3))
    return -(-size_bytes // grain) * grain


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where in a region each tensor of a call lies.

    Attributes:
        inputs: offset and size in bytes, in the order of the call's form.
        outputs: by name, likewise; None for an output whose size is not known before the answer, which comes over
            the network.
        size_bytes: of all of it.
    """

    inputs: tuple[tuple[int, int], ...]
    outputs: dict[str, tuple[int, int] | None]
    size_bytes: int

    @classmethod
    def of(cls, call: InferCall, spec: ModelSpec) -> _Layout:
        form = call.form
        names = form.outputs or tuple(spec.outputs)
        rows = form.inputs[0][2][0] if spec.max_batch_size and form.inputs else None
        wanted = [None if form.class_count else _size_bytes(spec, name, rows) for name in names]
        places = _places([*map(len, call.data), *(size for size in wanted if size)])
        inputs = tuple(next(places) for _ in call.data)
        outputs = {name: next(places) if size else None for name, size in zip(names, wanted, strict=True)}
        ends = [offset + size for offset, size in (*inputs, *filter(None, outputs.values()))]
        return cls(inputs, outputs, max(ends, default=0))

    def placed(self, call: InferCall, region: Region) -> InferCall:
        """The call with its inputs copied into a region."""
        memory = region.memory[HEADER_BYTES:]
        for data, (offset, size) in zip(call.data, self.inputs, strict=True):
            memory[offset : offset + size] = data
        shared = SharedTensors(region.name, memory, HEADER_BYTES, self.inputs, self.outputs)
        return InferCall(call.form, (), call.parameters, call.request_id, shared)


def _size_bytes(spec: ModelSpec, name: str, rows: int | None) -> int | None:
    tensor = spec.outputs[name]
    shape = tensor.shape if rows is None else (rows, *tensor.shape[1:])
    if tensor.datatype == "BYTES" or min(shape, default=0) < 0:
        return None
    return math.prod(shape) * ITEM_SIZE_BYTES[tensor.datatype]


def _places(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    offset = 0
    for size in sizes:
        yield offset, size
        offset += -(-size // _ALIGN_BYTES) * _ALIGN_BYTES
