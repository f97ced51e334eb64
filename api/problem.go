package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/payment"
)

// Kinds of refusal that only HTTP has. Those of the use cases are [app.Kind]'s.
const (
	bodyMalformed    app.Kind = "body_malformed"
	parameterInvalid app.Kind = "parameter_invalid"
	keyMalformed     app.Kind = "key_malformed"
	unauthorized     app.Kind = "unauthorized"
	noRoute          app.Kind = "no_route"
	methodNotAllowed app.Kind = "method_not_allowed"
	bodyTooLarge     app.Kind = "body_too_large"
	mediaType        app.Kind = "media_type"
	rateLimited      app.Kind = "rate_limited"
)

// row is what a problem document says in every case.
type row struct {
	status int
	code   string // for programs: stable, documented, never renamed
	en, es text
}

// text is what a problem document says to people.
type text struct{ title, detail string }

// rowOf is the one table from errors to answers.
func rowOf(k app.Kind) row {
	switch k {
	case bodyMalformed:
		return row{http.StatusBadRequest, "body_malformed",
			text{"The body cannot be read", "Send one JSON object in UTF-8, with each member once and nothing after it."},
			text{"No se puede leer el cuerpo", "Envía un solo objeto JSON en UTF-8, con cada campo una vez y nada después."}}
	case parameterInvalid:
		return row{http.StatusBadRequest, "parameter_invalid",
			text{"A query parameter cannot be used", "Correct the parameters listed in errors."},
			text{"Un parámetro no se puede usar", "Corrige los parámetros indicados en errors."}}
	case keyMalformed:
		return row{http.StatusBadRequest, "idempotency_key_malformed",
			text{"The Idempotency-Key cannot be read", "Send one header with 1 to 255 printable ASCII characters, bare or in double quotes."},
			text{"No se puede leer la Idempotency-Key", "Envía una sola cabecera de 1 a 255 caracteres ASCII imprimibles, con o sin comillas dobles."}}
	case app.KindKeyRequired:
		return row{http.StatusBadRequest, "idempotency_key_required",
			text{"An Idempotency-Key is required", "Send an Idempotency-Key header, so that a repeated request never refunds twice."},
			text{"Hace falta una Idempotency-Key", "Envía la cabecera Idempotency-Key, para que una petición repetida nunca reembolse dos veces."}}
	case unauthorized:
		return row{http.StatusUnauthorized, "unauthorized",
			text{"An API key is required", "Send a valid key as Authorization: Bearer KEY."},
			text{"Hace falta una clave de API", "Envía una clave válida como Authorization: Bearer CLAVE."}}
	case noRoute:
		return row{http.StatusNotFound, "not_found",
			text{"Nothing is here", "No resource has this address."},
			text{"Aquí no hay nada", "Ningún recurso tiene esta dirección."}}
	case app.KindPaymentNotFound:
		return row{http.StatusNotFound, "payment_not_found",
			text{"The payment is not known", "No payment has this id. One that was answered with 202 may take a moment to appear."},
			text{"No se conoce el pago", "Ningún pago tiene este id. Uno contestado con 202 puede tardar un momento en aparecer."}}
	case app.KindRefundNotFound:
		return row{http.StatusNotFound, "refund_not_found",
			text{"The refund is not known", "The payment has no refund with this id."},
			text{"No se conoce el reembolso", "El pago no tiene ningún reembolso con este id."}}
	case app.KindNotificationNotFound:
		return row{http.StatusNotFound, "notification_not_found",
			text{"The notification is not known", "No notification has this id."},
			text{"No se conoce la notificación", "Ninguna notificación tiene este id."}}
	case app.KindNotInReview:
		return row{http.StatusConflict, "not_in_review",
			text{"Nothing is to be decided here", "No review is open: the outcome is known, or was never in doubt."},
			text{"Aquí no hay nada que decidir", "No hay ninguna revisión abierta: el resultado se conoce, o nunca se dudó de él."}}
	case app.KindReviewContradicted:
		return row{http.StatusConflict, "review_contradicted",
			text{"ATH Móvil says otherwise", "A fresh look contradicts the verdict; what it says is in gateway_message. Nothing was decided by this request."},
			text{"ATH Móvil dice otra cosa", "Una nueva consulta contradice el veredicto; lo que dice está en gateway_message. Esta petición no decidió nada."}}
	case methodNotAllowed:
		return row{http.StatusMethodNotAllowed, "method_not_allowed",
			text{"The method is not allowed here", "Use one of the methods in the Allow header."},
			text{"El método no se permite aquí", "Usa uno de los métodos de la cabecera Allow."}}
	case app.KindReferenceInUse:
		return row{http.StatusConflict, "payment_in_progress",
			text{"The reference has an unfinished payment", "Wait until that payment ends, or cancel it, before asking for another with its reference."},
			text{"La referencia tiene un pago sin terminar", "Espera a que ese pago termine, o cancélalo, antes de pedir otro con su referencia."}}
	case app.KindNotCancellable:
		return row{http.StatusConflict, "payment_not_cancellable",
			text{"The payment cannot be cancelled any more", "It has ended; how is in payment_status."},
			text{"El pago ya no se puede cancelar", "Ya terminó; cómo está en payment_status."}}
	case app.KindNotCompleted:
		return row{http.StatusConflict, "payment_not_completed",
			text{"Only a completed payment can be refunded", "The status of this one is in payment_status."},
			text{"Solo se reembolsa un pago completado", "El estado de este está en payment_status."}}
	case app.KindPaymentEnded:
		return row{http.StatusConflict, "payment_ended",
			text{"The payment has ended", "Nothing in it can be changed; its status is in payment_status."},
			text{"El pago terminó", "Nada en él se puede cambiar; su estado está en payment_status."}}
	case app.KindPhoneDeclined:
		return row{http.StatusConflict, "gateway_declined",
			text{"ATH Móvil did not take the phone number", "Its answer is in gateway_code and gateway_message. The payment goes on as it was."},
			text{"ATH Móvil no aceptó el número de teléfono", "Su respuesta está en gateway_code y gateway_message. El pago sigue como estaba."}}
	case app.KindRefundInProgress:
		return row{http.StatusConflict, "refund_in_progress",
			text{"Another refund of the payment is not settled", "Wait until it is, then ask again with a new Idempotency-Key. Nothing was refunded by this request."},
			text{"Otro reembolso del pago no ha terminado", "Espera a que termine y vuelve a pedirlo con otra Idempotency-Key. Esta petición no reembolsó nada."}}
	case app.KindRefundExceeds:
		return row{http.StatusConflict, "refund_exceeds_balance",
			text{"The refund is more than what is left", "The most that can still be refunded is in left."},
			text{"El reembolso es mayor que lo que queda", "Lo máximo que aún se puede reembolsar está en left."}}
	case bodyTooLarge:
		return row{http.StatusRequestEntityTooLarge, "body_too_large",
			text{"The body is too large", "Send fewer bytes."},
			text{"El cuerpo es demasiado grande", "Envía menos bytes."}}
	case mediaType:
		return row{http.StatusUnsupportedMediaType, "unsupported_media_type",
			text{"The body must be JSON", "Send it with Content-Type: application/json."},
			text{"El cuerpo debe ser JSON", "Envíalo con Content-Type: application/json."}}
	case app.KindInvalid:
		return row{http.StatusUnprocessableEntity, "validation_failed",
			text{"The request breaks a rule", "Correct the fields listed in errors. Nothing was done."},
			text{"La petición no cumple una regla", "Corrige los campos indicados en errors. No se hizo nada."}}
	case app.KindKeyReused:
		return row{http.StatusUnprocessableEntity, "idempotency_key_reused",
			text{"The Idempotency-Key belongs to another request", "Use a new key for a new request, or repeat the first one unchanged."},
			text{"La Idempotency-Key es de otra petición", "Usa una clave nueva para otra petición, o repite la primera sin cambios."}}
	case app.KindDeclined:
		return row{http.StatusUnprocessableEntity, "gateway_declined",
			text{"ATH Móvil refused the payment", "Its answer is in gateway_code and gateway_message. A new try needs a new Idempotency-Key."},
			text{"ATH Móvil rechazó el pago", "Su respuesta está en gateway_code y gateway_message. Otro intento necesita otra Idempotency-Key."}}
	case rateLimited:
		return row{http.StatusTooManyRequests, "rate_limited",
			text{"Too many requests", "Wait for the seconds in the Retry-After header."},
			text{"Demasiadas peticiones", "Espera los segundos de la cabecera Retry-After."}}
	case app.KindGatewayUnavailable:
		return row{http.StatusServiceUnavailable, "gateway_unavailable",
			text{"ATH Móvil cannot be reached", "The payment failed and nobody was charged. A new try needs a new Idempotency-Key."},
			text{"No se puede contactar a ATH Móvil", "El pago falló y no se le cobró a nadie. Otro intento necesita otra Idempotency-Key."}}
	case app.KindUnavailable:
		return row{http.StatusServiceUnavailable, "temporarily_unavailable",
			text{"Cobro cannot do this at the moment", "Ask again with the same Idempotency-Key: nothing is done twice."},
			text{"Cobro no puede hacer esto en este momento", "Vuelve a pedirlo con la misma Idempotency-Key: nada se hace dos veces."}}
	case app.KindInternal:
		fallthrough
	default:
		return row{http.StatusInternalServerError, "internal",
			text{"Something went wrong in Cobro", "The cause is in Cobro's log under the request_id."},
			text{"Algo falló en Cobro", "La causa está en el registro de Cobro bajo el request_id."}}
	}
}

// problem is an error that knows its answer: a row of the table, and what is
// true of this case alone.
type problem struct {
	kind       app.Kind
	fields     payment.FieldErrors
	members    members
	retryAfter time.Duration // where waiting may help
	cause      error         // for the log; never shown
}

// members are what some problem documents say beside RFC 9457's own members.
type members struct {
	PaymentID      string         `json:"payment_id,omitempty"`
	RefundID       string         `json:"refund_id,omitempty"` // the refund in the way, or in review
	PaymentStatus  payment.Status `json:"payment_status,omitempty"`
	Left           string         `json:"left,omitempty"` // what can still be refunded
	GatewayCode    string         `json:"gateway_code,omitempty"`
	GatewayMessage string         `json:"gateway_message,omitempty"`
}

// Error implements error.
func (p *problem) Error() string {
	code := rowOf(p.kind).code
	if p.cause != nil {
		return code + ": " + p.cause.Error()
	}
	return code
}

// Unwrap returns the cause.
func (p *problem) Unwrap() error { return p.cause }

// retrySoon is what Retry-After says where nobody knows better.
const retrySoon = 5 * time.Second

// problemOf finds the answer to an error. What it does not know is internal.
func problemOf(err error) *problem {
	var known *problem
	var refusal *app.Error
	var fields payment.FieldErrors
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &refusal):
		return problemOfRefusal(refusal)
	case errors.As(err, &fields):
		return &problem{kind: app.KindInvalid, fields: fields}
	case errors.As(err, &tooLarge):
		return &problem{kind: bodyTooLarge, fields: payment.FieldErrors{{Field: "body", Rule: ruleBytes(tooLarge.Limit)}}}
	default:
		return &problem{kind: app.KindInternal, cause: err}
	}
}

func problemOfRefusal(e *app.Error) *problem {
	p := &problem{kind: e.Kind, fields: e.Fields, retryAfter: e.RetryAfter, cause: e.Err, members: members{
		PaymentID: e.PaymentID, RefundID: e.RefundID, PaymentStatus: e.Status,
		GatewayCode: e.GatewayCode, GatewayMessage: e.GatewayMessage,
	}}
	if e.Kind == app.KindRefundExceeds {
		p.members.Left = e.Left.String()
	}
	return p
}

// document is a problem document (RFC 9457).
type document struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Code      string       `json:"code"`
	RequestID string       `json:"request_id"`
	Errors    []brokenRule `json:"errors,omitempty"`
	members
}

// brokenRule is a field and its rule in the language of the answer.
type brokenRule struct {
	Field string `json:"field"`
	Rule  string `json:"rule"`
}

func inLanguage(fields payment.FieldErrors, spanish bool) []brokenRule {
	all := make([]brokenRule, len(fields))
	for i, f := range fields {
		all[i] = brokenRule{f.Field, f.Rule.English}
		if spanish {
			all[i].Rule = f.Rule.Spanish
		}
	}
	return all
}

// refuse answers with a problem document, and leaves the cause for the log.
func (s *Server) refuse(c *gin.Context, err error) {
	p := problemOf(err)
	r := rowOf(p.kind)
	c.Set(logCode, r.code)
	if p.cause != nil {
		c.Set(logCause, p.cause)
	}
	c.Abort()
	if c.Writer.Written() {
		return // a panic in the middle of an answer: there is no other answer left
	}
	language, words := "en", r.en
	spanish := prefersSpanish(c.GetHeader("Accept-Language"))
	if spanish {
		language, words = "es", r.es
	}
	body, err := json.Marshal(document{
		Type: "urn:cobro:problem:" + r.code, Title: words.title, Status: r.status, Detail: words.detail,
		Code: r.code, RequestID: c.GetString(logRequestID), Errors: inLanguage(p.fields, spanish), members: p.members,
	})
	if err != nil { // no value of document can cause it
		c.Set(logCause, err)
		c.Status(http.StatusInternalServerError)
		return
	}
	c.Header("Content-Language", language)
	c.Header("Vary", "Accept-Language")
	if p.kind == unauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="cobro"`)
	}
	if p.retryAfter > 0 {
		c.Header("Retry-After", strconv.FormatInt(int64(p.retryAfter.Seconds()), 10))
	}
	c.Data(r.status, "application/problem+json", body)
}

// prefersSpanish reads an Accept-Language header (RFC 9110 §12.5.4). Of two
// languages that weigh the same, the one named first counts; English is what
// everybody else gets.
func prefersSpanish(header string) bool {
	spanish, most := false, 0
	for choice := range strings.SplitSeq(header, ",") {
		tag, parameter, _ := strings.Cut(choice, ";")
		primary, _, _ := strings.Cut(strings.TrimSpace(tag), "-")
		primary = strings.ToLower(primary)
		if weight := weightOf(parameter); weight > most && (primary == "es" || primary == "en") {
			spanish, most = primary == "es", weight
		}
	}
	return spanish
}

// weightOf reads "q=0.8" as 800, and anything that is no weight as 1000.
func weightOf(parameter string) int {
	value, ok := strings.CutPrefix(strings.ReplaceAll(parameter, " ", ""), "q=")
	whole, fraction, _ := strings.Cut(value, ".")
	if !ok || whole != "0" || len(fraction) > 3 {
		return 1000
	}
	weight, err := strconv.Atoi(fraction + "000"[len(fraction):])
	if err != nil {
		return 1000
	}
	return weight
}
