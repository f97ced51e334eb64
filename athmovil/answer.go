package athmovil

import (
	"errors"
	"strings"
)

// classify decides what a response means. It returns nil for a success.
func classify(r request, status int, body []byte) *Error {
	success := status >= 200 && status < 300
	if envelope, err := parseObject(body); err == nil && (!success || envelope.isError()) {
		code := envelope.errorCode()
		return &Error{
			Kind: kindOfCode(r.op, status, code), Code: code,
			Message: envelope.private("message", "description"),
		}
	}
	if !success {
		return &Error{Kind: kindWithoutEnvelope(r.op, status), Err: errNotJSON}
	}
	if err := r.read(body); err != nil {
		return &Error{Kind: r.op.lost(), Err: err}
	}
	return nil
}

// isError recognizes an error, even one under HTTP 200 (docs/athmovil.md §1.0).
func (o *object) isError() bool {
	return strings.EqualFold(o.text("status"), "error") || o.find("errorcode", "errorCode") != nil
}

func (o *object) errorCode() string { return cleanCode(o.text("errorcode", "errorCode")) }

// invalid is the error of a request that breaks a rule and is not sent.
func invalid(op Op, err error) error { return &Error{Op: op, Kind: KindInvalid, Err: err} }

// fromData reads the data of a success envelope (docs/athmovil.md §1.0).
func fromData(read func(data *object) error) func([]byte) error {
	return func(body []byte) error {
		envelope, err := successEnvelope(body)
		if err != nil {
			return err
		}
		data := envelope.nested("data")
		if data == nil {
			return errors.New("the response has no data")
		}
		return read(data)
	}
}

// fromEnvelope accepts any success envelope.
func fromEnvelope(body []byte) error {
	_, err := successEnvelope(body)
	return err
}

func successEnvelope(body []byte) (*object, error) {
	envelope, err := parseObject(body)
	if err != nil {
		return nil, errNotJSON
	}
	if !strings.EqualFold(envelope.text("status"), "success") {
		return nil, errors.New("the response does not say success")
	}
	return envelope, nil
}
