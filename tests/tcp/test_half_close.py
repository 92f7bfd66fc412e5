"""One direction closed, the other open for as long as it likes (RFC 9293, 3.6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp import builders
from tests.tcp.builders import CONFIG, established
from tests.tcp.pairs import Build, connected
from usertcp.errors import ConnectionAborted, ConnectionClosing, ConnectionTimedOut
from usertcp.tcp.config import Config
from usertcp.tcp.segment import ACK, FIN, RST
from usertcp.tcp.state import State


@pytest.mark.rfc("9293", "3.6", "case 1")
def test_after_our_close_the_peer_sends_a_megabyte() -> None:
    pair, client, server = connected(Config(), Config())
    client.close(pair.now)
    pair.client.touch(client)
    pair.run(lambda: server.at_eof)
    text, received, left = bytes(range(256)) * 4096, bytearray(), bytearray(bytes(range(256)) * 4096)

    def done() -> bool:
        del left[: server.send(left, pair.now) if left else 0]
        received.extend(client.receive(1 << 16, pair.now))
        pair.server.touch(server)
        pair.client.touch(client)
        return len(received) == len(text)

    pair.run(done)
    assert bytes(received) == text
    assert (client.state, server.state) == (State.FIN_WAIT_2, State.CLOSE_WAIT)


@pytest.mark.rfc("9293", "3.6", "case 2")
def test_after_the_peers_close_we_send_and_hear_its_acknowledgments(iss: int, irs: int) -> None:
    bench = builders.close_wait(iss, irs)
    assert bench.tcp.at_eof
    assert bench.tcp.writable
    for n in range(5):
        bench.send(b"text")
        assert bench.sent() == [f"<SEQ={1 + 4 * n}><ACK=2><CTL=ACK>text"]
        bench.arrives(ACK, 2, 5 + 4 * n)
        bench.advance(1000.0)
    assert bench.state is State.CLOSE_WAIT


@pytest.mark.rfc("9293", "3.10.4")
def test_after_our_close_there_are_no_more_sends(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.close()
    with pytest.raises(ConnectionClosing):
        bench.send(b"text")


@pytest.mark.rfc("9293", "3.6")
def test_text_arrives_while_our_fin_is_not_acknowledged(iss: int, irs: int) -> None:
    bench = builders.fin_wait_1(iss, irs)
    bench.arrives(ACK, 1, 1, b"text")
    assert (bench.state, bench.receive()) == (State.FIN_WAIT_1, b"text")


@pytest.mark.rfc("9293", "3.6")
def test_fin_wait_2_lasts_as_long_as_the_peer_likes_unless_the_config_limits_it(iss: int, irs: int) -> None:
    patient, impatient = (
        builders.fin_wait_2(iss, irs, replace(CONFIG, fin_wait_2_timeout=limit)) for limit in (None, 60.0)
    )
    for bench in (patient, impatient):
        bench.advance(61.0)
    assert (patient.state, patient.take()) == (State.FIN_WAIT_2, [])
    assert impatient.state is State.CLOSED
    assert isinstance(impatient.tcp.error, ConnectionTimedOut)
    assert [seg.flags for seg in impatient.take()] == [RST]


@pytest.mark.rfc("9293", "3.6.1", "SHLD-3")
@pytest.mark.rfc("9293", "3.6.1", "MAY-1")
@pytest.mark.parametrize("build", [established, builders.fin_wait_1, builders.fin_wait_2])
def test_closing_both_directions_makes_later_text_a_reset(iss: int, irs: int, build: Build) -> None:
    bench = build(iss, irs)
    bench.close(receive=False)
    bench.take()
    bench.arrives(ACK, 1, 1 if build is established else 2, b"too late")
    assert [seg.flags for seg in bench.take()] == [RST]
    assert isinstance(bench.tcp.error, ConnectionAborted)


@pytest.mark.rfc("9293", "3.6.1", "SHLD-3")
def test_closing_both_directions_with_unread_text_is_a_reset_at_once(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, b"never read")
    bench.take()
    bench.close(receive=False)
    assert (bench.state, bench.sent()) == (State.CLOSED, ["<SEQ=1><CTL=RST>"])


@pytest.mark.rfc("9293", "3.6.1", "SHLD-3")
def test_closing_both_directions_with_nothing_unread_is_a_normal_close(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.close(receive=False)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=FIN,ACK>"]
    bench.arrives(FIN | ACK, 1, 2)
    assert (bench.state, bench.tcp.error) == (State.TIME_WAIT, None)


@pytest.mark.rfc("9293", "3.6")
def test_fin_wait_2_is_bounded_when_nobody_reads(iss: int, irs: int) -> None:
    bench = builders.fin_wait_2(iss, irs)
    bench.close(receive=False)
    bench.advance(2 * CONFIG.msl + 0.1)
    assert bench.state is State.CLOSED


@pytest.mark.rfc("9293", "3.10.4")
@pytest.mark.parametrize("text", [b"", b"queued"])
def test_close_in_syn_received_sends_what_is_queued_and_then_the_fin(iss: int, irs: int, text: bytes) -> None:
    bench = builders.syn_received(iss, irs)
    bench.send(text)
    bench.close()
    bench.arrives(ACK, 1, 1)
    assert bench.state is State.FIN_WAIT_1
    assert bench.sent()[-1] == f"<SEQ=1><ACK=1><CTL=FIN,ACK>{text.decode()}"
