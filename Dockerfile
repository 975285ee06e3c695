# One image per service: docker build --build-arg SERVICE=scorer .  (docker-compose.yml builds all five)
# One of the command `eddy`, as far as it administers a cluster (topics, keys, api-keys): docker build --target cli .
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS tools
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1
WORKDIR /build
RUN python -m venv /venv && /venv/bin/pip install --quiet uv==0.13.9
COPY requirements ./requirements
COPY schemas ./schemas
COPY scenarios.yaml LICENSE ./
COPY shared ./shared

FROM tools AS build-cli
COPY services ./services
COPY cli ./cli
# The services' packages have the names of groups and settings; what they compute with is left out.
RUN export VIRTUAL_ENV=/venv; \
    /venv/bin/uv pip install --quiet --compile-bytecode ./shared typer confluent-kafka --constraints requirements/base.txt \
    && /venv/bin/uv pip install --quiet --compile-bytecode --no-deps ./services/*/ ./cli
RUN /venv/bin/pip uninstall --quiet --yes uv pip

FROM ${PYTHON_IMAGE} AS cli
RUN useradd --uid 10001 --create-home eddy
WORKDIR /app
COPY --from=build-cli /venv /venv
COPY scenarios.yaml ./scenarios/scenarios.yaml
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 EDDY_SCENARIOS_PATH=/app/scenarios/scenarios.yaml
USER eddy
CMD ["eddy", "--help"]

FROM tools AS build
ARG SERVICE
# Where torch comes from: `cpu` leaves several GB of CUDA libraries out; empty takes the package index's own.
ARG TORCH_BACKEND=cpu
RUN test -n "$SERVICE" || { echo "SERVICE is missing. Example: --build-arg SERVICE=scorer" >&2; exit 1; }
COPY services/${SERVICE} ./services/${SERVICE}
# The service's own dependencies alone, at the pinned versions and checked against their hashes (torch's CPU build has none here).
RUN export VIRTUAL_ENV=/venv; \
    if [ "$TORCH_BACKEND" = cpu ]; then sed 's/ \\$//; /--hash/d' requirements/torch.txt >/tmp/torch.txt; else cp requirements/torch.txt /tmp/torch.txt; fi; \
    /venv/bin/uv pip install --quiet --compile-bytecode ${TORCH_BACKEND:+--torch-backend $TORCH_BACKEND} \
        ./shared "./services/$SERVICE" --constraints requirements/base.txt --constraints /tmp/torch.txt \
    || { test "$TORCH_BACKEND" != cpu || echo "If PyTorch's index of CPU builds cannot be reached, build with TORCH_BACKEND= (several GB)." >&2; exit 1; }
# The image installs nothing any more.
RUN /venv/bin/pip uninstall --quiet --yes uv pip

FROM ${PYTHON_IMAGE}
ARG SERVICE
RUN useradd --uid 10001 --create-home eddy && mkdir -p /state /keys/signing /keys/public && chown -R eddy /state /keys
WORKDIR /app
COPY --from=build /venv /venv
COPY scenarios.yaml ./scenarios/scenarios.yaml
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 SERVICE=${SERVICE} \
    EDDY_HTTP_HOST=0.0.0.0 EDDY_STATE_DIR=/state EDDY_TRAINER_GRAPHS_DIR=/state/graphs EDDY_SCENARIOS_PATH=/app/scenarios/scenarios.yaml
USER eddy
VOLUME /state
CMD ["sh", "-c", "exec python -m eddy_$SERVICE"]
