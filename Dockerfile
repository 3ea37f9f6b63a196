# The service with PostgreSQL and every object store. Holds no secret: settings come from the environment at run time.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/build.txt requirements/server.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && python -m venv /opt/evergreen \
    && /opt/evergreen/bin/pip install --no-cache-dir --require-hashes -r requirements/server.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY server server
COPY storage storage
COPY clients/python clients/python
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/evergreen/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim
RUN groupadd --gid 10001 evergreen \
    && useradd --uid 10001 --gid evergreen --no-create-home --home-dir /var/lib/evergreen evergreen \
    && install --directory --owner evergreen --group evergreen /var/lib/evergreen
COPY --from=build /opt/evergreen /opt/evergreen
ENV PATH=/opt/evergreen/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EVERGREEN_LISTEN=0.0.0.0:50051 \
    EVERGREEN_DATA_DIR=/var/lib/evergreen
USER 10001:10001
# With PostgreSQL and an object store, this holds only temporary files, and nothing needs to be kept.
VOLUME /var/lib/evergreen
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["evergreen", "health", "--timeout", "5"]
ENTRYPOINT ["evergreen"]
CMD ["serve"]
