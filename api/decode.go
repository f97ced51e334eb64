package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// maxDepth is how deeply a body may be nested; items need three levels.
const maxDepth = 16

// readPaymentRequest reads and validates the body of POST /v1/payments.
func (s *Server) readPaymentRequest(c *gin.Context) (payment.Request, error) {
	o, err := s.readObject(c)
	if err != nil {
		return payment.Request{}, err
	}
	r := payment.Request{
		Reference:   o.text("reference"),
		Total:       o.amount("total"),
		Subtotal:    o.optionalAmount("subtotal"),
		Tax:         o.optionalAmount("tax"),
		PhoneNumber: o.phone("phone_number"),
		Metadata1:   private.Text(o.text("metadata1")),
		Metadata2:   private.Text(o.text("metadata2")),
		ExpiresIn:   time.Duration(o.whole("expires_in", int(payment.DefaultExpiresIn/time.Second))) * time.Second,
	}
	for _, item := range o.objects("items") {
		r.Items = append(r.Items, payment.Item{
			Name:        private.Text(item.text("name")),
			Description: private.Text(item.text("description")),
			Quantity:    item.required("quantity").whole("quantity", 0),
			Price:       item.amount("price"),
			Tax:         item.optionalAmount("tax"),
			Metadata:    private.Text(item.text("metadata")),
		})
		item.refuseRest()
	}
	return r, o.finish(s.cfg.App.ValidatePayment(r))
}

// everythingLeft is the amount of a refund of all that is left.
const everythingLeft = "all"

// readRefundRequest reads and validates the body of POST …/refunds. A nil
// amount means all that is left.
func (s *Server) readRefundRequest(c *gin.Context) (amount *money.Amount, message private.Text, err error) {
	o, err := s.readObject(c)
	if err != nil {
		return nil, "", err
	}
	switch value := o.required("amount").take("amount"); {
	case value == nil, value == everythingLeft:
	default:
		if amount = parseAmount(value); amount == nil {
			o.refuse("amount", ruleRefundAmount())
		}
	}
	message = private.Text(o.text("message"))
	return amount, message, o.finish(payment.ValidateRefund(amount, string(message)))
}

// readPhoneNumber reads and validates the body of PUT …/phone-number.
func (s *Server) readPhoneNumber(c *gin.Context) (private.Text, error) {
	o, err := s.readObject(c)
	if err != nil {
		return "", err
	}
	phone := o.required("phone_number").phone("phone_number")
	if phone == "" && len(*o.broken) == 0 {
		o.refuse("phone_number", rulePhone())
	}
	return phone, o.finish(nil)
}

// readNothing accepts an empty body or an empty object.
func (s *Server) readNothing(c *gin.Context) error {
	body, err := s.readBody(c)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	o, err := parseObject(body)
	if err != nil {
		return err
	}
	return o.finish(nil)
}

// readObject reads a body that must be a JSON object.
func (s *Server) readObject(c *gin.Context) (object, error) {
	media, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || media != "application/json" {
		return object{}, &app.Error{Kind: mediaType}
	}
	body, err := s.readBody(c)
	if err != nil {
		return object{}, err
	}
	return parseObject(body)
}

// readBody reads a merchant's body.
func (s *Server) readBody(c *gin.Context) ([]byte, error) {
	return readAtMost(c, s.cfg.MaxBody)
}

// readAtMost reads a body of at most limit bytes. Of a longer one it returns the
// beginning, and an error of the kind bodyTooLarge.
func readAtMost(c *gin.Context, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return body, &app.Error{Kind: bodyTooLarge, Fields: payment.FieldErrors{{Field: "body", Rule: ruleBytes(tooLarge.Limit)}}}
	case err != nil:
		return nil, &app.Error{Kind: bodyMalformed, Err: err} // the sender broke off
	}
	return body, nil
}

// object is a JSON object that is being read. Its methods take one member each
// and note every rule that is broken, so that all are reported together. A
// member that is null counts as absent.
type object struct {
	at      string // where the object is, such as "items[0]."
	members map[string]any
	broken  *payment.FieldErrors // shared with the objects inside
}

// parseObject reads strict JSON in UTF-8: one object, no member twice, nothing
// after it.
func parseObject(body []byte) (object, error) {
	malformed := func(field string, rule payment.Rule) (object, error) {
		return object{}, &app.Error{Kind: bodyMalformed, Fields: payment.FieldErrors{{Field: field, Rule: rule}}}
	}
	if !utf8.Valid(body) || !json.Valid(body) {
		return malformed("body", ruleObject())
	}
	if halfCharacter(body) {
		return malformed("body", ruleWholeCharacters())
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	value, err := parseValue(decoder, "", maxDepth)
	var broken payment.FieldError
	if errors.As(err, &broken) {
		return malformed(broken.Field, broken.Rule)
	}
	members, ok := value.(map[string]any)
	if err != nil || !ok {
		return malformed("body", ruleObject())
	}
	return object{members: members, broken: new(payment.FieldErrors)}, nil
}

// halfCharacter reports whether valid JSON has an escaped surrogate without the other
// one, as a text that was cut in the middle of an emoji has. The decoder would put
// another character in its place.
func halfCharacter(body []byte) bool {
	escaped := func(i int) rune { // -1 where no \u stands at i
		if i+6 > len(body) || body[i] != '\\' || body[i+1] != 'u' {
			return -1
		}
		code, err := strconv.ParseUint(string(body[i+2:i+6]), 16, 32)
		if err != nil { // valid JSON has none
			return -1
		}
		return rune(code)
	}
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		first := escaped(i)
		if utf16.IsSurrogate(first) {
			if utf16.DecodeRune(first, escaped(i+6)) == utf8.RuneError {
				return true
			}
			i += 6
		}
		i++ // over what is escaped; the digits of a code have no backslash
	}
	return false
}

// parseValue reads the next value of JSON that is valid: an object as a map, a
// list as a slice, and anything else as the decoder has it.
func parseValue(d *json.Decoder, at string, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	opening, nested := token.(json.Delim)
	if !nested {
		return token, nil
	}
	if depth == 0 {
		return nil, payment.FieldError{Field: at, Rule: ruleDepth()}
	}
	members, list := map[string]any{}, []any{}
	for d.More() {
		if opening == '[' {
			value, err := parseValue(d, at+"["+strconv.Itoa(len(list))+"]", depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
			continue
		}
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string) // valid JSON has no other keys
		path := strings.TrimPrefix(at+"."+name, ".")
		if _, twice := members[name]; twice {
			return nil, payment.FieldError{Field: quoteField(path), Rule: ruleOnce()}
		}
		if members[name], err = parseValue(d, path, depth-1); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil { // the closing bracket
		return nil, err
	}
	if opening == '[' {
		return list, nil
	}
	return members, nil
}

// quoteField bounds a field's name that a stranger chose.
func quoteField(name string) string {
	if runes := []rune(name); len(runes) > 60 {
		return string(runes[:60]) + "…"
	}
	return name
}

func (o object) refuse(name string, rule payment.Rule) {
	*o.broken = append(*o.broken, payment.FieldError{Field: o.at + quoteField(name), Rule: rule})
}

// required notes that a member is missing.
func (o object) required(name string) object {
	if o.members[name] == nil {
		o.refuse(name, ruleRequired())
	}
	return o
}

// take removes a member, so that what is left at the end is unknown.
func (o object) take(name string) any {
	value := o.members[name]
	delete(o.members, name)
	return value
}

func (o object) text(name string) string {
	value := o.take(name)
	text, ok := value.(string)
	if value != nil && !ok {
		o.refuse(name, ruleText())
	}
	return text
}

func (o object) amount(name string) money.Amount {
	if amount := o.required(name).optionalAmount(name); amount != nil {
		return *amount
	}
	return money.Amount{}
}

func (o object) optionalAmount(name string) *money.Amount {
	value := o.take(name)
	if value == nil {
		return nil
	}
	amount := parseAmount(value)
	if amount == nil {
		o.refuse(name, ruleAmount())
	}
	return amount
}

// parseAmount returns nil where a value is no amount.
func parseAmount(value any) *money.Amount {
	text, _ := value.(string) // a number may have passed through a float64 on its way
	amount, err := money.Parse(text)
	if err != nil || amount.IsZero() && strings.HasPrefix(text, "-") {
		return nil
	}
	return &amount
}

// phone returns ten digits, or "" where the member is absent, empty or no phone
// number.
func (o object) phone(name string) private.Text {
	text := o.text(name)
	if text == "" {
		return ""
	}
	digits, err := athmovil.ParsePhone(text)
	if err != nil {
		o.refuse(name, rulePhone())
	}
	return private.Text(digits)
}

// maxWhole bounds whole numbers, so that seconds never overflow a duration.
const maxWhole = 999_999_999

func (o object) whole(name string, absent int) int {
	value := o.take(name)
	if value == nil {
		return absent
	}
	number, _ := value.(json.Number)
	digits, fraction, dotted := strings.Cut(string(number), ".")
	if dotted && strings.Trim(fraction, "0") != "" {
		digits = "" // some languages write 300 as 300.0
	}
	whole, err := strconv.Atoi(digits)
	if errors.Is(err, strconv.ErrRange) {
		return maxWhole // an integer, and one that breaks every rule that follows
	}
	if err != nil {
		o.refuse(name, ruleWhole())
	}
	return max(-maxWhole, min(whole, maxWhole))
}

func (o object) objects(name string) []object {
	value := o.take(name)
	list, ok := value.([]any)
	if value != nil && !ok {
		o.refuse(name, ruleList())
	}
	objects := make([]object, 0, len(list))
	for i, element := range list {
		members, ok := element.(map[string]any)
		if !ok {
			o.refuse(name, ruleList())
			return nil
		}
		objects = append(objects, object{
			at: fmt.Sprintf("%s%s[%d].", o.at, name, i), members: members, broken: o.broken,
		})
	}
	return objects
}

// refuseRest names the members that nobody took.
func (o object) refuseRest() {
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		o.refuse(name, ruleUnknown())
	}
}

// finish returns every rule that is broken: those of the JSON, and those of
// validated for fields whose JSON was in order.
func (o object) finish(validated error) error {
	o.refuseRest()
	all := slices.Clone(*o.broken)
	var rules payment.FieldErrors
	if errors.As(validated, &rules) {
		for _, rule := range rules {
			sameField := func(e payment.FieldError) bool { return e.Field == rule.Field }
			if !slices.ContainsFunc(*o.broken, sameField) {
				all = append(all, rule)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &app.Error{Kind: app.KindInvalid, Fields: all}
}
