package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// Bounds of what a query may ask for.
const (
	defaultPage = 20
	maxPage     = 100
	maxWait     = 60 * time.Second
)

// query is a query string that is being read. An unknown parameter is refused:
// a filter with a spelling mistake would otherwise select everything.
type query struct {
	values url.Values
	broken payment.FieldErrors
}

func readQuery(raw string, known ...string) *query {
	values, err := url.ParseQuery(raw)
	q := &query{values: values}
	if err != nil {
		q.refuse("query", ruleQuery())
	}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			q.refuse(name, ruleParameter())
		case len(all) > 1:
			q.refuse(name, ruleOnce())
		}
	}
	return q
}

// refuseQueryOfWrites refuses every parameter of a request that writes, which says
// all it has to say in its body: ?amount=5.00 would otherwise be ignored.
func refuseQueryOfWrites(c *gin.Context) error {
	if c.Request.Method == http.MethodGet {
		return nil
	}
	return readQuery(c.Request.URL.RawQuery).err()
}

func (q *query) refuse(name string, rule payment.Rule) {
	q.broken = append(q.broken, payment.FieldError{Field: quoteField(name), Rule: rule})
}

func (q *query) err() error {
	if len(q.broken) == 0 {
		return nil
	}
	slices.SortFunc(q.broken, func(a, b payment.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return &app.Error{Kind: parameterInvalid, Fields: q.broken}
}

func (q *query) text(name string) string { return q.values.Get(name) }

func (q *query) time(name string) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.refuse(name, ruleTime())
	}
	return t
}

func (q *query) wait(name string) time.Duration {
	text := q.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		q.refuse(name, ruleWait())
	}
	return d
}

func (q *query) limit() int {
	const name = "limit"
	text := q.text(name)
	if text == "" {
		return defaultPage
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxPage {
		q.refuse(name, ruleLimit())
	}
	return limit
}

// cursor reads what [formatCursor] wrote, of a list of things with such ids.
func (q *query) cursor(isID func(string) bool) ledger.Cursor {
	const name = "cursor"
	text := q.text(name)
	if text == "" {
		return ledger.Cursor{}
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	at, id, ok := strings.Cut(string(decoded), " ")
	createdAt, timeErr := time.Parse(time.RFC3339Nano, at)
	if err != nil || timeErr != nil || !ok || !isID(id) {
		q.refuse(name, ruleCursor())
		return ledger.Cursor{}
	}
	return ledger.Cursor{CreatedAt: createdAt, ID: id}
}

// formatCursor is where the next page starts, or nil at the end.
func formatCursor(c ledger.Cursor) *string {
	if c == (ledger.Cursor{}) {
		return nil
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(c.CreatedAt.UTC().Format(time.RFC3339Nano) + " " + c.ID))
	return &text
}

// oneOf reads a value of an enum, or "".
func oneOf[T ~string](q *query, name string, values []T) T {
	value := T(q.text(name))
	if value != "" && !slices.Contains(values, value) {
		q.refuse(name, ruleOneOf(names(values)))
	}
	return value
}

// names lists the values of an enum in words for people.
func names[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return strings.Join(texts, ", ")
}

// answerPage writes one page of a list, whose member has a name.
func answerPage[T any](c *gin.Context, name string, page app.Page[T]) error {
	items, err := json.Marshal(neverNull(page.Items))
	if err != nil {
		return fmt.Errorf("encode the list: %w", err)
	}
	next, err := json.Marshal(formatCursor(page.Next))
	if err != nil {
		return fmt.Errorf("encode the cursor: %w", err)
	}
	c.Data(http.StatusOK, "application/json", fmt.Appendf(nil, "{%q:%s,\"next_cursor\":%s}\n", name, items, next))
	return nil
}

// neverNull makes a list without elements an empty one in JSON.
func neverNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// answer writes a value as JSON.
func answer(c *gin.Context, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	c.Data(status, "application/json", append(body, '\n')) // for people who read it in a terminal
	return nil
}

// answerWork answers with what work has made: 202 while it goes on.
func answerWork(c *gin.Context, done int, pending bool, value any) error {
	if pending {
		done = http.StatusAccepted
	}
	return answer(c, done, value)
}
