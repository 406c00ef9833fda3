# syntax=docker/dockerfile:1

# The binary needs libc and nothing else at run time: TLS roots, SQLite and zstd are linked in.
FROM rust:1.95-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc g++ libc6-dev make cmake \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin weir \
 && cp target/release/weir /usr/local/bin/weir \
 && install -d -o 10001 -g 10001 -m 0700 /data

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="weir" \
      org.opencontainers.image.description="Streaming analytics ingestion for AI agent telemetry" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /usr/local/bin/weir /usr/local/bin/weir
COPY --from=build --chown=10001:10001 /data /data
USER 10001:10001
VOLUME /data
# HTTP API, OTLP over HTTP, OTLP over gRPC.
EXPOSE 8080 4318 4317
# SIGTERM: open requests are answered, then the lake's last commit is made.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/weir"]
# Other machines can reach a container's addresses, so weir starts only once there is a key:
#   docker run --rm -v weir-data:/data weir keys create --data-dir /data --tenant NAME
# TLS is the business of a proxy before it.
CMD ["serve", "--data-dir", "/data", "--insecure-http", \
     "--http", "0.0.0.0:8080", "--otlp-http", "0.0.0.0:4318", "--otlp-grpc", "0.0.0.0:4317"]
