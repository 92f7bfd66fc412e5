# usertcp beside a kernel of its own. Runs with NET_ADMIN and NET_RAW only; see docker-compose.yml.
FROM debian:bookworm-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      ca-certificates iproute2 iptables python3-venv tcpdump \
 && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/usertcp/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# What usertcp depends on changes seldom and has a layer of its own.
COPY pyproject.toml ./
RUN python3 -m venv /opt/usertcp \
 && python3 -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))' > /tmp/requirements.txt \
 && pip install --requirement /tmp/requirements.txt
COPY README.md LICENSE ./
COPY usertcp ./usertcp
RUN pip install --no-deps .
COPY scripts/rst-guard scripts/docker/entrypoint /usr/local/bin/

WORKDIR /
ENTRYPOINT ["entrypoint"]
CMD ["--help"]
