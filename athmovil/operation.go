package athmovil

// Op names a call of a [Client], in [Error] and in the Observe hook. The values
// are stable.
type Op string

// The calls of a [Client].
const (
	OpCreate            Op = "create"
	OpFind              Op = "find"
	OpAuthorize         Op = "authorize"
	OpUpdatePhoneNumber Op = "update_phone_number"
	OpCancel            Op = "cancel"
	OpRefund            Op = "refund"
	OpTransactionReport Op = "transaction_report"
	OpSearch            Op = "search"
	OpSubscribeWebhook  Op = "subscribe_webhook"
)

// class decides in which lane a call waits, lower first, and what a lost response
// means.
type class int

const (
	moneyCall class = iota
	writeCall
	readCall
)

func (op Op) class() class {
	switch op {
	case OpAuthorize, OpRefund:
		return moneyCall
	case OpFind, OpTransactionReport, OpSearch:
		return readCall
	case OpCreate, OpCancel, OpUpdatePhoneNumber, OpSubscribeWebhook:
		return writeCall
	default:
		return writeCall
	}
}

// Lane names the lane in which the call waits if [Config].CallsPerSecond is set:
// "money" goes first, then "write", then "read". The values are stable.
func (op Op) Lane() string {
	switch op.class() {
	case moneyCall:
		return "money"
	case readCall:
		return "read"
	case writeCall:
		return "write"
	default:
		return "write"
	}
}

// Ops lists every call of a [Client].
func Ops() []Op {
	return []Op{
		OpCreate, OpFind, OpAuthorize, OpUpdatePhoneNumber, OpCancel, OpRefund, OpTransactionReport, OpSearch, OpSubscribeWebhook,
	}
}

// lost is the kind of error for a call that was sent and got no usable response.
// A read changes nothing, so it can be made again. Any other call may have been
// executed.
func (op Op) lost() Kind {
	if op.class() == readCall {
		return KindUnavailable
	}
	return KindUnknown
}
