"""IPv4 and IPv6: headers, checksums, fragments, and the ICMP errors that speak of our segments."""
