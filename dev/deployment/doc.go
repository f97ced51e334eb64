// Package deployment tests docker-compose.yml, the Dockerfile and the binary that
// it builds, run in an empty root as in a container, and the alert rules, evaluated
// by Prometheus' own engine. It belongs to the module dev because of compose-go and
// Prometheus, which are no dependencies of a merchant who imports Cobro.
package deployment
