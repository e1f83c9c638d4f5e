# Built in one image, run in another: the second holds the one executable and what a shell job usually needs.
FROM node:20-bookworm AS build
WORKDIR /src
# The packages first, so that a change of sources does not install them again.
COPY package.json package-lock.json .npmrc ./
COPY scripts/setup.mjs scripts/
RUN node scripts/setup.mjs
COPY . .
# Without .git in the context the commit is told: docker build --build-arg SKEIN_COMMIT=$(git rev-parse --short=8 HEAD) .
ARG SKEIN_COMMIT=""
RUN SKEIN_COMMIT="$SKEIN_COMMIT" npm run build

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates openssh-client tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 7400 --create-home --home-dir /var/lib/skein skein
COPY --from=build /src/dist/skein /usr/local/bin/skein
# The node needs no root. It serves loopback until certificates come: share the host's network (docker run --network host).
USER skein
ENV SKEIN_DATA=/var/lib/skein/data
VOLUME /var/lib/skein
EXPOSE 7400 7401
# Asks the node itself by the context that `up` leaves in its data directory; exits 5 when it does not answer.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["skein", "cluster", "status", "-o", "quiet"]
STOPSIGNAL SIGTERM
# An init reaps what orphaned grandchildren of tasks leave behind: the node would be process 1 otherwise.
ENTRYPOINT ["tini", "--", "skein"]
CMD ["up"]
