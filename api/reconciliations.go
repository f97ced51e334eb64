package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// listReconciliations answers GET /v1/reconciliations: the latest runs, and the
// differences from ATH Móvil's books that were found, both newest first.
func (s *Server) listReconciliations(c *gin.Context) error {
	q := readQuery(c.Request.URL.RawQuery, "kind", "payment_id", "found_from", "found_to", "limit")
	filter := ledger.MismatchFilter{
		Kind: oneOf(q, "kind", payment.MismatchKinds()), PaymentID: q.text("payment_id"),
		FoundFrom: q.time("found_from"), FoundTo: q.time("found_to"), Limit: q.limit(),
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx := c.Request.Context()
	runs, err := s.cfg.App.Reconciliations(ctx, filter.Limit)
	if err != nil {
		return err
	}
	found, err := s.cfg.App.Mismatches(ctx, filter)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, struct {
		Runs       []payment.Reconciliation `json:"runs"`
		Mismatches []payment.Mismatch       `json:"mismatches"`
	}{neverNull(runs), neverNull(found)})
}
