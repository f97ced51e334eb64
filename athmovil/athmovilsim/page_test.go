package athmovilsim_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// page reads the phone page.
func (w *world) page(path, language string) string {
	w.t.Helper()
	got, err := w.try(w.control, http.MethodGet, path, nil, http.Header{"Accept-Language": {language}})
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, got.status)
	return string(got.body)
}

func TestPhonePage(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{BusinessName: "Ana & <b>Hijos</b>"})
	require.Contains(t, w.page("/", "en"), "No payments are waiting")
	ticket := w.create(nil)
	body := w.page("/", "en")
	for _, want := range []string{
		`<html lang="en">`, "Ana &amp; &lt;b&gt;Hijos&lt;/b&gt;", "$25.00", "1 × Coffee", "$22.50", "$2.50",
		"(787) 555-1234", "10:00", `action="/tickets/` + ticket.id + `/confirm"`, `action="/tickets/` + ticket.id + `/cancel"`,
		`aria-label="Confirm $25.00, `, "<noscript>",
	} {
		require.Contains(t, body, want)
	}
	require.NotContains(t, body, "http://", "the page needs nothing from elsewhere")
	require.NotContains(t, body, "https://")
	w.pass(61 * time.Second)
	require.Contains(t, w.page("/", "en"), "8:59")

	w.create(object{"phoneNumber": "7875550000", "total": "7.00"})
	require.Contains(t, w.page("/", "en"), "$7.00")
	require.NotContains(t, w.page("/?phone=7875551234", "en"), "$7.00")
	require.Contains(t, w.page("/?phone=7875551234", "en"), "$25.00")
}

func TestPhonePageLanguages(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	w.create(nil)
	tests := []struct{ path, accept, want string }{
		{"/", "", "Confirm<"},
		{"/", "es-PR,es;q=0.9,en;q=0.8", "Confirmar<"},
		{"/", "en-US,en;q=0.9,es;q=0.8", "Confirm<"},
		{"/", "fr-FR, ES;q=0.5", "Confirmar<"},
		{"/", "de", "Confirm<"},
		{"/?lang=es", "en", "Confirmar<"},
		{"/?lang=en", "es", "Confirm<"},
		{"/?lang=xx", "es", "Confirmar<"},
	}
	for _, tt := range tests {
		require.Contains(t, w.page(tt.path, tt.accept), tt.want, tt.path+" "+tt.accept)
	}
}

// TestPhonePageWorksWithoutScript confirms and cancels with plain form posts.
func TestPhonePageWorksWithoutScript(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	submit := func(path string) answer {
		form := url.Values{"lang": {"es"}, "phone": {"7875551234"}}
		got, err := w.try(w.control, http.MethodPost, path, form.Encode(),
			http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}})
		require.NoError(t, err)
		return got
	}
	first, second := w.create(nil), w.create(nil)
	require.Equal(t, http.StatusSeeOther, submit("/tickets/"+first.id+"/confirm").status)
	require.Equal(t, "CONFIRM", w.status(first.id))
	require.Contains(t, w.page("/?lang=es", ""), "Confirmado")
	require.Equal(t, http.StatusSeeOther, submit("/tickets/"+second.id+"/cancel").status)
	require.Equal(t, "CANCEL", w.status(second.id))
	require.Equal(t, http.StatusNotFound, submit("/tickets/"+second.id+"/steal").status)

	submit("/tickets/" + first.id + "/confirm")
	require.Contains(t, w.page("/?error=BTRA_0035&lang=es", ""), "Este pago ya se decidió.")
	require.Contains(t, w.page("/?error=BTRA_0039", "en"), "This payment has expired.")
	require.NotContains(t, w.page("/?error=%3Cscript%3E", "en"), "<script>")
}

func TestPhonePageShowsOutcomes(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	w.create(nil)
	w.pass(600 * time.Second)
	w.cancel(w.create(nil).id)
	_, reference := w.pay(nil)
	body := w.page("/", "en")
	for _, want := range []string{"Expired", "Canceled", "Paid"} {
		require.Equal(t, 1, strings.Count(body, ">"+want+"<"), want)
	}
	w.refund(reference, "25.00")
	require.Contains(t, w.page("/", "en"), ">Refunded<")
}

func TestPhonePageAssets(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	for path, kind := range map[string]string{"/phone.css": "text/css", "/phone.js": "text/javascript", "/": "text/html"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.control.URL+path, nil)
		require.NoError(t, err)
		res, err := w.control.Client().Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Contains(t, res.Header.Get("Content-Type"), kind)
		if path == "/" {
			require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
		}
	}
	got, err := w.try(w.control, http.MethodGet, "/phone.html", nil, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, got.status, "the template is not a page")
}
