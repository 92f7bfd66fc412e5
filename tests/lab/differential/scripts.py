"""The scripts. Each begins with how to get into a state, and goes on with what is asked of it."""

from __future__ import annotations

import re

from tests.lab.differential.script import Script, script

SYN_SENT = "connect"
ESTABLISHED = f"""
    {SYN_SENT}
    < SYN,ACK seq=0 ack=1 mss=1000 sackOK
"""
DISTANT = f"""
    {SYN_SENT}
    wait 0.1
    < SYN,ACK seq=0 ack=1 mss=1000 sackOK
"""
"""The same with a round trip that is long beside what passes between two steps."""
LISTEN = "listen"
SYN_RECEIVED = f"""
    {LISTEN}
    < SYN seq=0 mss=1000 sackOK
"""
ACCEPTED = f"""
    {SYN_RECEIVED}
    < ACK seq=1 ack=1
    accept
"""
FIN_WAIT_1 = f"""
    {ESTABLISHED}
    shutdown
"""
FIN_WAIT_2 = f"""
    {FIN_WAIT_1}
    < ACK seq=1 ack=2
"""
CLOSING = f"""
    {FIN_WAIT_1}
    < FIN,ACK seq=1 ack=1
"""
TIME_WAIT = f"""
    {FIN_WAIT_2}
    < FIN,ACK seq=1 ack=2
"""
CLOSE_WAIT = f"""
    {ESTABLISHED}
    < FIN,ACK seq=1 ack=1
"""
LAST_ACK = f"""
    {CLOSE_WAIT}
    shutdown
"""

WRITTEN = {
    "active open": f"""
        {ESTABLISHED}
        write 100
        < ACK seq=1 ack=101
        < PSH,ACK seq=1 ack=101 len=200
        read 1000
        read 1000
        close
        < ACK seq=201 ack=102
        < FIN,ACK seq=201 ack=102
    """,
    "passive open": f"""
        {ACCEPTED}
        < PSH,ACK seq=1 ack=1 len=50
        read 10
        read 100
        write 60
        < FIN,ACK seq=51 ack=61
        read 1
        close
        < ACK seq=52 ack=62
    """,
    "simultaneous open": f"""
        {SYN_SENT}
        < SYN seq=0 mss=1000
        < SYN,ACK seq=0 ack=1 mss=1000
        write 10
        < ACK seq=1 ack=11
    """,
    "simultaneous open, ended by a bare ACK": f"""
        {SYN_SENT}
        < SYN seq=0 mss=1000
        < ACK seq=1 ack=1
    """,
    "simultaneous close": f"""
        {ESTABLISHED}
        close
        < FIN,ACK seq=1 ack=1
        < ACK seq=2 ack=2
    """,
    "half-close": f"""
        {ESTABLISHED}
        write 10
        shutdown
        write 1
        < ACK seq=1 ack=12
        < PSH,ACK seq=1 ack=12 len=300
        read 1000
        < FIN,PSH,ACK seq=301 ack=12 len=20
        read 1000
        read 1000
        close
    """,
    "refused": f"""
        {SYN_SENT}
        < RST,ACK seq=0 ack=1
        read 1
    """,
    "refused without an ACK": f"""
        {SYN_SENT}
        < RST seq=0
        < RST,ACK seq=0 ack=2
        < ACK seq=1 ack=1
        < ACK seq=1 ack=2
        < SYN,ACK seq=0 ack=2
        < SYN,ACK seq=0 ack=1 mss=1000
    """,
    "nobody listens": """
        set nodelay=0
        < SYN seq=0 mss=1000
        < ACK seq=1 ack=1
        < FIN,ACK seq=1 ack=1 len=10
        < - seq=1 len=10
        < RST seq=1
        < RST,ACK seq=1 ack=1
    """,
    "what is neither SYN nor RST meets a listener": f"""
        {LISTEN}
        < ACK seq=1 ack=1
        < SYN,ACK seq=0 ack=1
        < - seq=1 len=10
        < FIN seq=1
        < RST seq=1
        < RST,ACK seq=1 ack=1
        < SYN,RST seq=0
        < SYN,FIN seq=0
        close
        < SYN seq=0
    """,
    # What arrives out of order, twice, or beyond the window
    "out of order": f"""
        {ESTABLISHED}
        < ACK seq=101 ack=1 len=100
        < ACK seq=301 ack=1 len=100
        < ACK seq=201 ack=1 len=100
        < ACK seq=501 ack=1 len=100
        < ACK seq=1 ack=1 len=100
        < ACK seq=401 ack=1 len=100
        read 1000
    """,
    "out of order, without SACK": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000
        < ACK seq=101 ack=1 len=100
        < ACK seq=1 ack=1 len=100
        read 1000
    """,
    "twice": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=100
        < PSH,ACK seq=1 ack=1 len=100
        < PSH,ACK seq=51 ack=1 len=100
        < PSH,ACK seq=301 ack=1 len=100
        < PSH,ACK seq=301 ack=1 len=100
        < PSH,ACK seq=251 ack=1 len=100
        < PSH,ACK seq=1 ack=1 len=20
        read 1000
    """,
    "overlapping": f"""
        {ESTABLISHED}
        < ACK seq=101 ack=1 len=100
        < ACK seq=151 ack=1 len=100
        < ACK seq=51 ack=1 len=300
        < PSH,ACK seq=1 ack=1 len=120
        read 1000
    """,
    "FIN out of order": f"""
        {ESTABLISHED}
        < FIN,ACK seq=101 ack=1 len=100
        read 1000
        < ACK seq=1 ack=1 len=100
        read 1000
        read 1000
    """,
    "bare FIN out of order": f"""
        {ESTABLISHED}
        < FIN,ACK seq=101 ack=1
        < ACK seq=1 ack=1 len=100
        read 1000
        read 1000
    """,
    "text beyond a FIN": f"""
        {ESTABLISHED}
        < FIN,ACK seq=1 ack=1
        wait 0.6
        < ACK seq=2 ack=1 len=100
        wait 0.6
        < FIN,ACK seq=1 ack=1
        read 1000
    """,
    # Windows
    "zero window, and probes": f"""
        {ESTABLISHED}
        < ACK seq=1 ack=1 win=0
        write 500
        wait 0.3
        < ACK seq=1 ack=1 win=0
        wait 0.5
        < ACK seq=1 ack=1 win=0
        < ACK seq=1 ack=1 win=1000
        < ACK seq=1 ack=501 win=1000
    """,
    "window closes in the middle": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=200 win=600
        write 1000
        < ACK seq=1 ack=601 win=0
        wait 0.3
        < ACK seq=1 ack=601 win=0
        < ACK seq=1 ack=601 win=50
        < ACK seq=1 ack=601 win=400
        < ACK seq=1 ack=1001 win=500
    """,
    "window shrinks": f"""
        {ESTABLISHED}
        write 5000
        < ACK seq=1 ack=1001 win=1000
        < ACK seq=1 ack=2001 win=30000
        < ACK seq=1 ack=5001 win=30000
    """,
    "window update by an old segment": f"""
        {ESTABLISHED}
        < ACK seq=1 ack=1 len=100 win=2000
        < ACK seq=1 ack=1 win=0
        write 500
        < ACK seq=101 ack=501
    """,
    "our window closes": f"""
        set rcvbuf=5000
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=1000 settle=0.1
        < PSH,ACK seq=1001 ack=1 len=1000 settle=0.1
        < PSH,ACK seq=2001 ack=1 len=1000 settle=0.1
        < PSH,ACK seq=3001 ack=1 len=1000 settle=0.1
        read 10000
    """,
    "window scale of 14": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000 ws=14 win=1000
        write 2500
        < ACK seq=1 ack=1001 win=1
        < ACK seq=1 ack=2501 win=1
    """,
    "window scale beyond 14": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000 ws=200 win=2000
        write 2500
        < ACK seq=1 ack=2001 win=1
        < ACK seq=1 ack=2501 win=1
    """,
    "window of a SYN is not scaled": f"""
        {LISTEN}
        < SYN seq=0 mss=1000 ws=7 win=500
        < ACK seq=1 ack=1 win=4
        accept
        write 2000
        < ACK seq=1 ack=512 win=40
    """,
    # MSS
    "no MSS": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1
        write 1000
    """,
    "MSS of 0": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=0
        write 1000
    """,
    "MSS of 1": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1
        write 100
    """,
    "MSS of 40": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=40
        write 100
    """,
    "MSS of 65535": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=65535
        write 3000
    """,
    "MSS of our own": f"""
        set mss=700
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000
        write 1500
    """,
    "MSS with timestamps": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=500 ts=100
        write 1000
    """,
    # When to acknowledge, and when to send
    "full-sized segments are acknowledged": f"""
        {ESTABLISHED}
        < ACK seq=1 ack=1 len=1460
        < ACK seq=1461 ack=1 len=1460
        < ACK seq=2921 ack=1 len=1460
        wait 0.1
        read 10000
    """,
    "an exchange": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=100
        read 1000
        write 100
        < PSH,ACK seq=101 ack=101 len=100 settle=0.1
        read 1000
        write 100
        < ACK seq=201 ack=201
    """,
    "Nagle": f"""
        {ESTABLISHED}
        write 10
        write 10
        write 10
        < ACK seq=1 ack=11
        write 1000
        < ACK seq=1 ack=31
        < ACK seq=1 ack=1031
    """,
    "Nagle switched off": f"""
        set nodelay=1
        {ESTABLISHED}
        write 10
        write 10
        < ACK seq=1 ack=21
    """,
    "Nagle and the end": f"""
        {ESTABLISHED}
        write 10
        write 10
        shutdown
        < ACK seq=1 ack=11
        < ACK seq=1 ack=22
    """,
    # Loss
    "fast retransmit": f"""
        {DISTANT}
        write 5000
        wait 0.1
        < ACK seq=1 ack=1 sack=1001:2001
        < ACK seq=1 ack=1 sack=1001:3001
        < ACK seq=1 ack=1 sack=1001:4001
        < ACK seq=1 ack=5001
    """,
    "fast retransmit, without SACK": f"""
        {SYN_SENT}
        wait 0.1
        < SYN,ACK seq=0 ack=1 mss=1000
        < ACK seq=1 ack=1
        write 5000
        wait 0.1
        < ACK seq=1 ack=1
        < ACK seq=1 ack=1
        < ACK seq=1 ack=1
        < ACK seq=1 ack=1
        < ACK seq=1 ack=2001
        < ACK seq=1 ack=5001
    """,
    "the last segment is lost": f"""
        {DISTANT}
        write 3000
        wait 0.1
        < ACK seq=1 ack=2001
        wait 0.6
        < ACK seq=1 ack=3001
    """,
    "timeout of a single segment": f"""
        {ESTABLISHED}
        write 100
        wait 0.32
        wait 0.4
        < ACK seq=1 ack=101
        write 100
        < ACK seq=1 ack=201
    """,
    "timeout of a SYN": f"""
        {SYN_SENT}
        wait 1.2
        < SYN,ACK seq=0 ack=1 mss=1000
        write 100
    """,
    "timeout of a SYN,ACK": f"""
        {SYN_RECEIVED}
        wait 1.2
        < SYN seq=0 mss=1000 sackOK
        < ACK seq=1 ack=1
        accept
    """,
    "timeout of a FIN": f"""
        {FIN_WAIT_1}
        wait 0.3
        < ACK seq=1 ack=2
    """,
    # Timestamps
    "timestamps": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000 ts=100
        < PSH,ACK seq=1 ack=1 len=100 ts=110
        < PSH,ACK seq=101 ack=1 len=100 ts=120
        < PSH,ACK seq=301 ack=1 len=100 ts=130
        < PSH,ACK seq=201 ack=1 len=100 ts=140
        write 100
        < ACK seq=401 ack=101 ts=150
    """,
    "PAWS": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000 ts=100
        < PSH,ACK seq=1 ack=1 len=100 ts=110
        < PSH,ACK seq=101 ack=1 len=100 ts=90
        wait 0.6
        < RST seq=101 ts=90
        read 1000
    """,
    "a timestamp is missing": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000 ts=100
        < PSH,ACK seq=1 ack=1 len=100
        read 1000
    """,
    "timestamps that were not agreed on": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=100 ts=100
        read 1000
    """,
    # Keep-alives
    "keep-alives of the peer": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=100
        < ACK seq=100 ack=1
        wait 0.6
        < ACK seq=100 ack=1 len=1
    """,
    "keep-alives of ours": f"""
        set keepalive=1,1,2
        {ESTABLISHED}
        wait 1.3
        < ACK seq=1 ack=1
        wait 1.3
        wait 1
        wait 1
        read 1
    """,
    # Options, control bits, checksums
    "unknown option": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000 opt=fd0412340101
        < PSH,ACK seq=1 ack=1 len=10 opt=fd021f04abcd0100
    """,
    "option of length 0": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=10 opt=fd001234
        read 100
    """,
    "option of length 1": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=10 opt=fd011234
        read 100
    """,
    "option longer than the list": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=10 opt=fd081234
        read 100
    """,
    "MSS option of a wrong length": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 opt=02050300010000
        write 1000
    """,
    "MSS outside of a SYN": f"""
        {ESTABLISHED}
        < ACK seq=1 ack=1 mss=300
        write 1000
    """,
    "bad checksum": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=10 badsum
        < RST seq=1 badsum
        read 100
    """,
    "no control bits": f"""
        {ESTABLISHED}
        < - seq=1 len=10
        < FIN seq=1
        < URG seq=1 len=10 up=3
        read 100
    """,
    # Urgent data
    "urgent data arrives": f"""
        {ESTABLISHED}
        < PSH,URG,ACK seq=1 ack=1 len=10 up=5
        read 100
        read 100
    """,
    "urgent data to come": f"""
        {ESTABLISHED}
        < PSH,URG,ACK seq=1 ack=1 len=10 up=15
        read 100
        < PSH,ACK seq=11 ack=1 len=10
        read 100
        read 100
    """,
    "urgent data is sent": f"""
        {ESTABLISHED}
        write 10
        urgent 1
        < ACK seq=1 ack=11
        < ACK seq=1 ack=12
        write 10
    """,
    # Text and SYN
    "text on a SYN": f"""
        {LISTEN}
        < SYN seq=0 len=100 mss=1000
        < ACK seq=1 ack=1 len=100
        accept
        read 1000
    """,
    "text on a SYN,ACK": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 len=100 mss=1000
        read 1000
    """,
    "text with the last ACK of the handshake": f"""
        {SYN_RECEIVED}
        < PSH,ACK seq=1 ack=1 len=100
        accept
        read 1000
    """,
    "FIN with the last ACK of the handshake": f"""
        {SYN_RECEIVED}
        < FIN,ACK seq=1 ack=1
        accept
        read 1000
    """,
    "ACK of something else in SYN-RECEIVED": f"""
        {SYN_RECEIVED}
        < ACK seq=1 ack=0
        < ACK seq=1 ack=2
        < ACK seq=1 ack=1
    """,
    "text before the last ACK of the handshake": f"""
        {SYN_RECEIVED}
        < ACK seq=101 ack=1 len=100
        < ACK seq=1 ack=1 len=100
        accept
        read 1000
    """,
    # The end
    "close with unread text": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=100
        close
    """,
    "text after close": f"""
        {ESTABLISHED}
        close
        < ACK seq=1 ack=2
        < PSH,ACK seq=1 ack=2 len=100
    """,
    "text crosses the close": f"""
        {ESTABLISHED}
        close
        < PSH,ACK seq=1 ack=1 len=100
    """,
    "abort": f"""
        {ESTABLISHED}
        write 100
        abort
        < ACK seq=1 ack=101
    """,
    "abort with nothing in flight": f"""
        {ESTABLISHED}
        abort
    """,
    "close of a connection that is not yet open": f"""
        {SYN_SENT}
        close
        < SYN,ACK seq=0 ack=1
    """,
    "close with text in the buffer": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000 win=100
        write 300
        close
        < ACK seq=1 ack=101 win=300
        < ACK seq=1 ack=302
    """,
    "reset": f"""
        {ESTABLISHED}
        < PSH,ACK seq=1 ack=1 len=100
        < RST seq=101
        write 10
        read 1000
    """,
    "reset with text": f"""
        {ESTABLISHED}
        < RST,ACK seq=1 ack=1 len=20
        read 1000
    """,
    "broken pipe": f"""
        {CLOSE_WAIT}
        write 10
        < RST seq=2
        write 10
        read 10
    """,
    # TIME-WAIT
    "FIN again in TIME-WAIT": f"""
        {TIME_WAIT}
        < FIN,ACK seq=1 ack=2
        < ACK seq=1 ack=2 len=50
        < ACK seq=2 ack=2
    """,
    "new SYN in TIME-WAIT, nobody listens": f"""
        {TIME_WAIT}
        < SYN seq=100000 mss=1000
    """,
    "new SYN in TIME-WAIT": f"""
        {ACCEPTED}
        shutdown
        < ACK seq=1 ack=2
        < FIN,ACK seq=1 ack=2
        < SYN seq=100000 mss=1000
        < ACK seq=100001 ack=1
    """,
    "old SYN in TIME-WAIT": f"""
        {ACCEPTED}
        shutdown
        < ACK seq=1 ack=2
        < FIN,ACK seq=1 ack=2
        < SYN seq=0 mss=1000
    """,
    "newer timestamp in TIME-WAIT": f"""
        {LISTEN}
        < SYN seq=0 mss=1000 ts=100
        < ACK seq=1 ack=1 ts=100
        accept
        shutdown
        < ACK seq=1 ack=2 ts=100
        < FIN,ACK seq=1 ack=2 ts=100
        < SYN seq=-5000 mss=1000 ts=90/0
        < SYN seq=-5000 mss=1000 ts=2000/0
        < ACK seq=-4999 ack=1 ts=2000
    """,
    # ECN
    "ECN, asked by the peer": f"""
        {LISTEN}
        < SYN,ECE,CWR seq=0 mss=1000
        < ACK seq=1 ack=1
        accept
        < PSH,ACK seq=1 ack=1 len=100 tos=3
        < PSH,ACK seq=101 ack=1 len=100 tos=2
        < PSH,CWR,ACK seq=201 ack=1 len=100 tos=2
        write 100
        < ECE,ACK seq=301 ack=101
        write 100
    """,
    "ECN, asked by us": f"""
        sysctl net.ipv4.tcp_ecn=1
        {SYN_SENT}
        < SYN,ACK,ECE seq=0 ack=1 mss=1000
        write 3000
        < ECE,ACK seq=1 ack=1001
        write 1000
        < ACK seq=1 ack=4001
    """,
    "ECN, refused": f"""
        sysctl net.ipv4.tcp_ecn=1
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000
        write 100
    """,
    # ICMP
    "port unreachable in SYN-SENT": f"""
        {SYN_SENT}
        icmp 3 3 seq=0
        read 1
    """,
    "host unreachable in SYN-SENT": f"""
        {SYN_SENT}
        icmp 3 1 seq=0
        read 1
    """,
    "ICMP about another SYN": f"""
        {SYN_SENT}
        icmp 3 3 seq=5
        < SYN,ACK seq=0 ack=1
    """,
    "port unreachable in ESTABLISHED": f"""
        {ESTABLISHED}
        write 100
        icmp 3 3 seq=1
        < ACK seq=1 ack=101
        read 1
    """,
    "fragmentation needed": f"""
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1460
        write 1400
        icmp 3 4 seq=1 mtu=800
        < ACK seq=1 ack=761
        < ACK seq=1 ack=1401
        write 1400
    """,
    "fragmentation needed, not in flight": f"""
        {ESTABLISHED}
        icmp 3 4 seq=500 mtu=600
        write 1000
    """,
    "fragmentation needed, far too small": f"""
        {ESTABLISHED}
        write 1000
        icmp 3 4 seq=1 mtu=68
    """,
    "source quench": f"""
        {ESTABLISHED}
        write 1000
        icmp 4 0 seq=1
        < ACK seq=1 ack=1001
    """,
    # What contradicts itself
    "FINs in two places": f"""
        {ESTABLISHED}
        < FIN,ACK seq=101 ack=1
        < FIN,ACK seq=1 ack=1 len=10
        read 100
    """,
    "a FIN before text out of order": f"""
        {ESTABLISHED}
        < ACK seq=101 ack=1 len=100
        < FIN,ACK seq=1 ack=1 len=10
        read 100
    """,
    "text over a FIN out of order": f"""
        {ESTABLISHED}
        < FIN,ACK seq=11 ack=1
        < ACK seq=1 ack=1 len=100
    """,
    "RST right after the FIN": f"""
        {CLOSE_WAIT}
        < RST seq=1
    """,
    "RST behind text out of order": f"""
        {ESTABLISHED}
        < ACK seq=101 ack=1 len=100
        < RST seq=201
    """,
    "ACK of octets from before the connection": f"""
        {ACCEPTED}
        < PSH,ACK seq=1 ack=-100 len=10
        read 100
    """,
    "the FIN again, and an ACK of ours": f"""
        {LAST_ACK}
        < FIN,ACK seq=1 ack=2
    """,
    # Floods and time-outs
    "SYN cookies": f"""
        sysctl net.ipv4.tcp_syncookies=2
        {LISTEN}
        < SYN seq=0 mss=1000 sackOK ws=7 ts=100/0
        < ACK seq=1 ack=1 ts=110
        accept
        < PSH,ACK seq=1 ack=1 len=100 ts=120
        read 1000
        write 2000
    """,
    "SYN cookies without timestamps": f"""
        sysctl net.ipv4.tcp_syncookies=2
        {LISTEN}
        < SYN seq=0 mss=1000 sackOK ws=7
        < PSH,ACK seq=1 ack=1 len=100
        accept
        read 1000
        write 2000
    """,
    "an ACK that returns no SYN cookie": f"""
        sysctl net.ipv4.tcp_syncookies=2
        {LISTEN}
        < SYN seq=0 mss=1000
        < ACK seq=1 ack=1000
        < ACK seq=2 ack=1
        < ACK seq=1 ack=1
    """,
    "user time-out": f"""
        set user_timeout=0.7
        {ESTABLISHED}
        write 100
        wait 1.2
        read 1
    """,
    # Fast Open
    "Fast Open, a server": f"""
        sysctl net.ipv4.tcp_fastopen=3
        set fastopen=5
        {LISTEN}
        < SYN seq=0 mss=1000 cookie=
        < RST seq=1
        < SYN seq=0 mss=1000 cookie=given len=100
        accept
        read 1000
        write 50
        < ACK seq=101 ack=51
    """,
    "Fast Open, a server and a wrong cookie": f"""
        sysctl net.ipv4.tcp_fastopen=3
        set fastopen=5
        {LISTEN}
        < SYN seq=0 mss=1000 cookie=0123456789abcdef len=100
        < PSH,ACK seq=1 ack=1 len=100
        accept
        read 1000
    """,
    "Fast Open, a client": """
        fast-connect 0
        < SYN,ACK seq=0 ack=1 mss=1000 cookie=0123456789abcdef
        write 10
        abort
        fast-connect 100
        < SYN,ACK seq=0 ack=101 mss=1000
        < PSH,ACK seq=1 ack=101 len=20
        read 100
    """,
    "Fast Open, a client whose text is not taken": """
        fast-connect 0
        < SYN,ACK seq=0 ack=1 mss=1000 cookie=0123456789abcdef
        abort
        fast-connect 100
        < SYN,ACK seq=0 ack=1 mss=1000
        < ACK seq=1 ack=101
    """,
    # The same pair of sockets again
    "active open in TIME-WAIT": f"""
        {TIME_WAIT}
        connect
    """,
    "active open in TIME-WAIT, with timestamps": f"""
        sysctl net.ipv4.tcp_tw_reuse=1
        {SYN_SENT}
        < SYN,ACK seq=0 ack=1 mss=1000 ts=100
        shutdown
        < ACK seq=1 ack=2 ts=110
        < FIN,ACK seq=1 ack=2 ts=120
        wait 2.1
        connect
        < SYN,ACK seq=100000 ack=1 mss=1000 ts=5000
    """,
}

STATES = {
    "SYN-SENT": (SYN_SENT, 0, 1),
    "SYN-RECEIVED": (SYN_RECEIVED, 1, 1),
    "ESTABLISHED": (ESTABLISHED, 1, 1),
    "FIN-WAIT-1": (FIN_WAIT_1, 1, 2),
    "FIN-WAIT-2": (FIN_WAIT_2, 1, 2),
    "CLOSE-WAIT": (CLOSE_WAIT, 2, 1),
    "CLOSING": (CLOSING, 2, 2),
    "LAST-ACK": (LAST_ACK, 2, 2),
    "TIME-WAIT": (TIME_WAIT, 2, 2),
}
"""How to get there, RCV.NXT and SND.NXT."""
SEGMENTS = {
    "RST": "RST seq={rcv}",
    "RST in the window": "RST seq={rcv+100}",
    "RST beyond the window": "RST seq={rcv+100000}",
    "RST behind the window": "RST seq={rcv-10}",
    "SYN in the window": "SYN seq={rcv+100} mss=1000",
    "SYN at the edge": "SYN seq={rcv} mss=1000",
    "SYN behind the window": "SYN seq={rcv-10} mss=1000",
    "SYN,ACK again": "SYN,ACK seq=0 ack=1 mss=1000",
    "ACK from the future": "ACK seq={rcv} ack={snd+100}",
    "ACK from long ago": "ACK seq={rcv} ack={snd-40000}",
    "text beyond the window": "PSH,ACK seq={rcv+100000} ack={snd} len=10",
    "text without ACK": "- seq={rcv} len=10",
    "FIN beyond the window": "FIN,ACK seq={rcv+100000} ack={snd}",
}


def number(text: str, rcv: int, snd: int) -> str:
    """Put numbers where "{rcv+100}" stands."""
    return re.sub(
        r"{(rcv|snd)([+-]\d+)?}", lambda found: str((rcv if found[1] == "rcv" else snd) + int(found[2] or 0)), text
    )


GRID = {
    f"{state}: {name}": f"{prelude}\n< {number(segment, rcv, snd)}"
    for state, (prelude, rcv, snd) in STATES.items()
    for name, segment in SEGMENTS.items()
}
"""Each segment in each state."""

SCRIPTS: dict[str, Script] = {name: script(name, text) for name, text in (WRITTEN | GRID).items()}
