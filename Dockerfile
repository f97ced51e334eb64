# One image with one static binary for each of cobro's programs.
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ENV GOWORK=off CGO_ENABLED=0
RUN go build -trimpath -o /out/ ./cmd/cobro ./cmd/athmovil-sim

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/cobro /out/athmovil-sim /usr/local/bin/
USER nonroot
ENTRYPOINT ["cobro"]
