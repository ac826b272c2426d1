# The environment of requirements.lock in /opt/venv, and the project in /bruna (docs/how-to/cluster.md).
#   docker build -t bruna .                               CUDA: what the lock pins; runs on CPUs, too
#   docker build -t bruna:cpu --build-arg DEVICE=cpu .    torch's build for CPUs, of the same version: no CUDA in it
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system safe.directory /bruna
# Whoever runs the container (`--user`) has a place to write to; DVC starts the first `python` of PATH.
ENV HOME=/tmp PATH=/opt/venv/bin:$PATH VIRTUAL_ENV=/opt/venv MLFLOW_DISABLE_TELEMETRY=true

WORKDIR /bruna
COPY requirements.lock ./
ARG DEVICE=cuda
# PyPI's torch for Linux on x86 is built for CUDA. The CPU's comes from PyTorch, so the lock has no hash of it.
RUN python3 -m venv /opt/venv && pip install --no-cache-dir uv && cp requirements.lock /tmp/lock \
    && case "$DEVICE" in \
        cuda) ;; \
        cpu) uv pip install --no-cache --no-deps --torch-backend cpu $(grep -oE '^torch(vision)?==[0-9.]+' requirements.lock) \
            && awk '/^[^ ]/ { kept = !/^(torch|triton|cuda-|nvidia-)/ } kept' requirements.lock > /tmp/lock ;; \
        *) echo "error: DEVICE is $DEVICE; it may be cuda or cpu" >&2; exit 1 ;; \
    esac \
    && uv pip install --no-cache --compile-bytecode -r /tmp/lock && rm /tmp/lock

COPY . .
# `make run` finds its environment as it is: installed.
RUN uv pip install --no-cache --no-deps --no-build-isolation --editable . && touch /opt/venv/.installed && ln -s /opt/venv .venv
CMD ["bruna", "--help"]
