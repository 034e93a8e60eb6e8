"""Which request goes to which cluster, as routes of Envoy.

The fields are those of ``envoy.config.route.v3.RouteConfiguration``
(https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/route/v3/route_components.proto). What the routes look at is
set by filters before them: ``x-maas-model`` and ``x-maas-sequence`` (what is called), ``x-maas-side`` (where the
sequence began).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_gateway.clusters import PROTOCOLS, Json, Protocol, Side, cluster_name, seconds, with_fallback

if TYPE_CHECKING:
    from maas_gateway.routing import Routing, Split
    from maas_gateway.settings import ProxySettings

ROUTES_NAME = "routes"
SIDE_HEADER = "x-maas-side"
_MODEL_HEADER = "x-maas-model"
_SEQUENCE_HEADER = "x-maas-sequence"
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
    return {"name": ROUTES_NAME, "virtual_hosts": [host]}


def _routes(protocol: Protocol, prefix: str, routing: Routing, settings: ProxySettings) -> list[Json]:
    make = _RouteMaker(protocol, prefix, settings)
    routes = [make.begun_sequence("stable")]
    if routing.candidate is not None:
        routes.append(make.begun_sequence("candidate"))
    for model, split in sorted(routing.splits.items()):
        routes += [make.sequence(model, split), make.model(model, split)]
    return [*routes, make.any_sequence(), make.anything()]


class _RouteMaker:
    """Makes the routes of one protocol and path."""

    def __init__(self, protocol: Protocol, prefix: str, settings: ProxySettings) -> None:
        self._protocol = protocol
        self._settings = settings
        self._match: Json = {"prefix": prefix, **({"grpc": {}} if protocol == "grpc" else {})}

    def begun_sequence(self, side: Side) -> Json:
        """A step of a sequence whose first step went to that side."""
        return self._route([_is(SIDE_HEADER, side), _has(_SEQUENCE_HEADER)], self._to(side))

    def sequence(self, model: str, split: Split) -> Json:
        """The first step of a sequence, and one of which it is not known where it began.

        Both by the hash of the correlation id: so the second goes where the first went, unless weights changed.
        """
        action = self._split(split, fallback=False) | {"hash_policy": [_hash_of(_SEQUENCE_HEADER)]}
        return self._route([_is(_MODEL_HEADER, model), _has(_SEQUENCE_HEADER)], action)

    def model(self, model: str, split: Split) -> Json:
        """A request that belongs to no sequence."""
        action = self._split(split, fallback=True) | self._retries()
        action["hash_policy"] = [_hash_of(header) for header in self._settings.sticky_headers]
        if split.mirror_percent:
            share = {"default_value": {"numerator": split.mirror_percent, "denominator": "HUNDRED"}}
            action["request_mirror_policies"] = [{"cluster": mirror_cluster(self._protocol), "runtime_fraction": share}]
        return self._route([_is(_MODEL_HEADER, model)], action)

    def any_sequence(self) -> Json:
        """A sequence of a model that is not split."""
        return self._route([_has(_SEQUENCE_HEADER)], self._to("stable"))

    def anything(self) -> Json:
        """Metadata, health, and models that are not split."""
        return self._route([], self._to("stable") | self._retries())

    def _to(self, side: Side) -> Json:
        weighted = {"clusters": [_share(cluster_name(side, self._protocol), side, 1)]}
        return {"weighted_clusters": weighted}

    def _split(self, split: Split, *, fallback: bool) -> Json:
        if not split.candidate_percent:
            return self._to("stable")
        candidate = with_fallback(self._protocol) if fallback else cluster_name("candidate", self._protocol)
        # The candidate first: the hashes below its share are its callers, and stay so when the share grows.
        shares = [
            _share(candidate, "candidate", split.candidate_percent),
            _share(cluster_name("stable", self._protocol), "stable", 100 - split.candidate_percent),
        ]
        return {"weighted_clusters": {"clusters": shares, "use_hash_policy": True}}

    def _retries(self) -> Json:
        return {
            "retry_policy": {
                "retry_on": _RETRY_ON[self._protocol],
                "retriable_status_codes": [503],
                "num_retries": self._settings.retries,
                "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.250s"},
                # Where the candidate failed, the next one tried is the stable server.
                "retry_priority": {
                    "name": "envoy.retry_priorities.previous_priorities",
                    "typed_config": {
                        "@type": "type.googleapis.com/"
                        "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                        "update_frequency": 1,
                    },
                },
            }
        }

    def _route(self, headers: list[Json], action: Json) -> Json:
        timeout = {"timeout": seconds(self._settings.answer_timeout_s)}
        if self._protocol == "grpc":
            # The caller's own deadline counts where it is shorter.
            timeout["max_stream_duration"] = {
                "max_stream_duration": seconds(self._settings.answer_timeout_s),
                "grpc_timeout_header_max": seconds(self._settings.answer_timeout_s),
            }
        return {"match": {**self._match, "headers": headers}, "route": {**action, **timeout}}


def _share(cluster: str, side: Side, weight: int) -> Json:
    told = {"header": {"key": SIDE_HEADER, "value": side}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {"name": cluster, "weight": weight, "response_headers_to_add": [told]}


def _hash_of(header: str) -> Json:
    return {"header": {"header_name": header}, "terminal": True}


def _is(header: str, value: str) -> Json:
    return {"name": header, "string_match": {"exact": value}}


def _has(header: str) -> Json:
    return {"name": header, "present_match": True}
