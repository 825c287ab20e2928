"""Messages by what they reach, by hand."""

from __future__ import annotations

import numpy as np

from neurodeploy.mapping.bundles import Bundles, bundled, readers

#: of tile 0 one to tiles 1 and 2, one to tile 2 and the host; of the host one to all tiles
SENT = Bundles.of([(0, (1, 2), 3.0), (0, (2, -1), 1.0), (-1, (0, 1, 2), 5.0)])


def test_a_message_is_sent_once_and_taken_in_by_all() -> None:
    assert SENT.shared and SENT.senders.tolist() == [0, 0, -1]
    assert SENT.copies.tolist() == [3, 3, 1, 1, 5, 5, 5]
    assert SENT.sent(3).tolist() == [4, 0, 0] and SENT.local.tolist() == [3, 1]
    assert SENT.hops == (4 + 8) / 2
    apart = Bundles.apart(SENT.ends, SENT.copies)
    assert not apart.shared and apart.hops == apart.sent(3).sum() == 8


def test_cores_and_chips_take_in_one_whatever_they_hold() -> None:
    """Tiles 0 and 1 on one chip, 2 on another."""
    found = SENT.gathered(np.array([0, 0, 1, -1]))
    assert found.ends.T.tolist() == [[0, 1], [0, 1], [0, -1], [-1, 0], [-1, 1]]
    assert found.row.tolist() == [0, 1, 1, 2, 2] and found.hosted == 1 + 5 + 5
    same = found.without_host().merged(2)
    assert same.ends.T.tolist() == [[0, 1]] and same.messages.tolist() == [4]
    assert Bundles.apart(SENT.ends, SENT.copies).gathered(np.array([0, 0, 1, -1])).hosted == 1 + 15


def test_who_reads_an_element_decides_its_bundle() -> None:
    first, second = np.array([0, 1, 2]), np.array([2, 3])
    found = readers([(4, "x", 0, first), (5, "x", 0, second), (6, "x", 0, first)], {"x": 5})
    label, sets = found["x", 0]
    assert [sets[n] for n in label.tolist()] == [(4, 6), (4, 6), (4, 5, 6), (5,), ()]
    host = np.array([0, 0, 0, 0, 1]), [(), (-1,)]
    parts = bundled(np.array([7, 8, 8, 8, 8]), np.array([1.0, 2, 4, 8, 16]), [(label, sets), host])
    assert sorted(parts) == [(7, (4, 6), 1), (8, (-1,), 16), (8, (4, 5, 6), 4), (8, (4, 6), 2), (8, (5,), 8)]


def test_nothing_is_sent() -> None:
    none = Bundles.of([])
    assert not none.shared and none.merged(2).messages.size == 0 and none.sent(2).tolist() == [0, 0]
    assert none.gathered(np.array([0, 1, -1])).hosted == 0
