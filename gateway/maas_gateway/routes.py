"""Which request goes to which cluster, as routes of Envoy.

The fields are those of ``envoy.config.route.v3.RouteConfiguration``
(https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/route/v3/route_components.proto). What the routes look at is
set by the admission filter before them: ``x-maas-model``, ``x-maas-version`` and ``x-maas-sequence`` (what is called),
``x-maas-side`` (where the sequence began).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_gateway.admission import FILTER_NAME, HEADERS
from maas_gateway.clusters import PROTOCOLS, Json, Protocol, Side, cluster_name, with_fallback
from maas_gateway.durations import duration

if TYPE_CHECKING:
    from maas_gateway.routing import Routing, Split
    from maas_gateway.settings import ProxySettings

ROUTES_NAME = "routes"
SIDE_HEADER = "x-maas-side"
_ADMITTED_HEADER = "x-maas-kind"
_MODEL_HEADER = "x-maas-model"
_VERSION_HEADER = "x-maas-version"
_SEQUENCE_HEADER = "x-maas-sequence"
_LOST: dict[Protocol, str] = {
    "http": '{"error":"the server that held the state of this sequence is gone; begin the sequence anew"}',
    "grpc": "the server that held the state of this sequence is gone; begin the sequence anew",
}
_PREFIXES: dict[Protocol, tuple[str, ...]] = {
    "http": ("/v2",),
    "grpc": ("/inference.GRPCInferenceService/", "/grpc.health.v1.Health/"),
}
_RETRY_ON: dict[Protocol, str] = {
    "http": "connect-failure,refused-stream,reset-before-request,retriable-status-codes",
    "grpc": "connect-failure,refused-stream,reset-before-request,unavailable",
}


def mirror_cluster(protocol: Protocol) -> str:
    """The comparison sink."""
    return f"mirror_{protocol}"


def route_configuration(routing: Routing, settings: ProxySettings) -> Json:
    """All routes; the first that matches is taken."""
    routes = [
        route
        for protocol in PROTOCOLS
        for prefix in _PREFIXES[protocol]
        for route in _routes(protocol, prefix, routing, settings)
    ]
    host = {"name": "triton", "domains": ["*"], "routes": routes}
    # Taken out of what callers send before a filter sees it. For callers from elsewhere, and all count as such
    # (listener.py: internal_address_config).
    return {
        "name": ROUTES_NAME,
        "virtual_hosts": [host],
        "internal_only_headers": list(HEADERS),
    }


def _routes(protocol: Protocol, prefix: str, routing: Routing, settings: ProxySettings) -> list[Json]:
    make = _RouteMaker(protocol, prefix, settings)
    begun = [make.step("stable"), make.step("candidate") if routing.candidate is not None else make.lost_step()]
    models = [(model, split) for model, split in sorted(routing.splits.items()) if split.takes_part]
    first = [route for model, split in models for route in make.first_steps(model, split)]
    requests = [route for model, split in models for route in make.requests(model, split)]
    return [*begun, *first, *requests, make.any_request()]


class _RouteMaker:
    """Makes the routes of one protocol and path."""

    def __init__(self, protocol: Protocol, prefix: str, settings: ProxySettings) -> None:
        self._protocol = protocol
        self._settings = settings
        self._prefix = prefix

    def step(self, side: Side) -> Json:
        """A step of a sequence: ``lua/affinity.lua`` said where to. It is never tried again."""
        return self._route([_is(SIDE_HEADER, side)], self._to(side))

    def lost_step(self) -> Json:
        """A step of a sequence whose server is gone, and with it the state."""
        body = {"inline_string": _LOST[self._protocol]}
        return {"match": self._match([_is(SIDE_HEADER, "candidate")]), "direct_response": {"status": 410, "body": body}}

    def first_steps(self, model: str, split: Split) -> list[Json]:
        """Tell ``lua/affinity.lua`` the weight; it then has the route chosen anew."""
        pinned = [self._first_step(model, [version], 100 * (side == "candidate")) for version, side in _pins(split)]
        return [*pinned, self._first_step(model, [], split.candidate_percent)]

    def _first_step(self, model: str, version: list[Json], candidate_percent: int) -> Json:
        metadata = {"filter_metadata": {FILTER_NAME: {"candidate_percent": candidate_percent}}}
        route = self._route([_is(_MODEL_HEADER, model), *version, _has(_SEQUENCE_HEADER)], self._to("stable"))
        return route | {"metadata": metadata}

    def requests(self, model: str, split: Split) -> list[Json]:
        """Requests that belong to no sequence: first those that name a version, which only one of the servers has."""
        pinned = [
            self._route([_is(_MODEL_HEADER, model), version], self._to(side) | self._retries())
            for version, side in _pins(split)
        ]
        return [*pinned, self._request(model, split)]

    def _request(self, model: str, split: Split) -> Json:
        action = self._split(split) | self._retries(elsewhere=True)
        action["hash_policy"] = [_hash_of(header) for header in self._settings.sticky_headers]
        if split.mirror_percent:
            share = {"default_value": {"numerator": split.mirror_percent, "denominator": "HUNDRED"}}
            action["request_mirror_policies"] = [{"cluster": mirror_cluster(self._protocol), "runtime_fraction": share}]
        return self._route([_is(_MODEL_HEADER, model)], action)

    def any_request(self) -> Json:
        """Metadata, health, and models that are not split."""
        return self._route([], self._to("stable") | self._retries())

    def _to(self, side: Side) -> Json:
        return {"weighted_clusters": {"clusters": [_share(cluster_name(side, self._protocol), 1)]}}

    def _split(self, split: Split) -> Json:
        # The candidate first: the hashes below its share are its callers, and stay so when the share grows.
        shares = [
            _share(with_fallback(self._protocol), split.candidate_percent),
            _share(cluster_name("stable", self._protocol), 100 - split.candidate_percent),
        ]
        return {"weighted_clusters": {"clusters": shares, "use_hash_policy": True}}

    def _retries(self, *, elsewhere: bool = False) -> Json:
        """``elsewhere``: where the candidate failed, the next one tried is the stable server."""
        policy: Json = {
            "retry_on": _RETRY_ON[self._protocol],
            "retriable_status_codes": [503],
            "num_retries": self._settings.retries,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.250s"},
        }
        if elsewhere:
            policy["retry_priority"] = {
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {
                    "@type": "type.googleapis.com/"
                    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                    "update_frequency": 1,
                },
            }
        return {"retry_policy": policy}

    def _route(self, headers: list[Json], action: Json) -> Json:
        answer_timeout = duration(self._settings.answer_timeout_s)
        # While an answer is waited for nothing moves: only the time for the answer may end that.
        timeout: Json = {"timeout": answer_timeout, "idle_timeout": answer_timeout}
        if self._protocol == "grpc":
            # The caller's own deadline counts where it is shorter.
            timeout["max_stream_duration"] = {
                "max_stream_duration": duration(self._settings.answer_timeout_s),
                "grpc_timeout_header_max": duration(self._settings.answer_timeout_s),
            }
        return {"match": self._match(headers), "route": {**action, **timeout}}

    def _match(self, headers: list[Json]) -> Json:
        # Without the header of the admission filter no route is found: where it failed, nothing goes on.
        only_grpc: Json = {"grpc": {}} if self._protocol == "grpc" else {}
        return {"prefix": self._prefix, "headers": [_has(_ADMITTED_HEADER), *headers], **only_grpc}


def _share(cluster: str, weight: int) -> Json:
    told = {"header": {"key": SIDE_HEADER, "value": "%UPSTREAM_METADATA(maas:side)%"}}
    return {"name": cluster, "weight": weight, "response_headers_to_add": [told]}


def _pins(split: Split) -> list[tuple[Json, Side]]:
    """Who names a version, and who has it."""
    others: tuple[Json, Side] = (_has(_VERSION_HEADER), "stable")
    if split.candidate_version is None:
        return [others]
    return [(_is(_VERSION_HEADER, str(split.candidate_version)), "candidate"), others]


def _hash_of(header: str) -> Json:
    return {"header": {"header_name": header}, "terminal": True}


def _is(header: str, value: str) -> Json:
    return {"name": header, "string_match": {"exact": value}}


def _has(header: str) -> Json:
    return {"name": header, "present_match": True}
