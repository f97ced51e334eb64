package athmovilsim

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

//go:embed phone.html phone.css phone.js
var phoneFiles embed.FS

// pageText is the text of the phone page in one language.
type pageText struct {
	Lang, Title, Heading, Waiting, Nothing, Hint, Confirm, Cancel, To, TimeLeft, Earlier string
	Tax, Customer, Other, OtherCode                                                      string
	statuses                                                                             map[string]string
	errors                                                                               map[string]string
	failed                                                                               string
}

// pageTextIn returns the text in Spanish for "es", and in English otherwise.
func pageTextIn(lang string) pageText {
	if lang == "es" {
		return pageText{
			Lang: "es", Title: "Teléfono del cliente", Heading: "Pagos", Waiting: "Pendientes de tu decisión",
			Nothing: "No hay pagos pendientes", Hint: "Un pago aparece aquí en cuanto un comercio lo pide.",
			Confirm: "Confirmar", Cancel: "Cancelar", To: "Pago a", TimeLeft: "Tiempo restante",
			Earlier: "Actividad", Tax: "Impuesto", Customer: "Teléfono", Other: "English", OtherCode: "en",
			statuses: map[string]string{
				"CONFIRM": "Confirmado", "COMPLETED": "Pagado", "CANCEL": "Cancelado",
				string(byTimer): "Expirado", "REFUNDED": "Devuelto",
			},
			errors: map[string]string{
				codeOwnCard:       "La tarjeta del cliente es la misma del comercio.",
				codeWrongStatus:   "Este pago ya se decidió.",
				codeOtherCustomer: "Este pago es de otro cliente.",
				codeCancelled:     "Este pago fue cancelado.",
				codeTicketExpired: "El tiempo para este pago terminó.",
				codeUnknownTicket: "Este pago no existe.",
			},
			failed: "No se pudo.",
		}
	}
	return pageText{
		Lang: "en", Title: "The customer's phone", Heading: "Payments", Waiting: "Waiting for you",
		Nothing: "No payments are waiting", Hint: "A payment shows up here as soon as a business asks for one.",
		Confirm: "Confirm", Cancel: "Cancel", To: "Pay", TimeLeft: "Time left",
		Earlier: "Activity", Tax: "Tax", Customer: "Phone", Other: "Español", OtherCode: "es",
		statuses: map[string]string{
			"CONFIRM": "Confirmed", "COMPLETED": "Paid", "CANCEL": "Canceled",
			string(byTimer): "Expired", "REFUNDED": "Refunded",
		},
		errors: map[string]string{
			codeOwnCard:       "The customer's card is the business's own card.",
			codeWrongStatus:   "This payment has already been decided.",
			codeOtherCustomer: "This payment belongs to another customer.",
			codeCancelled:     "This payment was canceled.",
			codeTicketExpired: "This payment has expired.",
			codeUnknownTicket: "This payment does not exist.",
		},
		failed: "That did not work.",
	}
}

// of returns the status of a ticket as the customer reads it.
func (p pageText) of(v ticketView) string {
	switch {
	case v.EndedBy == byTimer:
		return p.statuses[string(byTimer)]
	case v.Status == statusCompleted && v.Refunded == v.Total:
		return p.statuses["REFUNDED"]
	default:
		return p.statuses[string(v.Status)]
	}
}

// errorText describes the error code of a decision.
func (p pageText) errorText(code string) string {
	if code == "" {
		return ""
	}
	if known := p.errors[code]; known != "" {
		return known
	}
	return p.failed
}

// How many tickets the phone page shows.
const (
	pendingLimit = 50
	earlierLimit = 8
)

// phonePage is the data of phone.html.
type phonePage struct {
	Text    pageText
	Phone   string // if not empty, only this customer's tickets are shown
	Error   string
	Pending []phoneCard
	Earlier []phoneCard
}

type phoneCard struct {
	ticketView
	PhoneText string // formatted, or empty
	Left      string // minutes and seconds
	State     string
	HasTax    bool
}

func (s *Simulator) phoneRoutes(mux *http.ServeMux) {
	page := template.Must(template.ParseFS(phoneFiles, "phone.html"))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { s.showPhone(page, w, r) })
	mux.HandleFunc("POST /tickets/{ecommerceId}/{decision}", s.decideOnPhone)
	mux.Handle("GET /phone.css", http.FileServerFS(phoneFiles))
	mux.Handle("GET /phone.js", http.FileServerFS(phoneFiles))
}

func (s *Simulator) showPhone(page *template.Template, w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	view := phonePage{Text: pageTextIn(language(r)), Phone: query.Get("phone")}
	view.Error = view.Text.errorText(query.Get("error"))
	err := s.view(func(now time.Time) {
		for _, t := range slices.Backward(s.state.all()) {
			if view.Phone != "" && view.Phone != t.Phone {
				continue
			}
			v := s.viewOf(t)
			card := phoneCard{v, formatPhone(t.Phone), minutes(t.ExpiresAt.Sub(now)), view.Text.of(v), t.Tax > 0}
			switch {
			case t.Status == statusOpen && len(view.Pending) < pendingLimit:
				view.Pending = append(view.Pending, card)
			case t.Status != statusOpen && len(view.Earlier) < earlierLimit:
				view.Earlier = append(view.Earlier, card)
			}
		}
	})
	if err != nil {
		http.Error(w, "athmovilsim: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept-Language")
	if err := page.Execute(w, view); err != nil {
		s.logger.Error("phone page is incomplete", "error", err)
	}
}

// decideOnPhone handles the page's forms, then redirects to the page.
func (s *Simulator) decideOnPhone(w http.ResponseWriter, r *http.Request) {
	decision := action(r.PathValue("decision"))
	if decision != actionConfirm && decision != actionCancel {
		http.NotFound(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	back := url.Values{}
	for _, name := range []string{"lang", "phone"} {
		if value := r.PostFormValue(name); value != "" {
			back.Set(name, value)
		}
	}
	if err := s.decide(r.PathValue("ecommerceId"), decision, ""); err != nil {
		back.Set("error", codeInternal)
		var refused *refusal
		if errors.As(err, &refused) {
			back.Set("error", refused.code)
		}
	}
	http.Redirect(w, r, "/?"+back.Encode(), http.StatusSeeOther)
}

// language is the language in the query or, without one, the one that the browser
// prefers.
func language(r *http.Request) string {
	if lang := r.URL.Query().Get("lang"); lang == "es" || lang == "en" {
		return lang
	}
	// Browsers list languages in order of preference, so the weights do not matter.
	for entry := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(entry)), ";")
		lang, _, _ := strings.Cut(tag, "-")
		if lang == "es" || lang == "en" {
			return lang
		}
	}
	return "en"
}

// minutes writes a duration as a countdown, such as "9:59".
func minutes(d time.Duration) string {
	seconds := max(0, int(d/time.Second))
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}
