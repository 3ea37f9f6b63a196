# The service with PostgreSQL and every object store. Holds no secret: settings come from the environment at run time.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/build.txt requirements/server.txt requirements/
# Debian's strip, whichever it has.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends binutils
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && python -m venv --without-pip /opt/evergreen \
    && /opt/build/bin/pip --python /opt/evergreen/bin/python install --no-cache-dir --require-hashes \
       -r requirements/server.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY server server
COPY storage storage
COPY clients/python clients/python
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/build/bin/pip --python /opt/evergreen/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl
# What no server needs: symbols for debuggers, the packages' own tests, stubs and build tools, the languages that could be
# highlighted, the databases that are none of ours, and the services of AWS but those by which credentials are found.
RUN packages=$(echo /opt/evergreen/lib/python3*/site-packages) \
    && find "$packages" -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} + \
    && rm -r "$packages"/numpy/*/tests "$packages/numpy/distutils" "$packages/numpy/f2py" "$packages/sqlalchemy/testing" \
    && rm -r "$packages/sqlalchemy/dialects/mssql" "$packages/sqlalchemy/dialects/mysql" "$packages/sqlalchemy/dialects/oracle" \
    && find "$packages/pygments/lexers" -name '*.py*' -not -name '__init__.*' -not -name '_mapping.*' -delete \
    && find "$packages" -name '*.pyi' -delete \
    && find "$packages/botocore/data" -mindepth 1 -maxdepth 1 -type d -not -name 'sso*' -not -name sts -exec rm -r {} +

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
