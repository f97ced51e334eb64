package api

import "github.com/cobropay/cobro/payment"

// What JSON and query strings must be. The rules of values are the payment
// package's; internal/catalog has the texts of both.

func ruleRequired() payment.Rule        { return payment.Rule{Code: "required"} }
func ruleText() payment.Rule            { return payment.Rule{Code: "string"} }
func ruleAmount() payment.Rule          { return payment.Rule{Code: "amount"} }
func ruleRefundAmount() payment.Rule    { return payment.Rule{Code: "refund_amount"} }
func ruleWhole() payment.Rule           { return payment.Rule{Code: "whole_number"} }
func ruleList() payment.Rule            { return payment.Rule{Code: "list_of_objects"} }
func rulePhone() payment.Rule           { return payment.Rule{Code: payment.RulePhoneNumber} }
func ruleUnknown() payment.Rule         { return payment.Rule{Code: "known_field"} }
func ruleObject() payment.Rule          { return payment.Rule{Code: "json_object"} }
func ruleWholeCharacters() payment.Rule { return payment.Rule{Code: "whole_characters"} }
func ruleOnce() payment.Rule            { return payment.Rule{Code: "once"} }
func ruleDepth() payment.Rule           { return payment.Rule{Code: "nested_less_deeply"} }

func ruleBytes(most int64) payment.Rule {
	return payment.Rule{Code: "bytes_at_most", Args: []any{most}}
}

func ruleOneOf(names string) payment.Rule {
	return payment.Rule{Code: payment.RuleOneOf, Args: []any{names}}
}

// Rules of query parameters.

func ruleQuery() payment.Rule     { return payment.Rule{Code: "query_string"} }
func ruleParameter() payment.Rule { return payment.Rule{Code: "known_parameter"} }
func ruleTime() payment.Rule      { return payment.Rule{Code: "time"} }

func ruleWait() payment.Rule {
	return payment.Rule{Code: "duration_at_most", Args: []any{maxWait}}
}

func ruleLimit() payment.Rule {
	return payment.Rule{Code: payment.RuleBetween, Args: []any{1, maxPage}}
}

func ruleCursor() payment.Rule  { return payment.Rule{Code: "cursor"} }
func ruleBoolean() payment.Rule { return payment.Rule{Code: "boolean"} }

// Rules of an announcement.

func ruleTimeout() payment.Rule      { return payment.Rule{Code: "duration_above_zero"} }
func ruleReceiverOnce() payment.Rule { return payment.Rule{Code: "receiver_once"} }
func ruleReceivers() payment.Rule    { return payment.Rule{Code: "one_receiver"} }
