# One image per role. scripts/image builds them; docs/how-to/images.md explains how to run them.
#   train      all stages and Kubeflow components
#   train-gpu  the same with the CUDA build of torch
#   serve      the services, without training code's packages
# BASE may be a digest: --build-arg BASE=python@sha256:…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
ARG BASE
LABEL org.opencontainers.image.base.name=${BASE} \
      org.opencontainers.image.licenses=Apache-2.0
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# Only /tmp and /work are written, so the root may be read-only; USER is the name for ids not in /etc/passwd.
ENV HOME=/tmp \
    ADLOOM_HOME=/tmp/adloom \
    USER=adloom \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    DVC_SITE_CACHE_DIR=/tmp/dvc \
    GIT_PYTHON_REFRESH=quiet
ARG PIP_CACHE_DIR=/root/.cache/pip
RUN groupadd --gid 10001 adloom \
    && useradd --uid 10001 --gid adloom --no-create-home --home-dir /tmp --shell /usr/sbin/nologin adloom \
    && install --directory --owner adloom --group adloom /work
WORKDIR /work
# A volume keeps /tmp writable under a read-only root; BentoML does not start without it.
VOLUME /tmp
# Python always handles SIGINT; as process 1 it would ignore SIGTERM until uvicorn runs.
STOPSIGNAL SIGINT

# The roles' requirements in separate files: large layers are rebuilt only when these change, not with the code.
FROM base AS declared
COPY pyproject.toml scripts/requirements.py ./
WORKDIR /roles
RUN for role in build train serve; do python3 /work/requirements.py /work/pyproject.toml "$role" >"$role.txt"; done
COPY constraints.txt constraints-gpu.txt scripts/install-role scripts/install-torch ./

FROM base AS wheel
RUN --mount=type=bind,from=declared,source=/roles,target=/roles --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint /roles/constraints.txt --requirement /roles/build.txt
COPY . .
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist .

FROM base AS train
ARG TORCH_INDEX
RUN --mount=type=bind,from=declared,source=/roles,target=/roles --mount=type=cache,target=/root/.cache/pip \
    /roles/install-role train constraints.txt
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist pip install --no-cache-dir --no-deps /dist/*.whl
ARG VERSION REVISION SOURCE
ENV ADLOOM_GIT_COMMIT=${REVISION}
LABEL org.opencontainers.image.title=adloom-train \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.source=${SOURCE}
USER 10001:10001
CMD ["adloom", "--help"]

FROM base AS train-gpu
ARG TORCH_INDEX
RUN --mount=type=bind,from=declared,source=/roles,target=/roles --mount=type=cache,target=/root/.cache/pip \
    /roles/install-role train constraints-gpu.txt
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist pip install --no-cache-dir --no-deps /dist/*.whl
ARG VERSION REVISION SOURCE
ENV ADLOOM_GIT_COMMIT=${REVISION}
LABEL org.opencontainers.image.title=adloom-train-gpu \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.source=${SOURCE}
USER 10001:10001
CMD ["adloom", "--help"]

FROM base AS serve
RUN --mount=type=bind,from=declared,source=/roles,target=/roles --mount=type=cache,target=/root/.cache/pip \
    /roles/install-role serve constraints.txt
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist pip install --no-cache-dir --no-deps /dist/*.whl
ARG VERSION REVISION SOURCE
ENV ADLOOM_GIT_COMMIT=${REVISION}
LABEL org.opencontainers.image.title=adloom-serve \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.source=${SOURCE}
USER 10001:10001
EXPOSE 3000
HEALTHCHECK --start-period=30s --interval=10s --timeout=5s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=4)"]
CMD ["adloom", "serve", "--host", "0.0.0.0", "--models", "models"]
