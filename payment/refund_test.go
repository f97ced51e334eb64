package payment_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/payment"
)

// refundTransitions is the whole machine: what is not here is refused.
var refundTransitions = map[payment.RefundStatus]map[payment.RefundFact]payment.RefundStatus{
	payment.RefundPending: {
		payment.RefundFactUnknown: payment.RefundPending, payment.RefundFactCompleted: payment.RefundCompleted,
		payment.RefundFactFailed: payment.RefundFailed, payment.RefundFactCorrected: payment.RefundCompleted,
	},
	payment.RefundCompleted: {
		payment.RefundFactCompleted: payment.RefundCompleted, payment.RefundFactCorrected: payment.RefundCompleted,
	},
	payment.RefundFailed: {
		payment.RefundFactFailed: payment.RefundFailed, payment.RefundFactCorrected: payment.RefundCompleted,
	},
}

func TestNextRefundOverEveryStatusAndFact(t *testing.T) {
	t.Parallel()
	for _, status := range append(payment.RefundStatuses(), "", "unheard-of") {
		for _, fact := range append(payment.RefundFacts(), "", "unheard-of") {
			t.Run(fmt.Sprintf("%s+%s", status, fact), func(t *testing.T) {
				t.Parallel()
				got, err := payment.NextRefund(status, fact)
				want, allowed := refundTransitions[status][fact]
				if !allowed {
					var refused *payment.RefundTransitionError
					require.ErrorAs(t, err, &refused)
					require.Equal(t, payment.RefundTransitionError{Status: status, Fact: fact}, *refused)
					require.Equal(t, status, got, "a refused fact changes nothing")
					return
				}
				require.NoError(t, err)
				require.Equal(t, want, got)
			})
		}
	}
}

func TestCompletedRefundStaysCompleted(t *testing.T) {
	t.Parallel()
	for _, fact := range payment.RefundFacts() {
		next, _ := payment.NextRefund(payment.RefundCompleted, fact)
		require.Equal(t, payment.RefundCompleted, next, fact)
	}
}
