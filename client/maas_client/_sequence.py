"""Sequences: calls that belong together, to a model that keeps a state between them."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from maas_client._base import Timeout, asked
from maas_client._build import Asked, Builder
from maas_client._calls import InferCall, ParameterValue
from maas_client._core import Core
from maas_client._deadline import Deadline
from maas_client._result import InferResult, Timing
from maas_client._retry import may_still_run
from maas_client._steps import Operation
from maas_client._values import UNSET
from maas_client.errors import MaasClientError, RefusedValueError, SequenceLostError, ServerError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence as SequenceOf

    from maas_client._async_client import AsyncClient
    from maas_client._client import Client

_LOST = re.compile(r"must specify the START flag|the state of sequence .* is gone")
"""The words of Triton's sequence batcher, and of this project's backend, when a sequence is not known (any more)."""
_ID_BITS = {"TYPE_INT32": 31, "TYPE_UINT32": 32, "TYPE_INT64": 63}
_MAX_ID_CHARACTERS = 128


class SequenceState:
    """A sequence without any I/O.

    Args:
        core: the client's.
        model: a model with ``sequence_batching``.
        model_version: None lets the server choose; the version that answers the first step answers all.
        sequence_id: a positive integer or a text of at most 128 characters; None makes one.

    Raises:
        RefusedValueError: the id is neither.
    """

    def __init__(self, core: Core, model: str, model_version: int | str | None, sequence_id: int | str | None) -> None:
        if sequence_id is not None and not _is_id(sequence_id):
            raise RefusedValueError(
                f"{model}: sequence_id is a positive 64-bit integer or a text of 1 to {_MAX_ID_CHARACTERS} characters, "
                f"got {sequence_id!r}; leave it out to have one made",
                model=model,
            )
        self.model = model
        self.id = sequence_id
        self.is_open = False
        self.is_over = False
        self._core = core
        self._version = core.version(model, model_version)
        self._endpoint: int | None = None
        self._last: Asked | None = None
        self._end_was_sent = False

    def step(self, asked: Asked, deadline: Deadline, *, last: bool) -> Operation[InferResult]:
        """One step; START is set on the first, END on the last.

        Raises:
            SequenceLostError: the server does not know the sequence any more.
            RefusedValueError: the sequence is over.
        """
        if self.is_over:
            raise RefusedValueError(f"{self.model}: sequence {self.id!r} is over; begin a new one", model=self.model)
        started = time.monotonic()
        call, builder = yield from self._core.made(
            self.model, self._version, deadline, lambda builder: self._call(builder, asked, last=last)
        )
        if self._endpoint is None:
            self._endpoint = yield from self._core.choose(deadline)
        checked = time.monotonic()
        before = self.is_open, self._last
        # From here on the server may know the sequence, unless it could not be reached.
        self.is_open = True
        if self._last is None:
            self._last = asked
        self._end_was_sent |= last
        try:
            answer, attempts = yield from self._core.exchange(
                call, deadline, endpoint=self._endpoint, may_be_applied_twice=False
            )
        except UnreachableError:
            self._undo(before)
            raise
        except ServerError as error:
            if _LOST.search(error.message):
                self.is_open, self.is_over = False, True
                raise SequenceLostError(
                    f"{self.model}: the server does not know sequence {self.id!r} any more (idle for too long, or "
                    "restarted); begin a new one",
                    model=self.model,
                    endpoint=error.endpoint,
                    code=error.code,
                ) from error
            if not may_still_run(error):
                # A refused step is none: END repeats the last one that was accepted, and the first is still to come.
                self._undo(before)
            raise
        self._last = asked
        self.is_over = last
        self.is_open = not last
        timing = Timing(checked - started, time.monotonic() - checked, attempts)
        spec = yield from self._core.spec_of(answer, builder, self._version, deadline)
        result = self._core.result(spec, self._version, answer, timing)
        self._stay_with(builder, result.model_version)
        return result

    def _call(self, builder: Builder, asked: Asked, *, last: bool) -> InferCall:
        if not builder.spec.sequence:
            raise RefusedValueError(f"{self.model} keeps no sequences; use infer", model=self.model)
        if self.id is None:
            self.id = _new_id(builder.spec.sequence_id_datatype)
        return builder.build(replace(asked, parameters={**asked.parameters, **self._flags(last)}))

    def _undo(self, before: tuple[bool, Asked | None]) -> None:
        self.is_open, self._last = before
        if self._last is None:
            # Still the first step: any server can take it.
            self._endpoint = None

    def _flags(self, last: bool) -> dict[str, ParameterValue]:
        return {
            "sequence_id": self.id or "",
            "sequence_start": self._last is None,
            "sequence_end": last,
        }

    def _stay_with(self, builder: Builder, version: int) -> None:
        """The state is in the version that answered: a newer one does not know the sequence."""
        if not self._version:
            self._version = str(version)
            self._core.remember(self.model, self._version, builder.spec)

    def end(self, deadline: Deadline) -> Operation[None]:
        """Lets the server drop the state, if it may have one.

        Triton takes END only with a step, so the last step's inputs are sent again and the answer is dropped.
        """
        if self.is_open and self._last is not None:
            was_sent = self._end_was_sent
            try:
                yield from self.step(self._last, deadline, last=True)
            except SequenceLostError:
                # An END that was answered with an error has ended it all the same.
                if not was_sent:
                    raise
        self.is_over = True


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return 1 <= len(value) <= _MAX_ID_CHARACTERS
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63


def _new_id(datatype: str) -> int | str:
    """An id that no other client picks, as wide as the model's control input takes it."""
    if datatype == "TYPE_STRING":
        return secrets.token_hex(16)
    return secrets.randbelow(2 ** _ID_BITS.get(datatype, 63) - 1) + 1


class Sequence:
    """Calls that belong together: made by :meth:`maas_client.Client.sequence`, used in a ``with`` block.

    Leaving the block ends the sequence on the server, also after an error. It belongs to one thread at a time.
    """

    def __init__(self, client: Client, state: SequenceState) -> None:
        self._client = client
        self._state = state

    @property
    def id(self) -> int | str | None:
        """The sequence's id; None before the first step, unless one was given."""
        return self._state.id

    def infer(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        outputs: SequenceOf[str] | None = None,
        timeout_s: Timeout = UNSET,
        cast: bool = False,
        request_id: str = "",
        parameters: Mapping[str, ParameterValue] | None = None,
        last: bool = False,
        **named_inputs: Any,
    ) -> InferResult:
        """The next step; arguments as of :meth:`maas_client.Client.infer`.

        A step that may have been applied is never sent twice.

        Args:
            inputs: input name -> values.
            outputs: the outputs wanted; None is all.
            timeout_s: the deadline of this step.
            cast: allow safe casts.
            request_id: comes back in the result.
            parameters: the request's own.
            last: ends the sequence with this step, which saves one call.
            named_inputs: input name -> values.

        Raises:
            SequenceLostError: the server does not know the sequence any more.
            MaasClientError: as for ``infer``.
        """
        wanted = asked(
            self._state.model,
            inputs,
            named_inputs,
            outputs=outputs,
            cast=cast,
            request_id=request_id,
            parameters=parameters,
        )
        return self._client._run(self._state.step(wanted, self._client._deadline(timeout_s), last=last))

    def end(self, *, timeout_s: Timeout = UNSET) -> None:
        """Ends the sequence on the server; does nothing where that is done."""
        self._client._run(self._state.end(self._client._deadline(timeout_s)))

    def __enter__(self) -> Sequence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.end()
        except MaasClientError as end_error:
            if error is None:
                raise
            error.add_note(f"the sequence could not be ended either: {end_error}")


class AsyncSequence:
    """Calls that belong together: :class:`Sequence` with ``await``, used in an ``async with`` block."""

    def __init__(self, client: AsyncClient, state: SequenceState) -> None:
        self._client = client
        self._state = state

    @property
    def id(self) -> int | str | None:
        """The sequence's id; None before the first step, unless one was given."""
        return self._state.id

    async def infer(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        outputs: SequenceOf[str] | None = None,
        timeout_s: Timeout = UNSET,
        cast: bool = False,
        request_id: str = "",
        parameters: Mapping[str, ParameterValue] | None = None,
        last: bool = False,
        **named_inputs: Any,
    ) -> InferResult:
        """The next step: see :meth:`Sequence.infer`."""
        wanted = asked(
            self._state.model,
            inputs,
            named_inputs,
            outputs=outputs,
            cast=cast,
            request_id=request_id,
            parameters=parameters,
        )
        return await self._client._run(self._state.step(wanted, self._client._deadline(timeout_s), last=last))

    async def end(self, *, timeout_s: Timeout = UNSET) -> None:
        """Ends the sequence on the server: see :meth:`Sequence.end`."""
        await self._client._run(self._state.end(self._client._deadline(timeout_s)))

    async def __aenter__(self) -> AsyncSequence:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.end()
        except MaasClientError as end_error:
            if error is None:
                raise
            error.add_note(f"the sequence could not be ended either: {end_error}")
