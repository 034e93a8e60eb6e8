"""The journal: what is on the disk is whole and in order, and what others did to it is noticed."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.rollout.fake_triton import FakeClock

from maas_core.errors import NotHeld
from maas_core.releases import journal_path, read_entries, released_versions
from maas_rollout.journal import Journal, JournalNotWritten, who
from maas_rollout.lock import Locked, is_locked, lock_path, locked, owner_of
from maas_rollout.wiring import SystemClock

pytestmark = pytest.mark.usefixtures("build")


@pytest.fixture
def journal() -> Journal:
    journal = Journal(journal_path("double"), FakeClock())
    for number in range(3):
        journal.append("one", "begin", {"step": f"step {number}"})
    return journal


def in_child(work: Callable[[], None]) -> int:
    """The exit status of a process that does that."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(7)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda lines: [lines[0], lines[1].replace("step 1", "step 9"), lines[2]], 3),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: [lines[1], lines[0], lines[2]], 1),
        (lambda lines: [*lines, lines[2]], 4),
        (lambda lines: [lines[0], "{}", lines[2]], 2),
        (lambda lines: [lines[0], "", lines[1], lines[2]], 2),
    ],
    ids=["changed", "removed", "exchanged", "repeated", "emptied", "blank line"],
)
def test_what_others_do_to_it_is_noticed(journal: Journal, spoil: Callable[[list[str]], list[str]], line: int) -> None:
    lines = journal.path.read_text().splitlines()
    journal.path.write_text("".join(f"{text}\n" for text in spoil(lines)))
    with pytest.raises(NotHeld, match=f"line {line}: "):
        read_entries(journal.path)


def test_what_a_crash_cut_off_never_happened_and_is_written_over(journal: Journal) -> None:
    whole = journal.path.read_bytes()
    last = whole.splitlines()[-1]
    for cut in range(len(last)):
        journal.path.write_bytes(whole + last[:cut])
        assert len(read_entries(journal.path)) == 3
    journal.append("one", "done", {})
    assert [entry.seq for entry in read_entries(journal.path)] == [1, 2, 3, 4]


@pytest.mark.parametrize("room_bytes", [-10_000, 0, 1, 20, 100])
def test_a_full_disk_leaves_it_as_it_was(journal: Journal, room_bytes: int) -> None:
    before = journal.path.read_bytes()

    def fill() -> None:
        room = max(0, len(before) + room_bytes)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            journal.append("one", "done", {"evidence": "x" * 200})
        except JournalNotWritten:
            os._exit(5)

    assert os.WEXITSTATUS(in_child(fill)) == 5
    assert journal.path.read_bytes() == before
    journal.append("one", "done", {})
    assert len(read_entries(journal.path)) == 4


def test_pins_of_several_journals_count_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    one, other = (Journal(journal_path(name), FakeClock()) for name in ("a", "b"))
    here, there = tmp_path / "here", tmp_path / "there"
    assert other.pin("b", here, {"shared": 1, "b": 1})
    assert one.pin("a", here, {"shared": 2})
    assert other.pin("b", here, {"shared": 3})
    assert one.pin("a", there, {"shared": 9})
    assert not one.pin("a", here, {"shared": 3}), "what is pinned already needs no entry"
    assert released_versions(here) == {"shared": 3, "b": 1}
    assert released_versions(there) == {"shared": 9}


def test_a_lock_is_held_by_one_and_dies_with_its_owner(tmp_path: Path) -> None:
    ready = multiprocessing.get_context("fork").Event()

    def hold() -> None:
        with locked(["a", "b"]):
            ready.set()
            signal.pause()

    child = os.fork()
    if child == 0:
        hold()
        os._exit(0)
    assert ready.wait(30)
    with pytest.raises(Locked, match=f"b is locked: .*pid {child}"), locked(["b", "c"]):
        pass
    assert is_locked("a")
    assert not is_locked("c"), "all locks or none"
    with locked(["c"]) as left:
        assert left == {}
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not is_locked("a")
    with locked(["a", "c"]) as left:
        assert list(left) == ["a"]
        assert f"pid {child}" in left["a"]
        assert f"pid {os.getpid()}" in owner_of("a")
    with locked(["a"]) as left:
        assert left == {}, "who ends in order leaves nothing to take over"


def test_half_a_name_in_a_lock_is_no_name(build: Path) -> None:
    with locked(["a"]):
        pass
    (build / "state" / "rollouts" / "a.lock").write_text(json.dumps({"owner": "somebody"})[:9])
    with locked(["a"]) as left:
        assert left == {}


def test_who_only_looks_whether_a_lock_is_held_keeps_nobody_from_it(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A probe of the product's own takes no time; this one lasts as long as the timer's thread is kept waiting.
    monkeypatch.setattr("maas_rollout.lock._PROBE_S", 60.0)
    with locked(["a"]):
        pass
    probe = os.open(lock_path("a"), os.O_RDONLY)
    fcntl.flock(probe, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, [probe]).start()
    with locked(["a"]):
        assert is_locked("a")


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_entry() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", no_entry)
    assert who().startswith(f"uid {os.getuid()}@")


def test_a_repository_says_where_its_journals_lie(build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that looks elsewhere would find no pin, and serve the newest version: also one that was rolled back."""
    repository = tmp_path / "models"
    repository.mkdir()
    Journal(journal_path("double"), SystemClock()).pin("r1", repository, {"double": 1})
    assert released_versions(repository) == {"double": 1}
    monkeypatch.chdir(tmp_path)
    assert released_versions(Path("models")) == {"double": 1}
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MAAS_BUILD", str(tmp_path / "other"))
        with pytest.raises(NotHeld, match=r"serve is written in .*/build/state/rollouts, not in .*other"):
            released_versions(repository)
    moved = repository.rename(tmp_path / "moved")
    with pytest.raises(NotHeld, match=r"moved was released as .*models; move it back"):
        released_versions(moved)
    (moved / ".maas" / "journals.json").unlink()
    assert released_versions(moved) == {}
