"""What a socket remembers: byte for byte what was said, for any tree of turns in any lanes."""

from hypothesis import given
from hypothesis import strategies as st

from domain.sockets.transcript import Expansion, Node, Transcript, expanded

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b"]),  # the lane
        st.integers(0, 5),  # which of what is remembered it builds on
        st.booleans(),  # is it stored
        st.lists(st.binary(min_size=1, max_size=8), max_size=3),
    ),
    max_size=25,
)


def said(told: dict[str, tuple[str, bool, list[bytes]]], name: str, *, past_stored: bool) -> tuple[list[bytes], str]:
    """The same by walking the ids."""
    items: list[bytes] = []
    while name in told and (past_stored or not told[name][1]):
        parent, _, own = told[name]
        items = [*own, *items]
        name = parent
    return items, name


@given(STEPS)
def test_a_turn_is_expanded_to_all_that_was_said_before_it(steps: list[tuple[str, int, bool, list[bytes]]]) -> None:
    transcript = Transcript()
    told: dict[str, tuple[str, bool, list[bytes]]] = {}
    heads: dict[str, str] = {}
    for number, (lane, pick, is_stored, items) in enumerate(steps):
        known = [*heads.values(), "resp_elsewhere", ""]
        parent = known[pick % len(known)]
        node = transcript.find(parent)
        assert (node is None) == (parent not in heads.values())
        name = f"resp_{number}"
        told[name] = (parent, is_stored, items)
        heads[lane] = name
        transcript = transcript.added(lane, Node(name, items, is_stored, node, parent if node is None else ""))
        for head in heads.values():
            found = transcript.find(head)
            assert found is not None
            for past_stored in (False, True):
                expansion = expanded(found, past_stored=past_stored)
                assert (list(expansion.items), expansion.base) == said(told, head, past_stored=past_stored)
        reached = set()
        for head in heads.values():
            at = head
            while at in told:
                reached.add(at)
                at = told[at][0]
        assert transcript.size == sum(len(item) for each in reached for item in told[each][2])


def test_what_is_forgotten_is_known_to_be_lost_but_for_what_is_stored() -> None:
    transcript = Transcript().added("", Node("resp_1", [b"{}"], is_stored=False)).added("a", Node("resp_2", [], True))
    forgotten = transcript.forgotten()

    assert forgotten.lost == {"resp_1"}
    assert (forgotten.find("resp_1"), forgotten.size) == (None, 0)
    assert forgotten.added("", Node("resp_3", [], False)).forgotten().lost == {"resp_1", "resp_3"}


def test_a_chain_of_thousands_is_no_matter() -> None:
    node = None
    for number in range(5_000):
        node = Node(f"resp_{number}", [b"x"], is_stored=False, parent=node)
    assert node is not None
    assert expanded(node) == Expansion([b"x"] * 5_000, "")
