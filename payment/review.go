package payment

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/cobropay/cobro/private"
)

// Review asks a person what became of money whose outcome the gateway does not
// tell. It is opened by the workflow that owns the payment or the refund, with
// everything that it saw, and it ends by itself when the gateway becomes
// definite. Its JSON is the API's.
type Review struct {
	ID        string      `json:"id"` // "rev_" and 26 characters
	PaymentID string      `json:"payment_id"`
	RefundID  string      `json:"refund_id,omitempty"` // set where a refund is in question
	Cause     ReviewCause `json:"cause"`
	Evidence  []Evidence  `json:"evidence"` // first to last
	OpenedAt  time.Time   `json:"opened_at"`
	Decision  *Decision   `json:"decision,omitempty"` // nil while the review is open
}

// ReviewCause says why a person is asked. Stored: never rename a value.
type ReviewCause string

// The causes.
const (
	CauseUndecided       ReviewCause = "gateway_undecided"          // no terminal answer by the end of the grace period
	CauseSecondAuthorize ReviewCause = "second_authorize_forbidden" // surely not debited, and a setting forbids another try
	CauseAnswerDiffers   ReviewCause = "answer_differs"             // debited, by an answer about another ticket, total or reference number
	CauseRefundUnknown   ReviewCause = "refund_unknown"             // the gateway's total does not tell whether the refund was executed
)

// Evidence is one thing that was seen, in words for people. It holds no
// personal data.
type Evidence struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// Verdict is what a person says of money whose outcome was not known. Stored:
// never rename a value.
type Verdict string

// The verdicts.
const (
	VerdictCompleted   Verdict = "completed"    // the money moved
	VerdictNotExecuted Verdict = "not_executed" // it did not, and never will by this call
)

// Decision ends a review.
type Decision struct {
	Verdict Verdict        `json:"verdict"`
	Source  DecisionSource `json:"source"`
	By      string         `json:"by,omitempty"`     // the person's API key, by its name
	Reason  private.Text   `json:"reason,omitempty"` // the person's words, at most MaxReviewReason characters
	At      time.Time      `json:"at"`
}

// MaxReviewReason is how many characters a person's reason may have.
const MaxReviewReason = 500

// Verdicts lists every verdict.
func Verdicts() []Verdict { return []Verdict{VerdictCompleted, VerdictNotExecuted} }

// ValidateReview checks a person's verdict and reason. It returns [FieldErrors],
// or nil.
func ValidateReview(verdict Verdict, reason string) error {
	var errs FieldErrors
	if !slices.Contains(Verdicts(), verdict) {
		names := fmt.Sprintf("%s, %s", VerdictCompleted, VerdictNotExecuted)
		errs = append(errs, FieldError{Field: "verdict", Rule: Rule{Code: RuleOneOf, Args: []any{names}}})
	}
	if reason == "" || utf8.RuneCountInString(reason) > MaxReviewReason {
		errs = append(errs, FieldError{Field: "reason", Rule: Rule{Code: RuleCharactersBetween, Args: []any{1, MaxReviewReason}}})
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// DecisionSource says who ended a review. Stored: never rename a value.
type DecisionSource string

// The sources of a decision.
const (
	DecidedByGateway DecisionSource = "gateway"
	DecidedByPerson  DecisionSource = "person"
)
