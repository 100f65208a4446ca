# The webchat bridge, and the base for an author's own (docs/deploy.md, "Your own bridge").
#
#   docker build -t bridgekit .        or: podman build --format docker -t bridgekit .   (docker: keeps HEALTHCHECK)
#   make container CHECK=1             builds it with buildah, and holds the demo's conversation through it

ARG PYTHON=3.11
ARG DEBIAN=bookworm

# The full image has a compiler, for machines without ready-made wheels, and `strip`. None of it is shipped.
FROM python:${PYTHON}-${DEBIAN} AS build
WORKDIR /src
# Without pip in it: nothing is installed into a container that runs.
RUN python3 -m venv --without-pip /opt/bridge
COPY pyproject.toml README.md LICENSE ./
COPY bridgekit bridgekit
COPY example_bridge example_bridge
# pip compiles to bytecode, which cannot be done later on a read-only root. The wheels' libraries carry debug symbols,
# more than half of what is installed.
RUN python3 -m pip --python /opt/bridge/bin/python install --no-cache-dir . \
 && find /opt/bridge -name '*.so' -type f -exec strip --strip-debug {} +

FROM python:${PYTHON}-slim-${DEBIAN}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="bridgekit" \
      org.opencontainers.image.description="A Matrix bridge that never loses, doubles or reorders a message" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 1337 bridge \
 && useradd --uid 1337 --gid bridge --home-dir /data --no-create-home --shell /usr/sbin/nologin bridge \
 && install --directory --owner=bridge --group=bridge --mode=0750 /data
COPY --from=build /opt/bridge /opt/bridge
# BRIDGE_HEALTH: where the health check asks. It follows `monitoring` in the configuration; say it anew if you change that.
ENV PATH=/opt/bridge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BRIDGE_HEALTH=http://127.0.0.1:29329/healthz
# By number, so that an orchestrator can see that it is not root.
USER 1337:1337
WORKDIR /data
VOLUME /data
EXPOSE 29328
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['BRIDGE_HEALTH'], timeout=4)"]
ENTRYPOINT ["python", "-m", "example_bridge"]
CMD ["run", "-c", "/data/config.yaml"]
