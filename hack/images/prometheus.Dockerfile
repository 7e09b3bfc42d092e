# Prometheus for the demo where nothing can be pulled: Debian's binary on our base.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
COPY prometheus promtool /usr/bin/
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/prometheus"]
