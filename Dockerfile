# The one image of DualTrack: operator, engine, gateway and CLI. `make image` builds it, with Docker or
# without; the build needs no network, because wheels are resolved outside and mounted from the context:
#   dependencies/  pip itself and what requirements-runtime.lock names
#   application/   our wheel
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}

# Container runtimes take the group of a numeric user from here; without the line it would be root's.
RUN echo 'dualtrack:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'dualtrack:x:10001:' >> /etc/group

# A layer of its own, so that a change of our source does not install the dependencies anew. The builders
# do not look into mounts when they look for a cached layer, so the digests are part of the commands.
ARG DEPENDENCIES_DIGEST
RUN --mount=type=bind,source=dependencies,target=/wheels \
    : "${DEPENDENCIES_DIGEST}" \
    && python3 -m venv --without-pip /opt/dualtrack \
    && PYTHONPATH=$(echo /wheels/pip-*.whl) /opt/dualtrack/bin/python -m pip install \
       --quiet --no-index --no-deps --root-user-action=ignore $(ls /wheels/*.whl | grep -v '/pip-')

ARG APPLICATION_DIGEST
RUN --mount=type=bind,source=dependencies,target=/wheels \
    --mount=type=bind,source=application,target=/application \
    : "${APPLICATION_DIGEST}" \
    && PYTHONPATH=$(echo /wheels/pip-*.whl) /opt/dualtrack/bin/python -m pip install \
       --quiet --no-index --no-deps --root-user-action=ignore /application/*.whl

ENV PATH=/opt/dualtrack/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["dualtrack"]
