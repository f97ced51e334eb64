package athmovil

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// object is a JSON object in any of the gateway's dialects (docs/athmovil.md
// §3, §4.3), which write numbers as strings, "" for an absent value, and a key
// in two spellings. Each method reads one field, under all its spellings. A
// value that cannot be read counts as absent, and its name goes to unreadable.
// Errors never quote a value, as any value may be personal data.
type object struct {
	raw        map[string]json.RawMessage
	unreadable []string
	// normal holds the fields that were read, normalized, by their first name.
	normal map[string]string
	read   map[string]bool // the keys of raw that normal covers
}

var (
	errNotJSON   = errors.New("the response is not JSON")
	errNotObject = errors.New("not a JSON object")
)

// trimBody removes the byte order mark of the www host (docs/athmovil.md §1.0)
// and the white space around a body.
func trimBody(body []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\ufeff")))
}

func parseObject(body []byte) (*object, error) {
	body = trimBody(body)
	if !bytes.HasPrefix(body, []byte("{")) {
		return nil, errNotObject
	}
	o := &object{normal: map[string]string{}, read: map[string]bool{}}
	if err := json.Unmarshal(body, &o.raw); err != nil {
		return nil, errNotObject
	}
	return o, nil
}

// parseArray returns the elements of a JSON array, or false if body is not one.
func parseArray(body []byte) ([]json.RawMessage, bool) {
	body = trimBody(body)
	var elements []json.RawMessage
	if !bytes.HasPrefix(body, []byte("[")) || json.Unmarshal(body, &elements) != nil {
		return nil, false
	}
	return elements, true
}

// find returns the value of the first name that has one. Null and a blank string
// count as absent.
func (o *object) find(names ...string) json.RawMessage {
	var found json.RawMessage
	for _, name := range names {
		raw, ok := o.raw[name]
		switch {
		case !ok:
		case isBlank(raw):
			o.read[name] = true
		case found == nil:
			o.read[name] = true
			found = raw
		}
	}
	return found
}

func isBlank(raw json.RawMessage) bool {
	text, ok := scalar(raw)
	return ok && text == "" || string(raw) == "null"
}

// markUnreadable records that a field has a value that cannot be read.
func (o *object) markUnreadable(name string, raw json.RawMessage) {
	o.unreadable = append(o.unreadable, name)
	o.normal["unreadable "+name] = canonical(raw) // a key that no field has
}

// normalize records a field's normalized value.
func (o *object) normalize(name, value string) {
	if value != "" {
		o.normal[name] = value
	}
}

// scalar returns the text of a JSON string, trimmed, or of a number, plain. It
// returns false for any other value.
func scalar(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 {
		return "", true
	}
	switch c := raw[0]; {
	case c == '"':
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return "", false
		}
		return strings.TrimSpace(text), true
	case isNumber(string(raw)):
		return plain(string(raw)), true
	default:
		return "", false
	}
}

// isNumber reports whether text is a JSON number.
func isNumber(text string) bool {
	return text != "" && (text[0] == '-' || isDigit(text[0])) && json.Valid([]byte(text))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// plain writes a whole JSON number in digits: 7.875551234E9 and 7875551234.0 are
// 7875551234, as writers of numbers choose their form by size. Any other number
// stays as it is written, like one that would be long.
func plain(number string) string {
	const longest, longestExponent = 40, 2 // characters
	_, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	if len(number) > longest || len(strings.TrimLeft(exponent, "+-")) > longestExponent {
		return number
	}
	value, ok := new(big.Rat).SetString(number)
	if !ok || !value.IsInt() {
		return number
	}
	return value.Num().String()
}

// text reads a string, or a number.
func (o *object) text(names ...string) string {
	raw := o.find(names...)
	text, ok := scalar(raw)
	if !ok {
		o.markUnreadable(names[0], raw)
		return ""
	}
	o.normalize(names[0], text)
	return text
}

func (o *object) private(names ...string) private.Text { return private.Text(o.text(names...)) }

// dailyID reads the daily transaction number, which one dialect pads with zeros
// and another does not (docs/athmovil.md §3).
func (o *object) dailyID() string {
	id := o.text("dailyTransactionId", "dailyTransactionID")
	if id != "" {
		o.normalize("dailyTransactionId", "#"+strings.TrimLeft(id, "0"))
	}
	return id
}

// amount returns nil if the field is absent.
func (o *object) amount(names ...string) *money.Amount {
	raw := o.find(names...)
	text, ok := scalar(raw)
	if ok && text == "" {
		return nil
	}
	amount, err := money.ParseNoisy(text)
	if !ok || err != nil {
		o.markUnreadable(names[0], raw)
		return nil
	}
	o.normalize(names[0], amount.String())
	return &amount
}

// amountOrZero is amount for a field whose absence means zero.
func (o *object) amountOrZero(names ...string) money.Amount {
	if amount := o.amount(names...); amount != nil {
		return *amount
	}
	return money.Amount{}
}

// date returns the zero time if the field is absent.
func (o *object) date(names ...string) time.Time {
	raw := o.find(names...)
	text, ok := scalar(raw)
	if ok && text == "" {
		return time.Time{}
	}
	at, err := ParseTime(text)
	if !ok || err != nil {
		o.markUnreadable(names[0], raw)
		return time.Time{}
	}
	o.normalize(names[0], at.UTC().Format(time.RFC3339Nano))
	return at
}

// phone returns ten digits, or the text as written if it is not a number in
// Puerto Rico or the United States. A number of JSON may be in a string. 0 means no
// number (docs/athmovil.md §3).
func (o *object) phone(names ...string) private.Text {
	raw := o.find(names...)
	text, ok := scalar(raw)
	if !ok {
		o.markUnreadable(names[0], raw)
		return ""
	}
	numeric := isNumber(text)
	if numeric {
		text = plain(text)
	}
	if strings.Trim(text, "0") == "" {
		return ""
	}
	digits, err := ParsePhone(text)
	if err == nil && (!numeric || strings.Trim(text, "0123456789") == "") { // a point or a minus in a number separates no digits
		text = digits
	}
	o.normalize(names[0], text)
	return private.Text(text)
}

// flag reads true or 1, and false, 0 or nothing, in a string or not.
func (o *object) flag(names ...string) bool {
	raw := o.find(names...)
	text, ok := scalar(raw)
	if !ok {
		text = string(raw) // true and false themselves
	}
	switch strings.ToLower(text) {
	case "true", "1":
		o.normalize(names[0], "true")
		return true
	case "false", "0", "":
		return false
	default:
		o.markUnreadable(names[0], raw)
		return false
	}
}

// nested reads an object inside this one. It returns nil if there is none.
func (o *object) nested(name string) *object {
	raw := o.find(name)
	if raw == nil {
		return nil
	}
	inner, err := parseObject(raw)
	if err != nil {
		o.markUnreadable(name, raw)
		return nil
	}
	return inner
}

func (o *object) items() []Item {
	raw := o.find("items")
	if raw == nil {
		return nil
	}
	elements, ok := parseArray(raw)
	if !ok {
		o.markUnreadable("items", raw)
		return nil
	}
	items := make([]Item, 0, len(elements))
	normal := make([]string, 0, len(elements))
	for i, element := range elements {
		line, err := parseObject(element)
		if err != nil {
			o.markUnreadable(fmt.Sprintf("items[%d]", i), element)
			continue
		}
		items = append(items, line.item())
		for _, name := range line.unreadable {
			o.unreadable = append(o.unreadable, fmt.Sprintf("items[%d].%s", i, name))
		}
		normal = append(normal, line.normalForm())
	}
	o.normalize("items", strings.Join(normal, ","))
	return items
}

func (o *object) item() Item {
	return Item{
		Name:           o.private("name"),
		Description:    o.private("description"),
		Quantity:       o.quantity(),
		Price:          o.amountOrZero("price"),
		Tax:            o.amountOrZero("tax"),
		Metadata:       o.private("metadata"),
		SKU:            o.text("sku"),
		FormattedPrice: o.text("formattedPrice"),
	}
}

func (o *object) quantity() int {
	raw := o.find("quantity")
	text, ok := scalar(raw)
	if ok && text == "" {
		return 0
	}
	// Read as an amount, so that 1, "1" and 1.0 are equal.
	n, err := money.ParseNoisy(text)
	if !ok || err != nil || n.Cents()%100 != 0 || n.IsNegative() {
		o.markUnreadable("quantity", raw)
		return 0
	}
	o.normalize("quantity", n.String())
	return int(n.Cents() / 100)
}

// require checks that fields, by their first names, are present and readable.
func (o *object) require(names ...string) error {
	problems := []error{o.readable(names...)}
	for _, name := range names {
		if _, ok := o.normal[name]; !ok && !slices.Contains(o.unreadable, name) {
			problems = append(problems, fmt.Errorf("%s is missing", name))
		}
	}
	return errors.Join(problems...)
}

// readable checks that fields are readable, if they are present.
func (o *object) readable(names ...string) error {
	var problems []error
	for _, name := range names {
		if slices.Contains(o.unreadable, name) {
			problems = append(problems, fmt.Errorf("%s cannot be read", name))
		}
	}
	return errors.Join(problems...)
}

// normalForm writes the object in one dialect: the fields that were read, then
// the rest as received, with sorted keys and no white space.
func (o *object) normalForm() string {
	rest := map[string]string{}
	for key, raw := range o.raw {
		if !o.read[key] {
			rest[key] = canonical(raw)
		}
	}
	form, err := json.Marshal([]map[string]string{o.normal, rest})
	if err != nil {
		return "" // cannot happen: maps of strings always marshal
	}
	return string(form)
}

// canonical writes a JSON value with sorted keys and no white space.
func canonical(raw json.RawMessage) string {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return string(raw)
	}
	form, err := json.Marshal(value)
	if err != nil {
		return string(raw)
	}
	return string(form)
}
