# LLMProxy's image: the locked dependencies in a virtual environment, and src/ beside it.
#   docker build -t llmproxy .
#   docker run --rm -p 127.0.0.1:4000:4000 -v "$PWD/llmproxy.yaml":/etc/llmproxy/llmproxy.yaml:ro -e OPENAI_API_KEY llmproxy
# The second stage is what the first leaves: Python and its libraries, no shell, no package manager.
# An optimised build of Python (profile-guided, link-time), as the official images have: a plain one takes more CPU for
# the same work, so no image is made of it.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
RUN python -c "import sysconfig as s; told = s.get_config_var('CONFIG_ARGS') or ''; exit(0 if '--enable-optimizations' in told or 'deb_system' in s.get_scheme_names() else 'a plain build of Python: choose another BASE')"
# requirements-azure.txt adds what azure_ad_token_provider needs, requirements-otel.txt what traces need.
ARG REQUIREMENTS=requirements.txt
COPY requirements.txt requirements-azure.txt requirements-otel.txt /build/
RUN python -m venv --without-pip /opt/venv \
 && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r /build/${REQUIREMENTS}
COPY pyproject.toml /app/
COPY src /app/src
COPY deploy/only_python.py /build/
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/src
RUN ["python", "/build/only_python.py"]

FROM scratch
LABEL org.opencontainers.image.title="LLMProxy" \
      org.opencontainers.image.description="Spreads OpenAI API calls over many OpenAI and Azure OpenAI endpoints" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build / /
# PYTHONPATH: the packages' names are taken on the public index, and what stands in src must come first.
# PYTHONDONTWRITEBYTECODE: the file system is read-only in use; everything is compiled already.
# HOME: the user has no entry in /etc/passwd and needs none.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin \
    LANG=C.UTF-8 \
    PYTHONPATH=/app/src \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    LLMPROXY_CONFIG=/etc/llmproxy/llmproxy.yaml
WORKDIR /app
USER 10001:10001
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4000/health/live', timeout=2)"]
ENTRYPOINT ["python", "-m", "llmproxy"]
# Inside a container every address but 0.0.0.0 is out of reach. The configuration must say api_keys, or
# allow_unauthenticated: true where only this machine reaches the published port.
CMD ["serve", "--host", "0.0.0.0", "--port", "4000"]
