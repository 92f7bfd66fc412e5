"""What is said of a segment by itself."""

from __future__ import annotations

import pytest

from usertcp.tcp.options import Options, Signature
from usertcp.tcp.segment import ACK, AE, CE, CWR, ECE, ECT0, SYN, Segment
from usertcp.trace.explain import Explainer
from usertcp.trace.rows import Row


@pytest.mark.parametrize(
    ("flags", "codepoint", "begin"),
    [
        (SYN | ECE | CWR, 0, "ECE and CWR in a SYN ask"),
        (SYN | ACK | ECE, 0, "ECE in a SYN,ACK agrees"),
        (SYN | AE | ECE | CWR, 0, "AE, CWR and ECE in a SYN ask"),
        (SYN | ACK, 0, "The answer to a SYN"),
        (ACK, ECT0, "Data"),
        (ACK, CE, "CE: a router"),
        (ACK | CWR, ECT0, "CWR: "),
        (ACK | ECE, ECT0, "ECE: "),
    ],
)
def test_it_knows_what_congestion_notification_says(flags: int, codepoint: int, begin: str) -> None:
    seg = Segment(1, 1, flags, 1000, data=b"" if flags & SYN else b"text", traffic_class=codepoint)
    (sentence,) = Explainer().sentences(Row(0.0, "in", seg))
    assert sentence.startswith(begin)


@pytest.mark.parametrize(("key_ids", "begin"), [(None, "md5: "), ((1, 2), "ao: ")])
def test_a_signature_is_explained_where_it_first_stands(key_ids: tuple[int, int] | None, begin: str) -> None:
    seg = Segment(1, 0, SYN, 1000, Options(signature=Signature(bytes(16), key_ids)))
    explainer = Explainer()
    (sentence,) = explainer.sentences(Row(0.0, "out", seg))
    assert sentence.startswith(begin)
    assert explainer.sentences(Row(1.0, "out", seg)) == []
