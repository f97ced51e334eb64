package api

import (
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/catalog"
)

// ProblemRow is a row of the table of problems, for tests.
type ProblemRow struct {
	Status               int
	Code                 string
	Title, Detail        string
	Spanish, SpanishWhat string
}

// kinds are those of the table. A row that is missing here has no test.
var kinds = []app.Kind{
	app.KindInternal, bodyMalformed, parameterInvalid, keyMalformed, app.KindKeyRequired, unauthorized, noRoute,
	app.KindPaymentNotFound, methodNotAllowed, app.KindReferenceInUse, app.KindNotCancellable, app.KindNotCompleted,
	app.KindPaymentEnded, app.KindPhoneDeclined, app.KindRefundInProgress, app.KindRefundExceeds, app.KindRefundNotFound,
	app.KindNotificationNotFound, app.KindNotInReview, app.KindReviewContradicted, bodyTooLarge, headersTooLarge, mediaType, app.KindInvalid,
	app.KindKeyReused, app.KindDeclined, rateLimited, app.KindGatewayUnavailable, app.KindUnavailable,
}

// ProblemRows returns the whole table.
func ProblemRows() []ProblemRow {
	var rows []ProblemRow
	for _, k := range kinds {
		row := ProblemRow{Status: statusOf(k), Code: codeOf(k)}
		row.Title, row.Detail = catalog.Problem(catalog.Match("en"), string(k))
		row.Spanish, row.SpanishWhat = catalog.Problem(catalog.Match("es"), string(k))
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
