"""MSS, window scale, timestamps and SACK: what is offered, agreed and sent (RFC 9293, 3.2 and 3.7.1; RFC 7323; RFC
2018)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.tcp import builders
from tests.tcp.builders import CONFIG, MSS, Bench, established
from tests.tcp.pairs import shaken, spans
from usertcp.errors import ConnectionReset
from usertcp.tcp.config import Config
from usertcp.tcp.options import NO_OPTIONS, Options
from usertcp.tcp.segment import ACK, FIN, RST, SYN, Flow
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State

EVERYTHING = Options(mss=MSS, window_scale=7, sack_permitted=True, timestamps=(7000, 0))
V6 = Flow("2001:db8::1", 61000, "2001:db8::2", 80)
WIDE = replace(CONFIG, receive_buffer=60_000)


# MSS


@pytest.mark.rfc("9293", "3.7.1", "MUST-14")
@pytest.mark.rfc("9293", "3.7.1", "MUST-67")
def test_the_mss_option_is_sent_in_syn_and_syn_ack(iss: int, irs: int) -> None:
    active, passive = builders.closed(iss, irs), builders.listen(iss, irs)
    active.open()
    passive.arrives(SYN, 0)
    assert [bench.take()[0].options.mss for bench in (active, passive)] == [MSS, MSS]


@pytest.mark.rfc("9293", "3.2", "MUST-65")
def test_it_is_sent_in_no_other_segment(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    bench.close()
    assert {seg.options.mss for seg in bench.take()} == {None}


@pytest.mark.rfc("9293", "3.7.1", "MUST-15")
@pytest.mark.parametrize(("flow", "mss"), [(builders.FLOW, 536), (V6, 1220)])
def test_without_the_option_the_default_is_taken(iss: int, irs: int, flow: Flow, mss: int) -> None:
    bench = Bench(iss, irs, CONFIG, flow)
    bench.tcp = type(bench.tcp)(flow, CONFIG, iss=iss, mss=1440)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1)
    bench.take()
    bench.send(bytes(2000))
    assert spans(bench)[0] == (1, mss)


@pytest.mark.rfc("9293", "3.7.1", "MUST-16")
def test_no_segment_is_larger_than_the_peers_mss(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=Options(mss=700))
    bench.send(bytes(3000))
    assert {octets for _, octets in spans(bench)} == {700}


@pytest.mark.rfc("9293", "3.7.1", "MUST-16")
def test_nor_larger_than_our_own_link_takes(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=Options(mss=9000), wnd=60_000)
    bench.send(bytes(3000))
    assert {octets for _, octets in spans(bench)} == {MSS}


@pytest.mark.rfc("9293", "3.7.1", "MUST-16")
def test_options_are_deducted_from_it(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, WIDE, Options(mss=MSS, timestamps=(7, 0), sack_permitted=True))
    bench.send(bytes(MSS))
    assert spans(bench) == [(1, MSS - 12)]
    bench.arrives(ACK, 101, 1, b"behind a hole", options=Options(timestamps=(8, 0)))
    bench.take()
    bench.send(bytes(MSS))
    assert spans(bench) == [(1 + MSS - 12, MSS - 12 - 12)]


@pytest.mark.rfc("9293", "3.7.1")
@pytest.mark.parametrize("mss", [0, 1, 10, 63])
def test_a_tiny_mss_is_not_believed(iss: int, irs: int, mss: int) -> None:
    """CVE-2019-11477, -11478, -11479: whoever asks for segments of some octets wants our memory and time."""
    bench = shaken(iss, irs, options=Options(mss=mss))
    bench.send(bytes(1000))
    assert spans(bench)[0] == (1, 64)


def test_a_config_may_lower_the_mss_but_not_to_nothing(iss: int, irs: int) -> None:
    bench = builders.closed(iss, irs, replace(CONFIG, mss=500))
    bench.open()
    assert bench.take()[0].options.mss == 500
    with pytest.raises(ValueError, match="mss"):
        Config(mss=63)


@pytest.mark.rfc("9293", "3.1", "MUST-5")
@pytest.mark.rfc("9293", "3.2", "MUST-65")
def test_options_of_a_syn_are_ignored_in_other_segments(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, options=EVERYTHING)
    before = bench.tcp.status(bench.now)
    assert (before.snd_mss, before.snd_scale, before.timestamps, before.sack_permitted) == (MSS, 0, False, False)


@pytest.mark.rfc("9293", "3.1", "MUST-6")
def test_unknown_options_are_ignored(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, b"text", options=Options(unknown=((253, b"what"), (99, b""))))
    assert bench.receive() == b"text"


# Agreement


@pytest.mark.rfc("7323", "1.3")
@pytest.mark.rfc("2018", "2")
@pytest.mark.parametrize(
    ("config", "offer"),
    [
        (CONFIG, (True, True, True)),
        (replace(CONFIG, window_scaling=False), (False, True, True)),
        (replace(CONFIG, timestamps=False), (True, False, True)),
        (replace(CONFIG, sack=False), (True, True, False)),
    ],
)
def test_a_syn_offers_what_the_config_says(iss: int, irs: int, config: Config, offer: tuple[bool, ...]) -> None:
    bench = builders.closed(iss, irs, config)
    bench.open()
    options = bench.take()[0].options
    assert (options.window_scale is not None, options.timestamps is not None, options.sack_permitted) == offer


@pytest.mark.rfc("7323", "2.2")
@pytest.mark.rfc("7323", "3.2")
@pytest.mark.rfc("2018", "2")
@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        (Options(), (False, False, False)),
        (Options(window_scale=0), (True, False, False)),
        (Options(timestamps=(7, 0)), (False, True, False)),
        (Options(sack_permitted=True), (False, False, True)),
        (EVERYTHING, (True, True, True)),
    ],
)
@pytest.mark.parametrize("active", [False, True], ids=["LISTEN", "SYN-SENT"])
def test_a_syn_ack_has_an_option_only_if_the_syn_had(
    iss: int, irs: int, offered: Options, answered: tuple[bool, ...], active: bool
) -> None:
    bench = (builders.syn_sent if active else builders.listen)(iss, irs)
    bench.arrives(SYN, 0, options=offered)
    options = bench.take()[0].options
    assert (options.window_scale is not None, options.timestamps is not None, options.sack_permitted) == answered


@pytest.mark.rfc("7323", "3.2")
@pytest.mark.parametrize("field", ["window_scaling", "timestamps", "sack"])
def test_what_we_do_not_want_is_not_agreed_to(iss: int, irs: int, field: str) -> None:
    bench = builders.listen(iss, irs, replace(CONFIG, **{field: False}))
    bench.arrives(SYN, 0, options=EVERYTHING)
    options = bench.take()[0].options
    missing = {"window_scaling": options.window_scale, "timestamps": options.timestamps, "sack": options.sack_permitted}
    assert not missing[field]


# Timestamps


def echoes(bench: Bench) -> list[int]:
    return [(seg.options.timestamps or (0, 0))[1] for seg in bench.take()]


@pytest.mark.rfc("7323", "3.2")
def test_once_agreed_every_segment_has_a_timestamp(iss: int, irs: int) -> None:
    bench = builders.listen(iss, irs)
    bench.arrives(SYN, 0, options=EVERYTHING)
    stamp = Options(timestamps=(7001, 0))
    bench.arrives(ACK, 1, 1, b"text", options=stamp)
    bench.send(b"text")
    bench.close()
    bench.advance(1.1)
    bench.arrives(ACK, 1, 1, b"text", options=stamp)
    segments = bench.take()
    assert len(segments) >= 5
    assert all(seg.options.timestamps for seg in segments)


@pytest.mark.rfc("7323", "3.2")
@pytest.mark.rfc("7323", "4.3")
def test_each_echoes_the_last_one_that_came_in_order(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, WIDE, EVERYTHING)
    bench.arrives(ACK, 1, 1, b"one", options=Options(timestamps=(7010, 0)))
    bench.arrives(ACK, 101, 1, b"out of order", options=Options(timestamps=(7020, 0)))
    bench.arrives(ACK, 4, 1, b"two", options=Options(timestamps=(7030, 0)))
    assert echoes(bench) == [7010, 7010, 7030]


@pytest.mark.rfc("7323", "4.3")
def test_under_delayed_acknowledgments_the_earliest_is_echoed(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(WIDE, delayed_ack=0.2), EVERYTHING)
    bench.arrives(ACK, 1, 1, bytes(MSS - 12), options=Options(timestamps=(7010, 0)))
    bench.arrives(ACK, 1 + MSS - 12, 1, bytes(MSS - 12), options=Options(timestamps=(7020, 0)))
    (ack,) = bench.take()
    assert ack.options.timestamps is not None
    assert ack.options.timestamps[1] == 7010


@pytest.mark.rfc("7323", "4.3")
def test_what_comes_again_is_echoed_too(iss: int, irs: int) -> None:
    """The acknowledgment was lost. A peer that got the first time back would take its own timeout for a round trip."""
    bench = shaken(iss, irs, WIDE, EVERYTHING)
    bench.arrives(ACK, 1, 1, b"one", options=Options(timestamps=(7010, 0)))
    bench.arrives(ACK, 4, 1, b"two", options=Options(timestamps=(7010, 0)))
    bench.arrives(ACK, 1, 1, b"one", options=Options(timestamps=(7300, 0)))
    bench.arrives(FIN | ACK, 7, 1, options=Options(timestamps=(7310, 0)))
    bench.arrives(FIN | ACK, 7, 1, options=Options(timestamps=(7600, 0)))
    assert echoes(bench) == [7010, 7010, 7300, 7310, 7600]


@pytest.mark.rfc("7323", "5.3", "R1")
def test_what_was_sent_before_that_and_comes_later_is_not_old(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, WIDE, EVERYTHING)
    bench.arrives(ACK, 1, 1, b"one", options=Options(timestamps=(7010, 0)))
    bench.arrives(ACK, 1, 1, b"one", options=Options(timestamps=(7300, 0)))
    bench.arrives(ACK, 4, 1, b"two", options=Options(timestamps=(7020, 0)))
    assert bench.receive() == b"onetwo"
    assert echoes(bench) == [7010, 7300, 7020]


@pytest.mark.rfc("5961", "5")
@pytest.mark.parametrize(("seq", "ack"), [(1, 9999), (1, -(2**30)), (-100_000, 1), (90_000, 1)])
def test_what_hardly_comes_again_is_not_echoed(iss: int, irs: int, seq: int, ack: int) -> None:
    bench = shaken(iss, irs, options=EVERYTHING)
    bench.arrives(ACK, 1, 1, b"text", options=Options(timestamps=(7001, 0)))
    bench.arrives(ACK, seq, ack, b"text", options=Options(timestamps=(7300, 0)))
    assert echoes(bench) == [7001, 7001]


@pytest.mark.rfc("7323", "3.2")
def test_the_first_syn_echoes_nothing_and_the_syn_ack_the_syn(iss: int, irs: int) -> None:
    active, passive = builders.closed(iss, irs), builders.listen(iss, irs)
    active.open()
    passive.arrives(SYN, 0, options=EVERYTHING)
    assert [(bench.take()[0].options.timestamps or (0, 1))[1] for bench in (active, passive)] == [0, 7000]


@pytest.mark.rfc("7323", "4.3")
def test_a_syn_that_comes_again_is_echoed_too(iss: int, irs: int) -> None:
    bench = builders.listen(iss, irs)
    for stamp in 7000, 8000:
        bench.arrives(SYN, 0, options=replace(EVERYTHING, timestamps=(stamp, 0)))
    assert echoes(bench) == [7000, 8000]


@pytest.mark.rfc("7323", "5.4")
def test_the_timestamp_clock_runs_in_milliseconds(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=EVERYTHING)
    stamps = []
    for _ in range(3):
        bench.send(b"x")
        bench.arrives(ACK, 1, 1 + len(stamps) + 1, options=Options(timestamps=(7000, 0)))
        stamps.append((bench.take()[0].options.timestamps or (0, 0))[0])
        bench.advance(0.25)
    assert [wrap(b - a) for a, b in pairwise(stamps)] == [250, 250]


@pytest.mark.rfc("7323", "5.3", "R1")
def test_an_old_timestamp_is_dropped_and_acknowledged(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=EVERYTHING)
    bench.arrives(ACK, 1, 1, b"old", options=Options(timestamps=(6999, 0)))
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>"]
    assert bench.receive() == b""


@pytest.mark.rfc("7323", "5.2")
@pytest.mark.parametrize("recent", [0, 5, 2**31, 2**32 - 1])
def test_timestamps_are_compared_modulo_2_to_the_32(iss: int, irs: int, recent: int) -> None:
    bench = shaken(iss, irs, options=replace(EVERYTHING, timestamps=(recent, 0)))
    bench.arrives(ACK, 1, 1, b"new", options=Options(timestamps=(wrap(recent + 2**31 - 1), 0)))
    assert bench.receive() == b"new"
    bench.arrives(ACK, 4, 1, b"old", options=Options(timestamps=(wrap(recent + 2**31 - 2), 0)))
    assert bench.receive() == b""


@pytest.mark.rfc("7323", "5.5")
def test_after_24_days_of_silence_any_timestamp_will_do(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=EVERYTHING)
    bench.advance(24.9 * 86400)
    bench.arrives(ACK, 1, 1, b"late", options=Options(timestamps=(6999, 0)))
    assert bench.receive() == b"late"


@pytest.mark.rfc("7323", "3.2")
def test_a_segment_without_the_agreed_timestamp_is_dropped_silently(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=EVERYTHING)
    bench.arrives(ACK, 1, 1, b"text", options=NO_OPTIONS)
    assert (bench.take(), bench.receive(), bench.state) == ([], b"", State.ESTABLISHED)


@pytest.mark.rfc("7323", "3.2")
def test_a_timestamp_that_was_not_agreed_is_ignored(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, b"text", options=Options(timestamps=(1, 1)))
    assert bench.receive() == b"text"
    assert [seg.options.timestamps for seg in bench.take()] == [None]


@pytest.mark.rfc("7323", "5.2")
@pytest.mark.parametrize("options", [NO_OPTIONS, Options(timestamps=(6999, 0))])
def test_a_reset_is_exempt(iss: int, irs: int, options: Options) -> None:
    bench = shaken(iss, irs, options=EVERYTHING)
    bench.arrives(RST, 1, options=options)
    assert bench.state is State.CLOSED
    assert isinstance(bench.tcp.error, ConnectionReset)


@pytest.mark.rfc("7323", "5.2")
def test_nothing_is_learned_from_the_timestamp_of_a_reset(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=EVERYTHING)
    bench.arrives(RST, 0, data=b"xyz", options=Options(timestamps=(7000 + 2**30, 0)))
    bench.take()
    bench.arrives(ACK, 1, 1, b"text", options=Options(timestamps=(7001, 0)))
    assert bench.receive() == b"text"


@pytest.mark.rfc("5961", "5")
@pytest.mark.rfc("7323", "5.3", "R3")
@pytest.mark.parametrize(("flags", "ack"), [(ACK, 9999), (FIN | ACK, 9999), (ACK, -100_000), (SYN, None), (FIN, None)])
def test_nothing_is_learned_from_a_segment_without_a_good_ack(iss: int, irs: int, flags: int, ack: int | None) -> None:
    """SEQ is easier to guess than both. PAWS would drop all that the peer sends, for up to 24 days."""
    bench = shaken(iss, irs, options=EVERYTHING)
    bench.arrives(flags, 1, ack, options=Options(timestamps=(7000 + 2**30, 0)))
    bench.take()
    bench.arrives(ACK, 1, 1, b"text", options=Options(timestamps=(7001, 0)))
    assert bench.receive() == b"text"
    assert [(seg.options.timestamps or (0, 0))[1] for seg in bench.take()] == [7001]


@pytest.mark.rfc("7323", "3.2")
@pytest.mark.rfc("7323", "5.2")
def test_our_resets_have_a_timestamp_where_there_was_one(iss: int, irs: int) -> None:
    aborted = shaken(iss, irs, options=EVERYTHING)
    aborted.abort()
    (rst,) = aborted.take()
    assert rst.options.timestamps is not None
    assert rst.options.timestamps[1] == 0  # as long as ACK is not set
    answering = builders.syn_sent(iss, irs)
    answering.arrives(ACK, 0, 100, options=Options(timestamps=(7, 3)))
    assert answering.take()[0].options.timestamps == (0, 7)


@pytest.mark.rfc("7323", "5.3", "R1")
@pytest.mark.rfc("5961", "7")
def test_two_ends_that_find_each_other_old_do_not_talk_for_ever(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=EVERYTHING)
    bench.send(b"text")
    bench.take()
    for _ in range(1000):
        bench.arrives(ACK, 1, 5, options=Options(timestamps=(6999, 0)))
    assert len(bench.take()) <= 10


@pytest.mark.rfc("7323", "5.3")
def test_an_empty_segment_with_an_old_timestamp_is_answered_too(iss: int, irs: int) -> None:
    """That is how a peer that has forgotten the connection learns of it."""
    bench = shaken(iss, irs, options=EVERYTHING)
    bench.arrives(ACK, 1, 1, options=Options(timestamps=(6999, 0)))
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>"]


# SACK


def blocks(bench: Bench) -> list[list[tuple[int, int]]]:
    """The SACK blocks of each segment that went out, relative."""
    return [[(wrap(a - bench.irs), wrap(b - bench.irs)) for a, b in seg.options.sack] for seg in bench.take()]


SACK = Options(mss=MSS, sack_permitted=True)


@pytest.mark.rfc("2018", "4")
def test_the_first_block_is_the_one_that_the_last_segment_belongs_to(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, WIDE, SACK)
    for position in (101, 301, 201, 111):
        bench.arrives(ACK, position, 1, bytes(10))
    assert blocks(bench) == [
        [(101, 111)],
        [(301, 311), (101, 111)],
        [(201, 211), (301, 311), (101, 111)],
        [(101, 121), (201, 211), (301, 311)],
    ]


@pytest.mark.rfc("2018", "3")
@pytest.mark.parametrize(("options", "most"), [(SACK, 4), (EVERYTHING, 3)])
def test_no_more_blocks_than_fit(iss: int, irs: int, options: Options, most: int) -> None:
    bench = shaken(iss, irs, WIDE, options)
    stamps = Options(timestamps=(7001, 0)) if options.timestamps else NO_OPTIONS
    for n in range(1, 10):
        bench.arrives(ACK, 1 + 100 * n, 1, bytes(10), options=stamps)
    assert [len(sent) for sent in blocks(bench)] == [min(n, most) for n in range(1, 10)]


@pytest.mark.rfc("2018", "4")
def test_what_is_acknowledged_is_not_in_a_block(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, WIDE, SACK)
    bench.arrives(ACK, 11, 1, bytes(10))
    bench.arrives(ACK, 31, 1, bytes(10))
    bench.take()
    bench.arrives(ACK, 1, 1, bytes(10))
    assert blocks(bench) == [[(31, 41)]]
    bench.arrives(ACK, 21, 1, bytes(10))
    assert blocks(bench) == [[]]


@pytest.mark.rfc("2018", "2")
def test_without_agreement_there_are_no_blocks(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 101, 1, bytes(10))
    assert blocks(bench) == [[]]


@pytest.mark.rfc("2018", "4")
def test_segments_with_text_report_blocks_too(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, WIDE, SACK)
    bench.arrives(ACK, 101, 1, bytes(10))
    bench.take()
    bench.send(b"text")
    assert blocks(bench) == [[(101, 111)]]


@pytest.mark.rfc("2018", "4")
def test_a_fin_has_a_number_in_a_block_too(iss: int, irs: int) -> None:
    """As in kernels: the peer then does not send it again."""
    bench = shaken(iss, irs, WIDE, SACK)
    bench.arrives(FIN | ACK, 101, 1, bytes(10))
    bench.arrives(ACK, 51, 1, bytes(10))
    bench.arrives(ACK, 1, 1, bytes(50))
    assert blocks(bench) == [[(101, 112)], [(51, 61), (101, 112)], [(101, 112)]]
    bench.arrives(ACK, 61, 1, bytes(40))
    assert blocks(bench) == [[]]


@pytest.mark.rfc("2018", "4")
def test_a_fin_alone_beyond_a_hole_is_a_block(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, WIDE, SACK)
    bench.arrives(FIN | ACK, 101, 1)
    bench.arrives(ACK, 51, 1, bytes(10))
    bench.arrives(ACK, 91, 1, bytes(10))
    assert blocks(bench) == [[(101, 102)], [(51, 61), (101, 102)], [(91, 102), (51, 61)]]


@pytest.mark.rfc("2883", "4.1")
def test_text_that_came_twice_does_not_have_the_number_of_a_fin(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, WIDE, SACK)
    bench.arrives(FIN | ACK, 101, 1, bytes(10))
    bench.arrives(ACK, 101, 1, bytes(10))
    assert blocks(bench) == [[(101, 112)], [(101, 111), (101, 112)]]


@pytest.mark.rfc("2018", "8")
def test_blocks_that_the_peer_sends_are_no_acknowledgment(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(WIDE, rack=False), SACK)
    bench.send(bytes(3000))
    bench.take()
    bench.arrives(ACK, 1, 1, options=Options(sack=((wrap(iss + 1), wrap(iss + 3001)),)))
    assert not bench.tcp.all_acked
    bench.advance(1.1)
    assert spans(bench) == [(1, MSS)]
