# The image of cobro holds one static binary and the certificates that TLS
# trusts: the time zones are inside of the binary, and there is no shell.
#
#   docker build --tag cobro:dev .
#   docker build --tag athmovil-sim:dev --target athmovil-sim .
FROM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
ENV GOWORK=off CGO_ENABLED=0 GOFLAGS=-trimpath
RUN go mod download
COPY . .
RUN go build -ldflags=-s -o /out/ ./cmd/cobro ./cmd/athmovil-sim

# The simulator is for trying things out. It comes with a cobro for its health
# check, and never into cobro's own image.
FROM scratch AS athmovil-sim
COPY --from=build /out/athmovil-sim /out/cobro /
USER 65532:65532
ENTRYPOINT ["/athmovil-sim"]

FROM scratch AS cobro
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/cobro /cobro
USER 65532:65532
ENTRYPOINT ["/cobro"]
