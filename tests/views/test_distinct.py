"""Distinct visitors over many sets are those of plain Python sets."""

from hypothesis import given
from hypothesis import strategies as st

from clickstream.rows import ALL
from clickstream.views import distinct
from clickstream.views.batch_tables import DIGEST_BYTES

FEW = st.integers(0, 9).map(lambda n: bytes([n * 28]) + bytes(DIGEST_BYTES - 1))
DIGESTS = st.sets(FEW | st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES))


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), DIGESTS)))
def test_visitors_are_counted_once(rows):
    expected: dict[str, set[bytes]] = {}
    for server, digests in rows:
        for name in (server, ALL):
            expected.setdefault(name, set()).update(digests)
    counts = distinct.by_server((server, b"".join(sorted(digests))) for server, digests in rows)
    assert {name: n for name, n in counts.items() if n} == {
        name: len(digests) for name, digests in expected.items() if digests
    }
