# Builds with the classic builder and with BuildKit.
FROM golang:1.26-alpine AS build
ARG GOPROXY
ARG GOFLAGS
WORKDIR /src
# The modules are a layer of their own, so that a change of the code does not download them again.
COPY go.mod go.sum ./
RUN go mod download
COPY schemas schemas
COPY internal internal
COPY cmd cmd
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/connector ./cmd/connector

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/connector /connector
USER 65532:65532
ENTRYPOINT ["/connector"]
CMD ["run", "-c", "/etc/sluice/connector.yaml"]
