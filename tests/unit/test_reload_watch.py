"""A change is noticed through links, once it is over, and once."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from entrypoints.reload.watch import QUIET_S, Quiet, content_of, seen_now


def swap(folder: Path, number: int, text: str) -> None:
    """As Kubernetes replaces a mounted ConfigMap: the file that is named is a link to a link, and never touched."""
    there = folder / f"..{number}"
    there.mkdir()
    (there / "c.yaml").write_text(text)
    (folder / "..tmp").symlink_to(there.name)
    (folder / "..tmp").rename(folder / "..data")


def test_a_file_behind_links_is_seen_to_change_though_nobody_wrote_to_it(tmp_path: Path) -> None:
    named = tmp_path / "c.yaml"
    named.symlink_to("..data/c.yaml")
    swap(tmp_path, 1, "one")
    before, content = seen_now([named]), content_of([named], 100)
    assert seen_now([named]) == before

    swap(tmp_path, 2, "one")
    assert seen_now([named]) != before
    assert content_of([named], 100) == content
    swap(tmp_path, 3, "two")
    assert content_of([named], 100) != content


def test_a_file_that_is_not_there_and_links_in_a_circle_are_seen_as_nothing(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)

    assert seen_now([tmp_path / "none", circle]) == (None, None)
    assert content_of([tmp_path / "none"], 9) == content_of([circle], 9)
    (tmp_path / "some").write_text("x")
    assert content_of([tmp_path / "none"], 9) != content_of([tmp_path / "some"], 9)


def seen(size: int) -> tuple[tuple[str, int, int, int], ...]:
    return (("/c.yaml", 0, 0, size),)


def test_it_is_told_when_it_has_been_the_same_for_a_second_and_only_once() -> None:
    quiet = Quiet(seen(1))
    assert not quiet.look(seen(1), 0.0)
    assert not quiet.look(seen(2), 1.0)
    assert not quiet.look(seen(3), 1.9)
    assert not quiet.look((None,), 2.5)
    assert not quiet.look(seen(3), 2.9)
    assert not quiet.look(seen(3), 3.8)
    assert quiet.look(seen(3), 3.9)
    assert not quiet.look(seen(3), 5.0)


def test_what_is_put_back_was_no_change() -> None:
    quiet = Quiet(seen(1))
    assert not quiet.look(seen(2), 1.0)
    assert not quiet.look(seen(1), 1.5)
    assert not quiet.look(seen(1), 9.0)


@given(st.lists(st.tuples(st.floats(0.01, 3), st.integers(0, 2)), max_size=30))
def test_it_is_never_told_of_what_is_younger_nor_twice_of_the_same(looks: list[tuple[float, int]]) -> None:
    quiet, now, since, current, known = Quiet(seen(0)), 0.0, 0.0, 0, 0
    for passed, size in looks:
        now += passed
        if size != current:
            current, since = size, now
        told = quiet.look(seen(size), now)
        assert told is (size != known and now - since >= QUIET_S)
        known = size if told else known
