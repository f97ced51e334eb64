// Package deployment checks what production is made of: docker-compose.yml, the
// Dockerfile and the binary that it builds, run in an empty root as in a
// container, and the alert rules, evaluated by Prometheus' own engine. It belongs
// to the module dev because of compose-go and Prometheus, which no merchant who
// imports Cobro should have to carry.
package deployment
