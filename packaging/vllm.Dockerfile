# vLLM with weft's connector for leases. From the repository's root:
#
#   docker build -f packaging/vllm.Dockerfile -t weft-vllm .
#
# The connector is for this version of vLLM; docs/leases.md has the flag that turns it on.

FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/build.txt requirements/
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY weft weft
RUN pip wheel --no-deps --no-build-isolation --wheel-dir wheels .

FROM vllm/vllm-openai:v0.32.0
COPY --from=build /src/wheels /tmp/wheels
RUN uv pip install --system --no-cache /tmp/wheels/weft-*.whl
