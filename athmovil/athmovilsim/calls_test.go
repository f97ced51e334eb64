package athmovilsim_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// TestSaleFromCreateToRefund follows one sale from create to a full refund.
func TestSaleFromCreateToRefund(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{BusinessName: "La Bombonera"})
	ticket := w.create(nil)
	id, err := uuid.Parse(ticket.id)
	require.NoError(t, err)
	require.Equal(t, uuid.Version(1), id.Version())

	open := w.find(ticket.id)
	require.Equal(t, "OPEN", open["ecommerceStatus"])
	require.Equal(t, "La Bombonera", open["businessName"])
	require.Empty(t, open["referenceNumber"])

	w.confirm(ticket.id)
	require.Equal(t, "CONFIRM", w.status(ticket.id))
	debits, _ := w.books()
	require.Equal(t, "0.00", debits, "a confirmation moves no money")

	paid := w.authorize(ticket.token).data(t)
	require.Equal(t, "COMPLETED", paid["ecommerceStatus"])
	require.Regexp(t, `^\d{9,10}-[0-9a-f]{32}$`, paid["referenceNumber"])
	require.Equal(t, "2025-12-08 16:30:49", paid["transactionDate"], "in Puerto Rico")
	require.Equal(t, "0001", paid["dailyTransactionId"])
	require.Equal(t, paid, w.find(ticket.id), "find shows what authorization answered")

	event := w.listener.next(t)
	require.Equal(t, ticket.id, event["ecommerceId"])
	require.Equal(t, paid["referenceNumber"], event["referenceNumber"])
	require.InDelta(t, 7875551234, event["phoneNumber"], 0)
	require.Equal(t, "Valeria Herrero", event["name"])

	first := w.refund(paid["referenceNumber"].(string), "10.00").data(t)
	require.Equal(t, "COMPLETED", first["refund"].(object)["status"])
	require.Equal(t, "0002", first["refund"].(object)["dailyTransactionID"], "refunds share the day's numbers")
	require.NotEqual(t, paid["referenceNumber"], first["refund"].(object)["referenceNumber"])
	require.Equal(t, "(787) 555-1234", first["refund"].(object)["phoneNumber"])
	require.Equal(t, "REFUND", w.listener.next(t)["transactionType"])

	require.Equal(t, "BTRA_0004", w.refund(paid["referenceNumber"].(string), "15.01").code(t))
	second := w.refund(paid["referenceNumber"].(string), "15.00").data(t)
	original := second["originalTransaction"].(object)
	require.Equal(t, original["total"], original["totalRefundedAmount"])
	require.Equal(t, "15.00", w.listener.next(t)["total"])
	require.Equal(t, "COMPLETED", w.status(ticket.id), "a refund changes no status")

	debits, credits := w.books()
	require.Equal(t, "25.00", debits)
	require.Equal(t, "25.00", credits)
	w.quiet()
}

func TestFeeHasFloatNoise(t *testing.T) {
	t.Parallel()
	for plain, want := range map[bool]string{false: `"fee":0.5600000238418579,`, true: `"fee":0.56,`} {
		w := start(t, athmovilsim.Config{Settings: athmovilsim.Settings{PlainFees: plain}})
		ticket := w.create(nil)
		w.confirm(ticket.id)
		body := string(w.authorize(ticket.token).body)
		require.Contains(t, body, want)
		require.Contains(t, body, `"netAmount":24.44,`)
		require.Contains(t, body, `"total":25,`)
	}
}

func TestFeeIsRoundedHalfUpWithAMinimum(t *testing.T) {
	t.Parallel()
	tests := []struct {
		total, half, down int64
	}{
		{1_00, 6, 6},                    // docs/athmovil.md §3
		{3_00, 7, 6},                    // captured in production: 6.75 cents
		{2_33, 6, 6},                    // the minimum
		{25_00, 56, 56},                 // 56.25
		{1_500_00, 33_75, 33_75},        // no rounding
		{10_00, 23, 22},                 // 22.5
		{1_499_99, 3_375, 3_374},        // 3374.98
		{5, 5, 5}, {6, 6, 6}, {0, 0, 0}, // a fee is never above the total
	}
	for _, tt := range tests {
		require.Equal(t, tt.half, athmovilsim.FeeOf(tt.total, false), tt.total)
		require.Equal(t, tt.down, athmovilsim.FeeOf(tt.total, true), tt.total)
	}
}

func TestParseAmount(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want int64
		code string
	}{
		{"25", 25_00, ""}, {"25.5", 25_50, ""}, {"25.00", 25_00, ""}, {"0.01", 1, ""}, {"0001.00", 1_00, ""},
		{"9999.99", 9_999_99, ""}, {"-1", -1_00, ""}, {"0", 0, ""},
		{"10000", 0, "BTRA_0020"}, {"1.001", 0, "BTRA_0020"}, {"1.000", 0, "BTRA_0020"},
		{"", 0, "BTRA_0006"}, {"1e3", 0, "BTRA_0006"}, {"1.", 0, "BTRA_0006"}, {".5", 0, "BTRA_0006"}, {"ten", 0, "BTRA_0006"},
		{"+1", 0, "BTRA_0006"}, {"1,000", 0, "BTRA_0006"}, {"--1", 0, "BTRA_0006"}, {"٣", 0, "BTRA_0006"},
	}
	for _, tt := range tests {
		got, err := athmovilsim.ParseAmount(tt.text)
		if tt.code != "" {
			require.ErrorContains(t, err, tt.code, tt.text)
			continue
		}
		require.NoError(t, err, tt.text)
		require.Equal(t, tt.want, got, tt.text)
	}
}

// TestNumbersAndStringsAreEqual sends what real clients send,
// docs/athmovil.md §1.1.
func TestNumbersAndStringsAreEqual(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	bodies := []string{
		`{"publicToken":"` + athmovilsim.DefaultPublicToken + `","total":10}`,
		`{"publicToken":"` + athmovilsim.DefaultPublicToken + `","total":"10","tax":null,"subtotal":"","timeout":600,"metadata1":"","items":null}`,
		`{"publicToken":"` + athmovilsim.DefaultPublicToken + `","total":"10.00","phoneNumber":7875551234,"timeout":"5000",` +
			`"items":[{"name":"a","description":"b","quantity":2,"price":5.00,"tax":null,"metadata":null}]}`,
	}
	for _, body := range bodies {
		data := w.call(http.MethodPost, api+"/payment", body, nil).data(t)
		require.InDelta(t, 10, w.find(data["ecommerceId"].(string))["total"], 0, body)
	}
	require.Len(t, w.get("/_sim/tickets")["tickets"], 3)
}

// TestAuthTokenMatchesDocumentation decodes an auth token, docs/athmovil.md §2.
func TestAuthTokenMatchesDocumentation(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	token, claims := w.create(nil).token, jwt.MapClaims{}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, claims)
	require.NoError(t, err)
	require.Equal(t, "RS256", parsed.Header["alg"])
	require.Equal(t, "JWT", parsed.Header["typ"])
	require.NotEmpty(t, parsed.Header["kid"])
	require.Regexp(t, `^[0-9a-f]{96}$`, claims["sub"])
	delete(claims, "sub")
	began, err := time.Parse(time.RFC3339, epoch)
	require.NoError(t, err)
	scopes := []any{"customer.business.ecommerce.authorization:write"}
	iat := claims["iat"].(float64)
	require.InDelta(t, began.Unix(), iat, 2)
	require.Equal(t, jwt.MapClaims{
		"fiId": "", "azp": []any{}, "permissions": scopes, "scopes": scopes, "iss": "Process Payment",
		"iat": iat, "nbf": iat, "exp": iat + 900,
	}, claims)
}

// refusedCall is a call that the gateway refuses, and how to get there.
type refusedCall struct {
	code   string
	why    string
	status int // documented, or by the rule of docs/athmovil.md §6.3
	config athmovilsim.Config
	call   func(w *world) answer
}

const (
	foreignPublic  = "0000000000000000000000000000000000000002"
	foreignPrivate = "1111111111111111111111111111111111111112"
)

func otherBusiness(standing athmovilsim.Standing) athmovilsim.Config {
	return athmovilsim.Config{OtherBusinesses: []athmovilsim.Business{
		{Name: "Next Door", PublicToken: foreignPublic, PrivateToken: foreignPrivate, Standing: standing},
	}}
}

func creating(changes object) func(*world) answer {
	return func(w *world) answer { return w.call(http.MethodPost, api+"/payment", sale(changes), nil) }
}

func authorizing(header http.Header) func(*world) answer {
	return func(w *world) answer { return w.call(http.MethodPost, api+"/authorization", object{}, header) }
}

func refundingWith(amount string, changes object) func(*world) answer {
	return func(w *world) answer {
		_, reference := w.pay(nil)
		return w.call(http.MethodPost, api+"/refund", refunding(reference, amount, changes), nil)
	}
}

func reportingOn(from, to string) func(*world) answer {
	return func(w *world) answer {
		return w.call(http.MethodGet, "/transactions/v4/transactionReport", reporting(from, to), nil)
	}
}

func searchingFor(changes object) func(*world) answer {
	return func(w *world) answer {
		return w.call(http.MethodPost, "/api/v4/searchTransaction", searching(changes), nil)
	}
}

// refusedCalls has a row for each code that the documented conditions can
// raise, docs/athmovil.md §1.1–1.9 and §1.12.
func refusedCalls() []refusedCall {
	day := func(w *world, from, to string) answer { return reportingOn(from, to)(w) }
	return []refusedCall{
		{code: "token.invalid.header", why: "no header", status: 401, call: authorizing(nil)},
		{code: "token.expired", why: "after 15 minutes", status: 401, call: func(w *world) answer {
			ticket := w.create(object{"timeout": "5000"})
			w.confirm(ticket.id)
			w.pass(901 * time.Second)
			return w.authorize(ticket.token)
		}},
		{code: "BTRA_0401", why: "forged", status: 401, call: func(w *world) answer {
			head, rest, _ := strings.Cut(w.create(nil).token, ".")
			_, signature, _ := strings.Cut(rest, ".")
			claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x","iss":"Process Payment","exp":9999999999}`))
			return w.authorize(head + "." + claims + "." + signature)
		}},
		{code: "BTRA_0401", why: "not a token", status: 401, call: authorizing(bearer("abc"))},
		{code: "BTRA_0401", why: "unsigned", status: 401, call: func(w *world) answer {
			token, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": "Process Payment", "exp": 9999999999}).
				SignedString(jwt.UnsafeAllowNoneSignatureType)
			require.NoError(w.t, err)
			return w.authorize(token)
		}},
		{code: "BTRA_0402", why: "by setting", status: 401, config: athmovilsim.Config{Settings: athmovilsim.Settings{ExpiredTokenIs0402: true}},
			call: func(w *world) answer {
				ticket := w.create(nil)
				w.pass(901 * time.Second)
				return w.authorize(ticket.token)
			}},
		{code: "BTRA_0403", why: "no bearer", status: 401, call: authorizing(http.Header{"Authorization": {"Basic abc"}})},
		{code: "BTRA_0403", why: "unknown public token", status: 401, call: creating(object{"publicToken": "nobody"})},
		{code: "BTRA_0403", why: "wrong private token", status: 401, call: refundingWith("1.00", object{"privateToken": "wrong"})},
		{code: "BTRA_0017", why: "another ticket's token", status: 401, call: func(w *world) answer {
			mine, other := w.create(object{"phoneNumber": ""}), w.create(nil)
			return w.call(http.MethodPut, api+"/business/updatePhoneNumber",
				object{"ecommerceId": mine.id, "phoneNumber": "7875551234"}, bearer(other.token))
		}},
		{code: "BCUS_0092", why: "business token expired", status: 401, config: otherBusiness(athmovilsim.TokenExpired),
			call: creating(object{"publicToken": foreignPublic})},
		{code: "BTRA_0009", why: "inactive business", status: 409, config: otherBusiness(athmovilsim.Inactive),
			call: creating(object{"publicToken": foreignPublic})},
		{code: "BTRA_0010", why: "suspended business", status: 409, config: otherBusiness(athmovilsim.Suspended),
			call: creating(object{"publicToken": foreignPublic})},

		{code: "BTRA_0001", why: "below a dollar", status: 400, call: creating(object{"total": "0.99"})},
		{code: "BTRA_0004", why: "above 1500", status: 409, call: creating(object{"total": "1500.01"})},
		{code: "BTRA_0013", why: "zero", status: 400, call: creating(object{"total": 0})},
		{code: "BTRA_0020", why: "five digits", status: 400, call: creating(object{"total": "10000.00"})},
		{code: "BTRA_0020", why: "three decimals", status: 400, call: creating(object{"total": "1.005"})},
		{code: "BTRA_0018", why: "blank total", status: 400, call: creating(object{"total": ""})},
		{code: "BTRA_0019", why: "no total", status: 400, call: creating(object{"total": nil})},
		{code: "BTRA_0038", why: "41 characters", status: 400, call: creating(object{"metadata1": strings.Repeat("ñ", 41)})},
		{code: "BTRA_0038", why: "the other one", status: 400, call: creating(object{"metadata2": strings.Repeat("x", 41)})},
		{code: "BTRA_0006", why: "no body", status: 400, call: func(w *world) answer { return w.call(http.MethodPost, api+"/payment", "", nil) }},
		{code: "BTRA_0006", why: "not JSON", status: 400, call: func(w *world) answer { return w.call(http.MethodPost, api+"/payment", "<", nil) }},
		{code: "BTRA_0006", why: "null", status: 400, call: func(w *world) answer { return w.call(http.MethodPost, api+"/payment", "null", nil) }},
		{code: "BTRA_0006", why: "too long a body", status: 400, call: func(w *world) answer {
			return w.call(http.MethodPost, api+"/payment", strings.Repeat(" ", 1<<20+1), nil)
		}},
		{code: "BTRA_0006", why: "exponent", status: 400, call: func(w *world) answer {
			return w.call(http.MethodPost, api+"/payment", `{"publicToken":"`+athmovilsim.DefaultPublicToken+`","total":1e2}`, nil)
		}},
		{code: "BTRA_0006", why: "total is a list", status: 400, call: creating(object{"total": []int{1}})},
		{code: "BTRA_0006", why: "negative tax", status: 400, call: creating(object{"tax": "-1"})},
		{code: "BTRA_0006", why: "eleven digits", status: 400, call: creating(object{"phoneNumber": "17875551234"})},
		{code: "BTRA_0006", why: "short timeout", status: 400, call: creating(object{"timeout": "119"})},
		{code: "BTRA_0006", why: "timeout overflows", status: 400, call: creating(object{"timeout": "9223372036854775807"})},
		{code: "BTRA_0006", why: "items is an object", status: 400, call: creating(object{"items": object{}})},
		{code: "BTRA_0006", why: "no quantity to count", status: 400, call: creating(object{"items": []object{{"name": "a", "quantity": "0", "price": "1"}}})},
		{code: "BTRA_0019", why: "item without a name", status: 400, call: creating(object{"items": []object{{"quantity": 1, "price": "1"}}})},

		{code: "BTRA_0031", why: "unknown ticket", status: 409, call: func(w *world) answer {
			return w.call(http.MethodPost, api+"/business/findPayment", named("0ab257f5-3837-11ed-855f-9b4af5a393ce"), nil)
		}},
		{code: "BTRA_0031", why: "another business's ticket", status: 409, config: otherBusiness(""), call: func(w *world) answer {
			body := named(w.create(nil).id)
			body["publicToken"] = foreignPublic
			return w.call(http.MethodPost, api+"/business/cancel", body, nil)
		}},
		{code: "BTRA_0008", why: "by setting", status: 409,
			config: athmovilsim.Config{OtherBusinesses: otherBusiness("").OtherBusinesses, Settings: athmovilsim.Settings{ForeignTicketIsNamed: true}},
			call: func(w *world) answer {
				body := named(w.create(nil).id)
				body["publicToken"] = foreignPublic
				return w.call(http.MethodPost, api+"/business/findPayment", body, nil)
			}},
		{code: "BTRA_0032", why: "not confirmed", status: 409, call: func(w *world) answer { return w.authorize(w.create(nil).token) }},
		{code: "BTRA_0032", why: "authorized twice", status: 409, call: func(w *world) answer {
			ticket, _ := w.pay(nil)
			return w.authorize(ticket.token)
		}},
		{code: "BTRA_0037", why: "cancelled", status: 409, call: func(w *world) answer {
			ticket := w.create(nil)
			w.cancel(ticket.id)
			return w.authorize(ticket.token)
		}},
		{code: "BTRA_0039", why: "expired though confirmed", status: 409, call: func(w *world) answer {
			ticket := w.create(nil)
			w.confirm(ticket.id)
			w.pass(600 * time.Second)
			return w.authorize(ticket.token)
		}},
		{code: "BTRA_0035", why: "cancelled twice", status: 409, call: func(w *world) answer {
			ticket := w.create(nil)
			w.cancel(ticket.id)
			return w.cancel(ticket.id)
		}},
		{code: "BTRA_0035", why: "cancelled when paid", status: 409, call: func(w *world) answer {
			ticket, _ := w.pay(nil)
			return w.cancel(ticket.id)
		}},
		{code: "BTRA_0035", why: "phone after confirming", status: 409, call: func(w *world) answer {
			ticket := w.create(object{"phoneNumber": ""})
			w.confirm(ticket.id)
			return w.call(http.MethodPut, api+"/business/updatePhoneNumber",
				object{"ecommerceId": ticket.id, "phoneNumber": "7875551234"}, bearer(ticket.token))
		}},
		{code: "BTRA_0041", why: "has a phone", status: 409, call: func(w *world) answer {
			ticket := w.create(nil)
			return w.call(http.MethodPut, api+"/business/updatePhoneNumber",
				object{"ecommerceId": ticket.id, "phoneNumber": "7875551234"}, bearer(ticket.token))
		}},
		{code: "BTRA_0003", why: "own card", status: 409, call: authorizedBy("7875550302")},
		{code: "BTRA_0005", why: "status error", status: 409, call: authorizedBy("7875550303")},
		{code: "BTRA_0044", why: "institution's limits", status: 409, call: authorizedBy("7875550300")},
		{code: "BTRA_0045", why: "card's limits", status: 409, call: authorizedBy("7875550301")},

		{code: "BTRA_0004", why: "over-refund", status: 409, call: refundingWith("25.01", nil)},
		{code: "BTRA_0028", why: "refund of nothing", status: 400, call: refundingWith("0.00", nil)},
		{code: "BTRA_0028", why: "refund below nothing", status: 400, call: refundingWith("-1.00", nil)},
		{code: "BTRA_0020", why: "refund of half a cent", status: 400, call: refundingWith("0.005", nil)},
		{code: "BTRA_0019", why: "refund of no amount", status: 400, call: refundingWith("1.00", object{"amount": nil})},
		{code: "BTRA_0018", why: "no private token", status: 400, call: refundingWith("1.00", object{"privateToken": ""})},
		{code: "BTRA_0040", why: "51 characters", status: 400, call: refundingWith("1.00", object{"message": strings.Repeat("é", 51)})},
		{code: "BTRA_0053", why: "unknown reference", status: 409, call: func(w *world) answer { return w.refund("1-2", "1.00") }},
		{code: "BTRA_0043", why: "another business's payment", status: 409, config: otherBusiness(""), call: func(w *world) answer {
			return refundingWith("1.00", object{"publicToken": foreignPublic, "privateToken": foreignPrivate})(w)
		}},
		{code: "BTRA_0030", why: "refund fails", status: 409, call: func(w *world) answer {
			_, reference := w.pay(object{"phoneNumber": "7875550304"})
			return w.refund(reference, "1.00")
		}},

		{code: "BTRA_0006", why: "listener without TLS", status: 400, call: func(w *world) answer {
			return w.call(http.MethodPost, "/transactions/webhook/post", subscribing("http://shop.example/hook"), nil)
		}},
		{code: "BTRA_0006", why: "flag is not a boolean", status: 400, call: func(w *world) answer {
			body := subscribing("https://shop.example/hook")
			body["refundSentEvent"] = "maybe"
			return w.call(http.MethodPost, "/transactions/webhook/post", body, nil)
		}},

		{code: "BTRA_0022", why: "no transaction ever", status: 409, call: reportingOn("2025-12-08 00:00:00", "2025-12-08 01:00:00")},
		{code: "BTRA_0046", why: "none that day", status: 409, call: func(w *world) answer {
			w.pay(nil)
			return day(w, "2025-12-07 00:00:00", "2025-12-07 23:59:59")
		}},
		{code: "BTRA_0023", why: "from is not a date", status: 400, call: reportingOn("2025-13-01 00:00:00", "2025-12-08 01:00:00")},
		{code: "BTRA_0024", why: "to is not a date", status: 400, call: reportingOn("2025-12-01 00:00:00", "today")},
		{code: "BTRA_0025", why: "from is after to", status: 400, call: reportingOn("2025-12-08 01:00:00", "2025-12-08 00:00:00")},
		{code: "BTRA_0026", why: "31 days", status: 400, call: reportingOn("2025-11-01 00:00:00", "2025-12-02 00:00:00")},
		{code: "BTRA_0047", why: "from is to come", status: 400, call: reportingOn("2025-12-09 00:00:00", "2025-12-09 01:00:00")},
		{code: "BTRA_0048", why: "to is tomorrow", status: 400, call: reportingOn("2025-12-08 00:00:00", "2025-12-09 00:00:00")},
		{code: "BTRA_0019", why: "report without a date", status: 400, call: func(w *world) answer {
			return w.call(http.MethodGet, "/transactions/v4/transactionReport", searching(nil), nil)
		}},
		{code: "BTRA_0029", why: "search for nothing", status: 400, call: searchingFor(nil)},
		{code: "5010", why: "nothing found", status: 409, call: searchingFor(object{"metadata1": "nothing"})},
		{code: "3010", why: "unknown public token", status: 401, call: searchingFor(object{"publicToken": "nobody"})},
		{code: "3030", why: "no public token", status: 401, call: searchingFor(object{"publicToken": ""})},
		{code: "3040", why: "wrong private token", status: 401, call: searchingFor(object{"privateToken": "wrong"})},
		{code: "3060", why: "no private token", status: 401, call: searchingFor(object{"privateToken": ""})},
		{code: "3070", why: "two accounts", status: 401, config: otherBusiness(""), call: searchingFor(object{"privateToken": foreignPrivate})},
	}
}

// authorizedBy lets a scripted customer confirm and returns the answer to the
// authorization.
func authorizedBy(phone string) func(*world) answer {
	return func(w *world) answer {
		ticket := w.create(object{"phoneNumber": phone})
		w.pass(time.Second)
		return w.authorize(ticket.token)
	}
}

// subscribing is the body of a subscription to everything.
func subscribing(listener string) object {
	return object{
		"publicToken": athmovilsim.DefaultPublicToken, "privateToken": athmovilsim.DefaultPrivateToken,
		"listenerURL": listener, "paymentReceivedEvent": true, "refundSentEvent": true, "donationReceivedEvent": true,
		"ecommercePaymentReceivedEvent": true, "ecommercePaymentCancelledEvent": true, "ecommercePaymentExpiredEvent": true,
	}
}

func TestRefusedCallsCreditNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range refusedCalls() {
		t.Run(tt.code+" "+tt.why, func(t *testing.T) {
			t.Parallel()
			w := start(t, tt.config)
			got := tt.call(w)
			require.Equal(t, tt.code, got.code(t), "%s", got.body)
			require.Equal(t, tt.status, got.status)
			_, credits := w.books()
			require.Equal(t, "0.00", credits, "a refused call moves no money")
		})
	}
}

// TestFaultCanReturnEveryCode raises each code of docs/athmovil.md §1.12 by a
// fault, so that a client can meet those that no documented condition raises.
func TestFaultCanReturnEveryCode(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "athmovil.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(doc), "\n## 1.12 ")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n# 2")
	for _, code := range regexp.MustCompile(`BTRA_\d{4}`).FindAllString(section, -1) {
		require.Contains(t, athmovilsim.Codes(), code)
	}
	for _, code := range athmovilsim.Codes() {
		w.post("/_sim/faults", object{"op": "create", "fault": "error_code", "code": code})
		got := w.call(http.MethodPost, api+"/payment", sale(nil), nil)
		require.Equal(t, code, got.code(t))
		require.Equal(t, athmovilsim.StatusOf(code), got.status, code)
	}
	require.Empty(t, w.get("/_sim/tickets")["tickets"], "none of them made a ticket")
}

func TestExpiredTokenErrorHasItsDate(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	w.post("/_sim/clock", object{"stop": true})
	ticket := w.create(object{"timeout": "5000"})
	w.pass(15 * time.Minute)
	require.Regexp(t, `^The Token has expired on Mon Dec 08 16:45:\d\d AST 2025\.$`, w.authorize(ticket.token).object(t)["message"])
}

func TestEachSettingChangesItsAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings athmovilsim.Settings
		check    func(t *testing.T, w *world)
	}{
		{"status of a code", athmovilsim.Settings{HTTPStatus: map[string]int{"BTRA_0031": 404}}, func(t *testing.T, w *world) {
			require.Equal(t, http.StatusNotFound, w.cancel("nobody's").status)
		}},
		{"authorize twice", athmovilsim.Settings{AuthorizeTwiceSucceeds: true}, func(t *testing.T, w *world) {
			ticket, reference := w.pay(nil)
			require.Equal(t, reference, w.authorize(ticket.token).data(t)["referenceNumber"])
			debits, _ := w.books()
			require.Equal(t, "25.00", debits, "once")
		}},
		{"cancel twice", athmovilsim.Settings{CancelTwiceSucceeds: true}, func(t *testing.T, w *world) {
			ticket := w.create(nil)
			require.Equal(t, http.StatusOK, w.cancel(ticket.id).status)
			require.Equal(t, http.StatusOK, w.cancel(ticket.id).status)
			require.Equal(t, "CANCEL", w.listener.next(t)["status"])
			w.quiet()
		}},
		{"confirm stops the timer", athmovilsim.Settings{ConfirmStopsTimer: true}, func(t *testing.T, w *world) {
			ticket := w.create(nil)
			w.confirm(ticket.id)
			w.pass(700 * time.Second)
			require.Equal(t, "COMPLETED", w.authorize(ticket.token).data(t)["ecommerceStatus"])
		}},
		{"refund echoes the reference", athmovilsim.Settings{RefundEchoesReference: true}, func(t *testing.T, w *world) {
			_, reference := w.pay(nil)
			require.Equal(t, reference, w.refund(reference, "1.00").data(t)["refund"].(object)["referenceNumber"])
		}},
		{"refund date in milliseconds", athmovilsim.Settings{}, refundDate(`^17652258\d{5}$`)},
		{"refund date in seconds", athmovilsim.Settings{RefundDate: athmovilsim.RefundDateSeconds}, refundDate(`^17652258\d\d$`)},
		{"refund date in words", athmovilsim.Settings{RefundDate: athmovilsim.RefundDateNaive}, refundDate(`^2025-12-08 16:3\d:\d\d\.0$`)},
		{"silent cancel", athmovilsim.Settings{MerchantCancelIsSilent: true}, func(t *testing.T, w *world) {
			require.Equal(t, http.StatusOK, w.cancel(w.create(nil).id).status)
			w.quiet()
		}},
		{"webhook delay", athmovilsim.Settings{WebhookDelay: 3 * time.Second}, func(t *testing.T, w *world) {
			w.pay(nil)
			w.pass(2 * time.Second)
			require.Empty(t, w.listener.bodies)
			w.pass(time.Second)
			require.Equal(t, "2025-12-08 16:30:52", w.listener.next(t)["date"], "as captured: three seconds after the payment")
		}},
		{"long timeout accepted", athmovilsim.Settings{}, lifetime("5000", 5000*time.Second)},
		{"long timeout clamped", athmovilsim.Settings{LongTimeout: athmovilsim.LongTimeoutClamped}, lifetime("5000", 600*time.Second)},
		{"long timeout refused", athmovilsim.Settings{LongTimeout: athmovilsim.LongTimeoutRefused}, func(t *testing.T, w *world) {
			require.Equal(t, "BTRA_0006", creating(object{"timeout": "601"})(w).code(t))
			w.create(object{"timeout": "600"})
		}},
		{"no timeout", athmovilsim.Settings{}, lifetime("", 600*time.Second)},
		{"phone at any time", athmovilsim.Settings{PhoneAtAnyTime: true}, func(t *testing.T, w *world) {
			ticket := w.create(object{"phoneNumber": ""})
			w.confirm(ticket.id)
			got := w.call(http.MethodPut, api+"/business/updatePhoneNumber",
				object{"ecommerceId": ticket.id, "phoneNumber": "7875551234"}, bearer(ticket.token))
			require.Equal(t, http.StatusOK, got.status)
		}},
		{"fee rounds down", athmovilsim.Settings{FeeRoundsDown: true, PlainFees: true}, func(t *testing.T, w *world) {
			ticket, _ := w.pay(object{"total": "3.00"})
			require.InDelta(t, 0.06, w.find(ticket.id)["fee"], 0)
		}},
		{"report of two days", athmovilsim.Settings{ReportDays: 2}, func(t *testing.T, w *world) {
			require.Equal(t, "BTRA_0026", reportingOn("2025-12-01 00:00:00", "2025-12-03 00:00:00")(w).code(t))
		}},
		{"report without refunds", athmovilsim.Settings{ReportOmitsRefunds: true}, func(t *testing.T, w *world) {
			_, reference := w.pay(nil)
			w.refund(reference, "1.00")
			w.pass(time.Minute)
			require.Len(t, reportRows(t, w), 1)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			began, err := time.Parse(time.RFC3339, epoch)
			require.NoError(t, err)
			tt.check(t, start(t, athmovilsim.Config{Settings: tt.settings, Now: func() time.Time { return began }}))
		})
	}
}

func refundDate(pattern string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		_, reference := w.pay(nil)
		require.Regexp(t, pattern, w.refund(reference, "1.00").data(t)["refund"].(object)["date"])
	}
}

func lifetime(timeout string, want time.Duration) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		ticket := w.create(object{"timeout": timeout})
		w.pass(want - time.Second)
		require.Equal(t, "OPEN", w.status(ticket.id))
		w.pass(time.Second)
		require.Equal(t, "CANCEL", w.status(ticket.id))
	}
}

// reportRows reports the first hour of the world.
func reportRows(t *testing.T, w *world) []object {
	t.Helper()
	body := reportingOn("2025-12-08 16:00:00", "2025-12-08 16:31:00")(w).body
	var rows []object
	require.NoError(t, json.Unmarshal(body, &rows), "%s", body)
	return rows
}

func TestReport(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	_, reference := w.pay(nil)
	w.pay(object{"total": "3.00", "metadata1": "order 1043"})
	w.create(nil) // an open ticket is not a transaction
	w.pass(time.Second)
	w.refund(reference, "4.00")
	w.pass(time.Minute)
	rows := reportRows(t, w)
	require.Len(t, rows, 3)
	require.Equal(t, reference+" ", rows[0]["referenceNumber"], "with the trailing space that was seen")
	require.InDelta(t, 4, rows[0]["totalRefundAmount"], 0)
	require.InDelta(t, 2, rows[1]["dailyTransactionID"], 0)
	require.Equal(t, "REFUND", rows[2]["transactionType"])
	require.Equal(t, "wrong size", rows[2]["message"])
	require.InDelta(t, 4, rows[2]["total"], 0)
	var today []object
	require.NoError(t, json.Unmarshal(reportingOn("2025-12-08 00:00:00", "2025-12-08 23:59:59")(w).body, &today))
	require.Equal(t, rows, today, "to the end of a day that is not over, as clients ask")
}

// The fraction of a second is always .0, whenever something happens.
func TestLegacyTimesHaveNoFraction(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 12, 8, 20, 30, 49, 678_000_000, time.UTC)
	w := start(t, athmovilsim.Config{
		Now: func() time.Time { return at }, Settings: athmovilsim.Settings{RefundDate: athmovilsim.RefundDateNaive},
	})
	_, reference := w.pay(nil)
	require.Equal(t, "2025-12-08 16:30:49", w.listener.next(t)["transactionDate"])
	require.Equal(t, "2025-12-08 16:30:49.0", w.refund(reference, "1.00").data(t)["refund"].(object)["date"])
	w.listener.next(t)
	require.Equal(t, "2025-12-08 16:30:49.0", reportRows(t, w)[0]["date"])
	require.Equal(t, "2025-12-08 16:30:49.0", searchingFor(object{"referenceNumber": reference, "message": ""})(w).object(t)["date"])
	w.post("/_sim/webhooks", object{"kind": "simulated"})
	require.Equal(t, "2025-12-08 16:30:49.0", w.listener.next(t)["date"])
}

func TestSearch(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	_, reference := w.pay(nil)
	w.pay(object{"total": "3.00", "metadata1": "order 1043"})
	tests := []struct {
		wanted object
		count  int
	}{
		{object{"referenceNumber": reference}, 1},
		{object{"metadata1": "order 1043"}, 1},
		{object{"total": 3}, 1},
		{object{"total": "25"}, 1},
		{object{"dailyTransactionID": "2"}, 1},
		{object{"phoneNumber": "(787) 555-1234"}, 2},
		{object{"metadata2": "San Juan", "name": "Valeria Herrero"}, 2},
		{object{"metadata1": "order 1043", "total": "25.00"}, 0},
	}
	for _, tt := range tests {
		got := searchingFor(tt.wanted)(w)
		switch tt.count {
		case 0:
			require.Equal(t, "5010", got.code(t))
		case 1:
			require.Equal(t, "ECOMMERCE", got.object(t)["transactionType"])
			require.Contains(t, got.object(t), "totalRefundedAmount", "a report spells it differently")
		default:
			var rows []object
			require.NoError(t, json.Unmarshal(got.body, &rows))
			require.Len(t, rows, tt.count)
		}
	}
}

func TestUnknownPathsAndMethodsAreRefused(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	require.Equal(t, http.StatusNotFound, w.call(http.MethodPost, api+"/business/webhook/subscribe", nil, nil).status, "docs/athmovil.md §1.7")
	require.Equal(t, http.StatusMethodNotAllowed, w.call(http.MethodGet, api+"/payment", nil, nil).status)
	require.Equal(t, http.StatusNotFound, w.call(http.MethodGet, "/_sim/books", nil, nil).status, "merchants see no control surface")
}

// TestDailyIDsRestartEachDay crosses midnight in Puerto Rico.
func TestDailyIDsRestartEachDay(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{OtherBusinesses: otherBusiness("").OtherBusinesses})
	daily := func(changes object) any {
		ticket := w.create(changes)
		w.confirm(ticket.id)
		return w.authorize(ticket.token).data(t)["dailyTransactionId"]
	}
	require.Equal(t, "0001", daily(nil))
	require.Equal(t, "0002", daily(nil))
	require.Equal(t, "0001", daily(object{"publicToken": foreignPublic}), "another business counts for itself")
	w.pass(8 * time.Hour) // half past midnight there, long past it in UTC
	require.Equal(t, "0001", daily(nil))
}

func TestNewReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := athmovilsim.New(athmovilsim.Config{
		WebhookURL: "shop.example", MinTimeout: time.Millisecond,
		OtherBusinesses: []athmovilsim.Business{
			{PublicToken: athmovilsim.DefaultPublicToken, PrivateToken: "x", Standing: "asleep"}, {},
		},
		Settings: athmovilsim.Settings{
			RefundDate: "lunar", LongTimeout: "maybe", WebhookRetries: -1,
			HTTPStatus: map[string]int{"BTRA_1234": 409, "BTRA_0031": 1},
		},
	})
	for _, want := range []string{
		"WebhookURL", "MinTimeout", "RefundDate", "LongTimeout", "WebhookRetries", `"BTRA_1234"`, "1 is not a final",
		"OtherBusinesses[0]: another", "standing", "OtherBusinesses[1]: both",
	} {
		require.ErrorContains(t, err, want)
	}
}

// TestZeroConfigWorks starts a simulator with an empty Config, which generates its key.
func TestZeroConfigWorks(t *testing.T) {
	t.Parallel()
	sim, err := athmovilsim.New(athmovilsim.Config{})
	require.NoError(t, err)
	server := httptest.NewServer(sim.Gateway())
	w := &world{t: t, gateway: server}
	w.create(nil)
	server.Close()
	require.NoError(t, sim.Close())
	require.NoError(t, sim.Close(), "twice is harmless")
}
