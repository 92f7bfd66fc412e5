"""WHAT is sent again, and WHEN: round-trip times and loss recovery. How much may be in flight is
`usertcp.tcp.congestion`'s."""
