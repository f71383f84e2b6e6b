# syntax=docker/dockerfile:1.7

FROM rust:1.95.0-bookworm AS build
WORKDIR /build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake perl \
    && rm -rf /var/lib/apt/lists/*
# Dependencies change rarely: their layer is built from the lock file and empty targets.
COPY rust-toolchain.toml Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/suite tests/live examples/shop examples/bench \
    && touch src/lib.rs \
    && for file in src/main.rs tests/suite/main.rs tests/live/main.rs examples/shop/main.rs examples/bench/main.rs examples/rust_projection.rs; do \
         echo 'fn main() {}' > "$file"; done \
    && cargo build --locked --release --bin viewfold
COPY src ./src
COPY migrations ./migrations
RUN touch src/lib.rs src/main.rs && cargo build --locked --release --bin viewfold

FROM gcr.io/distroless/cc-debian12:nonroot
WORKDIR /app
COPY --from=build /build/target/release/viewfold /usr/local/bin/viewfold
COPY projections ./projections
USER 65532:65532
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/local/bin/viewfold", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/viewfold"]
CMD ["run"]
