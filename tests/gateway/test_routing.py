"""Reading and writing what the gateway routes, without a gateway."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from maas_core.errors import WrongUse
from maas_gateway.routing import (
    Routing,
    Split,
    Upstream,
    read_revision,
    read_routing,
    update_routing,
    write_routing,
)
from maas_gateway.xds_files import clusters_path, routes_path, write

STABLE = Upstream(http="127.0.0.1:8000", grpc="127.0.0.1:8001")
CANDIDATE = Upstream(http="127.0.0.1:9000", grpc="127.0.0.1:9001")
SPLIT = Routing(stable=STABLE, candidate=CANDIDATE, splits={"digits": Split(candidate_percent=5)})


def test_what_was_written_is_read_and_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    assert read_revision(tmp_path) == 0
    assert write_routing(tmp_path, Routing(stable=STABLE)) == 1
    assert write_routing(tmp_path, SPLIT) == 2
    before = {path: path.stat().st_mtime_ns for path in (clusters_path(tmp_path), routes_path(tmp_path))}
    assert write_routing(tmp_path, SPLIT) == 2
    assert read_routing(tmp_path) == SPLIT
    assert read_revision(tmp_path) == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert write_routing(tmp_path, Routing(stable=STABLE)) == 3


def test_files_of_envoy_that_did_not_follow_are_written_by_the_next_who_writes(tmp_path: Path) -> None:
    write_routing(tmp_path, Routing(stable=STABLE))
    behind = routes_path(tmp_path).read_text()
    write_routing(tmp_path, SPLIT)
    wanted = routes_path(tmp_path).read_text()
    routes_path(tmp_path).write_text(behind)
    assert write_routing(tmp_path, SPLIT) == 2
    assert routes_path(tmp_path).read_text() == wanted


def test_two_who_change_different_models_do_not_undo_each_other(tmp_path: Path) -> None:
    write_routing(tmp_path, Routing(stable=STABLE, candidate=CANDIDATE))

    def grow(model: str) -> None:
        for percent in range(1, 21):
            splits = {model: Split(candidate_percent=percent)}
            update_routing(tmp_path, lambda now, new=splits: now.model_copy(update={"splits": now.splits | new}))

    threads = [threading.Thread(target=grow, args=(model,)) for model in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_routing(tmp_path).splits == {model: Split(candidate_percent=20) for model in ("a", "b")}
    assert read_revision(tmp_path) == 41


@pytest.mark.parametrize("address", ["8000", "127.0.0.1", "http://127.0.0.1:8000", "127.0.0.1:99999", "a:1/b", ""])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(ValidationError, match="HOST:PORT"):
        Upstream(http=address, grpc="127.0.0.1:8001")


@pytest.mark.parametrize("percent", [-1, 101, 2.5])
def test_a_share_is_a_whole_number_of_percent(percent: float) -> None:
    with pytest.raises(ValidationError):
        Split(candidate_percent=percent)  # type: ignore[arg-type]  # what is refused here


def test_nothing_is_routed_to_a_candidate_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="there is none"):
        Routing(stable=STABLE, splits=SPLIT.splits)
    # Nor where pydantic was not asked.
    with pytest.raises(WrongUse, match="there is none"):
        write_routing(tmp_path, SPLIT.model_copy(update={"candidate": None}))
    assert read_revision(tmp_path) == 0


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(WrongUse, match="cannot be a model's name"):
        Routing(stable=STABLE, candidate=CANDIDATE, splits={"a;id": Split(candidate_percent=5)})


@pytest.mark.parametrize("text", ["", "{", "{}", '{"revision": 1, "routing": {"stable": {}}}', "[]"])
def test_a_file_that_is_no_routing_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "routing.json").write_text(text)
    with pytest.raises(WrongUse, match="is not a routing"):
        read_routing(tmp_path)


def test_no_routing_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="there is no routing"):
        read_routing(tmp_path)


def test_the_files_of_envoy_tell_the_revision(tmp_path: Path) -> None:
    write_routing(tmp_path, SPLIT)
    for path in (clusters_path(tmp_path), routes_path(tmp_path)):
        assert json.loads(path.read_text())["version_info"] == "1"


def names_of_clusters(state: Path) -> set[str]:
    return {resource["name"] for resource in json.loads(clusters_path(state).read_text())["resources"]}


def test_routes_name_no_cluster_that_another_routing_would_lack(tmp_path: Path) -> None:
    # Envoy takes routes and clusters over one after the other; between the two they are of different routings.
    write_routing(tmp_path, Routing(stable=STABLE))
    without_candidate = names_of_clusters(tmp_path)
    write_routing(tmp_path, SPLIT)
    routed = set(re.findall(r'"name": "((?:stable|candidate)_[a-z_]+)"', routes_path(tmp_path).read_text()))
    assert {"stable_http", "stable_grpc", "candidate_http", "candidate_or_stable_grpc"} <= routed
    assert routed <= without_candidate == names_of_clusters(tmp_path)


def test_servers_are_known_before_routes_lead_to_them_and_go_after(tmp_path: Path) -> None:
    def order_of(routing: Routing, revision: int) -> list[str]:
        """Which files had been written when the first was waited for."""
        seen: list[str] = []

        def waited(kind: str) -> None:
            paths = {"clusters": clusters_path(tmp_path), "routes": routes_path(tmp_path)}
            written = [name for name, path in paths.items() if f'"{revision}"' in path.read_text().splitlines()[1]]
            seen.extend([kind, *written])

        write(tmp_path, routing, revision, waited)
        return seen

    write(tmp_path, Routing(stable=STABLE), 1, lambda kind: None)
    assert order_of(SPLIT, 2) == ["clusters", "clusters"]
    assert order_of(SPLIT.model_copy(update={"splits": {}}), 3) == []
    assert order_of(Routing(stable=STABLE), 4) == ["routes", "routes"]
