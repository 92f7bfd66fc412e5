# A peer with an ordinary kernel TCP: nginx on 80, echo on 7, discard on 9 (inetd's own, RFC 862 and 863), and clients.
FROM debian:bookworm-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      curl iproute2 ncat netbase nginx-light openbsd-inetd tcpdump \
 && rm -rf /var/lib/apt/lists/*
RUN for service in echo discard; do \
      for protocol in tcp tcp6; do echo "$service stream $protocol nowait root internal"; done; \
    done > /etc/inetd.conf
HEALTHCHECK --interval=2s --timeout=5s --retries=30 CMD ["curl", "--silent", "--fail", "--output", "/dev/null", "http://localhost/"]
CMD ["sh", "-c", "inetd -R 100000 && exec nginx -g 'daemon off;'"]
