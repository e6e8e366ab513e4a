# The one executable with everything in it, in a small image that runs without root.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --package loyalnest --features kafka,postgres

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl libssl3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin loyalnest \
    && install --directory --owner=loyalnest --mode=0700 /data /keys /witness
COPY --from=build /build/target/release/loyalnest /usr/local/bin/loyalnest
USER loyalnest
VOLUME ["/data", "/keys", "/witness"]
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s \
    CMD ["curl", "--fail", "--silent", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["loyalnest"]
CMD ["serve", "--host", "0.0.0.0"]
