# Holdfast in a container: plain JavaScript, production dependencies, a user without rights, nothing to write but /data.
#
#   docker build -t holdfast .
#   docker run --rm -p 127.0.0.1:8080:8080 -v holdfast-data:/data --read-only --stop-timeout 30 holdfast
#
# To pin the base by digest, where your registry is known:  --build-arg NODE_IMAGE=node@sha256:…

ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No install script: the Node of the development dependencies is for machines without one.
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build
RUN mkdir -m 0700 data

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts

FROM ${NODE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="holdfast" \
      org.opencontainers.image.description="A reliability sidecar for the Intercom API" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE README.md CHANGELOG.md ./
COPY config ./config
# A volume that is made here takes the owner and the mode of the folder.
COPY --from=build --chown=65532:65532 /app/data /data

# Clients reach the proxy from outside. The admin plane stays on loopback until it has a token: then set
# HOLDFAST_ADMIN_LISTEN=0.0.0.0:8081 and HOLDFAST_ADMIN_TOKEN.
ENV NODE_ENV=production \
    HOLDFAST_LISTEN=0.0.0.0:8080 \
    HOLDFAST_DATA=/data
USER 65532:65532
VOLUME /data
EXPOSE 8080 8081
# Drains for up to 29 s: give it 30 before it is killed.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["node", "dist/main.js", "health"]
ENTRYPOINT ["node", "--max-semi-space-size=8", "dist/main.js"]
CMD ["serve"]
