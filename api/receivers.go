package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// receiverJSON is a receiver as the API shows it: what was announced, and what
// its host makes of it in Temporal.
type receiverJSON struct {
	Host    string        `json:"host"`
	Event   payment.Event `json:"event"`
	Name    string        `json:"name"`
	Timeout string        `json:"timeout"` // of one attempt, such as "30s"
	// How it is tried again; absent fields mean the defaults: "1s", "1h" and
	// "168h".
	RetryFirst string `json:"retry_first,omitempty"`
	RetryMost  string `json:"retry_most,omitempty"`
	RetryFor   string `json:"retry_for,omitempty"`

	TaskQueue string `json:"task_queue"` // which the host polls
	Activity  string `json:"activity"`   // the type under which the receiver is registered there
}

// announceReceivers answers PUT /v1/receivers/{host}: a program that hosts
// receivers says at its start which ones. One that is absent from the list is told
// until it is removed with "cobro receiver remove". The answer holds all of the
// host's receivers, so that the absent ones are seen.
func (s *Server) announceReceivers(c *gin.Context) error {
	host := c.Param("host")
	announced, err := s.readReceivers(c, host)
	if err != nil {
		return err
	}
	all, err := s.cfg.App.AnnounceReceivers(c.Request.Context(), host, announced)
	if err != nil {
		return err
	}
	return answerReceivers(c, all)
}

// listReceivers answers GET /v1/receivers.
func (s *Server) listReceivers(c *gin.Context) error {
	if err := readQuery(c.Request.URL.RawQuery).err(); err != nil {
		return err
	}
	all, err := s.cfg.App.Receivers(c.Request.Context())
	if err != nil {
		return err
	}
	return answerReceivers(c, all)
}

func answerReceivers(c *gin.Context, all []ledger.Receiver) error {
	shown := make([]receiverJSON, len(all))
	for i, r := range all {
		shown[i] = receiverJSON{
			Host: r.Host, Event: r.Event, Name: r.Name, Timeout: r.Timeout.String(),
			RetryFirst: span(r.First), RetryMost: span(r.Most), RetryFor: span(r.For),
			TaskQueue: workflows.NotifyQueue(r.Host), Activity: workflows.ReceiverActivity(r.Event, r.Name),
		}
	}
	return answer(c, http.StatusOK, gin.H{"receivers": shown})
}

// span is a duration in Go's form; zero is absent.
func span(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// readReceivers reads and validates the body of PUT /v1/receivers/{host}. The
// host of the address is reported along with the fields.
func (s *Server) readReceivers(c *gin.Context, host string) ([]ledger.Receiver, error) {
	o, err := s.readObject(c)
	if err != nil {
		return nil, err
	}
	switch {
	case !ledger.IsHost(host):
		o.refuse("host", ledger.RuleHost())
	case host == ledger.BuiltInHost:
		o.refuse("host", ledger.RuleBuiltInHost())
	}
	if list, given := o.members["receivers"].([]any); given && len(list) == 0 {
		o.refuse("receivers", ruleReceivers())
	}
	var receivers []ledger.Receiver
	for _, one := range o.required("receivers").objects("receivers") {
		r := ledger.Receiver{
			Host:    host,
			Event:   payment.Event(one.textWhere("event", isEvent, ruleOneOf(payment.EventNames()))),
			Name:    one.textWhere("name", ledger.IsReceiverName, ledger.RuleReceiverName()),
			Timeout: one.duration("timeout", ledger.DefaultReceiverTimeout),
			Retry: payment.Retry{
				First: one.duration("retry_first", 0), Most: one.duration("retry_most", 0), For: one.duration("retry_for", 0),
			},
		}
		if broken := r.Retry.Broken(); broken != nil {
			one.refuse("retry_most", *broken)
		}
		if slices.ContainsFunc(receivers, func(other ledger.Receiver) bool { return other.Event == r.Event && other.Name == r.Name }) {
			one.refuse("name", ruleReceiverOnce())
		}
		one.refuseRest()
		receivers = append(receivers, r)
	}
	return receivers, o.finish(nil)
}

func isEvent(text string) bool { return payment.IsEvent(payment.Event(text)) }

// textWhere reads a required text that keeps a rule.
func (o object) textWhere(name string, keeps func(string) bool, rule payment.Rule) string {
	if text, ok := o.members[name].(string); ok && !keeps(text) {
		o.refuse(name, rule)
	}
	return o.required(name).text(name)
}

// duration reads a positive duration in Go's form, such as "1m30s".
func (o object) duration(name string, absent time.Duration) time.Duration {
	if o.members[name] == nil {
		o.take(name) // null counts as absent
		return absent
	}
	d, err := time.ParseDuration(o.textWhere(name, isPositive, ruleTimeout()))
	if err != nil {
		return absent // which was refused
	}
	return d
}

func isPositive(duration string) bool {
	d, err := time.ParseDuration(duration)
	return err == nil && d > 0
}
