package payment_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/payment"
)

// transitions is the whole machine: what is not here is refused.
var transitions = map[payment.Status]map[payment.Fact]payment.Status{
	payment.StatusPending: {
		payment.FactOpened: payment.StatusOpen, payment.FactCancelled: payment.StatusCancelled,
		payment.FactExpired: payment.StatusExpired, payment.FactFailed: payment.StatusFailed,
	},
	payment.StatusOpen: {
		payment.FactOpened: payment.StatusOpen, payment.FactConfirmed: payment.StatusConfirmed,
		payment.FactCancelled: payment.StatusCancelled, payment.FactExpired: payment.StatusExpired,
		payment.FactFailed: payment.StatusFailed,
	},
	payment.StatusConfirmed: {
		payment.FactConfirmed: payment.StatusConfirmed, payment.FactCompleted: payment.StatusCompleted,
		payment.FactCancelled: payment.StatusCancelled, payment.FactExpired: payment.StatusExpired,
		payment.FactFailed: payment.StatusFailed,
	},
	payment.StatusCompleted: {payment.FactCompleted: payment.StatusCompleted},
	payment.StatusCancelled: {payment.FactCancelled: payment.StatusCancelled},
	payment.StatusExpired:   {payment.FactExpired: payment.StatusExpired},
	payment.StatusFailed:    {payment.FactFailed: payment.StatusFailed},
}

func TestNextOverEveryStatusAndFact(t *testing.T) {
	t.Parallel()
	for _, status := range append(payment.Statuses(), "", "unheard-of") {
		for _, fact := range append(payment.Facts(), "", "unheard-of") {
			t.Run(fmt.Sprintf("%s+%s", status, fact), func(t *testing.T) {
				t.Parallel()
				got, err := payment.Next(status, fact)
				want, allowed := transitions[status][fact]
				if !allowed {
					var refused *payment.TransitionError
					require.ErrorAs(t, err, &refused)
					require.Equal(t, status, got, "a refused fact changes nothing")
					return
				}
				require.NoError(t, err)
				require.Equal(t, want, got)
			})
		}
	}
}

func TestNothingFollowsATerminalStatus(t *testing.T) {
	t.Parallel()
	for _, status := range payment.Statuses() {
		moves := 0
		for _, fact := range payment.Facts() {
			if next, err := payment.Next(status, fact); err == nil && next != status {
				moves++
			}
		}
		require.Equal(t, status.Terminal(), moves == 0, status)
	}
}

// The machine as a table: a dash is a refusal.
func ExampleNext() {
	row := func(first string, cells []string) {
		fmt.Printf("%-10s %s\n", first, strings.TrimRight(strings.Join(cells, " "), " "))
	}
	var heads []string
	for _, fact := range payment.Facts() {
		heads = append(heads, fmt.Sprintf("%-9s", fact))
	}
	row("", heads)
	for _, status := range payment.Statuses() {
		var cells []string
		for _, fact := range payment.Facts() {
			next, err := payment.Next(status, fact)
			if err != nil {
				next = "-"
			}
			cells = append(cells, fmt.Sprintf("%-9s", next))
		}
		row(string(status), cells)
	}
	// Output:
	//            opened    confirmed completed cancelled expired   failed
	// pending    open      -         -         cancelled expired   failed
	// open       open      confirmed -         cancelled expired   failed
	// confirmed  -         confirmed completed cancelled expired   failed
	// completed  -         -         completed -         -         -
	// cancelled  -         -         -         cancelled -         -
	// expired    -         -         -         -         expired   -
	// failed     -         -         -         -         -         failed
}
