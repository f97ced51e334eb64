package api

import (
	"cmp"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/catalog"
)

// ProblemRow is a row of the table of problems, for tests.
type ProblemRow struct {
	Status               int
	Code                 string
	Title, Detail        string
	Spanish, SpanishWhat string
}

// ProblemRows returns the whole table.
func ProblemRows() []ProblemRow {
	var rows []ProblemRow
	for k := internal; k == internal || k.row().code != internal.row().code; k++ {
		r := k.row()
		row := ProblemRow{Status: r.status, Code: r.code}
		row.Title, row.Detail = catalog.Problem(catalog.Match("en"), cmp.Or(r.texts, r.code))
		row.Spanish, row.SpanishWhat = catalog.Problem(catalog.Match("es"), cmp.Or(r.texts, r.code))
		rows = append(rows, row)
	}
	return rows
}

// Routes returns "METHOD /path/{parameter}" of every route that the server has.
func (s *Server) Routes() []string {
	var all []string
	for _, route := range s.handler.(*gin.Engine).Routes() {
		parts := strings.Split(route.Path, "/")
		for i, part := range parts {
			if name, parameter := strings.CutPrefix(part, ":"); parameter {
				parts[i] = "{" + name + "}"
			}
		}
		all = append(all, route.Method+" "+strings.Join(parts, "/"))
	}
	return all
}
