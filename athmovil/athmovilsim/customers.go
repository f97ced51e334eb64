package athmovilsim

import "time"

// action is what a customer does on the phone. Journals store the values: never
// rename one.
type action string

const (
	actionConfirm action = "confirm"
	actionCancel  action = "cancel"
)

// move is an action some time after the push notification or, if after is
// negative, before the ticket expires.
type move struct {
	action action
	after  time.Duration
}

// customer is the owner of a phone number. The numbers of the table are scripted.
// Any other waits for the control API.
type customer struct {
	phone string
	name  string
	email string
	does  string // as README.md says it

	moves        []move
	ownsBusiness bool   // confirming fails with BTRA_0003
	declined     string // the error code of every authorization, if any
	notRefunded  string // the error code of every refund, if any
	scripted     fault  // applies once to each of this customer's tickets
}

// confirms is the first move of most scripts.
func confirms(after time.Duration) []move { return []move{{actionConfirm, after}} }

// customers is the table of scripted customers, like a card network's test cards.
// README.md shows it, and a test compares the two. It is never modified.
//
//nolint:gochecknoglobals // see above
var customers = []customer{
	{phone: "7875550100", name: "Alma Rosario", does: "confirms at once", moves: confirms(0)},
	{phone: "7875550101", name: "Benito Cruz", does: "confirms after 1 second", moves: confirms(time.Second)},
	{phone: "7875550105", name: "Carmen Vega", does: "confirms after 5 seconds", moves: confirms(5 * time.Second)},
	{phone: "7875550130", name: "Diego Ortiz", does: "confirms after 30 seconds", moves: confirms(30 * time.Second)},

	{phone: "7875550200", name: "Elena Soto", does: "ignores the phone until the ticket expires"},
	{phone: "7875550201", name: "Félix Mora", does: "cancels after 1 second", moves: []move{{actionCancel, time.Second}}},
	{
		phone: "7875550202", name: "Gloria Rey", does: "confirms after 1 second and cancels 2 seconds later, unless authorized by then",
		moves: []move{{actionConfirm, time.Second}, {actionCancel, 3 * time.Second}},
	},
	{phone: "7875550203", name: "Hugo Paz", does: "confirms 1 second before the ticket expires", moves: confirms(-time.Second)},
	{
		phone: "7875550204", name: "Inés Luna", does: "pays with the business's own card: confirming is refused with BTRA_0003",
		moves: confirms(time.Second), ownsBusiness: true,
	},

	{
		phone: "7875550300", name: "Jorge Díaz", does: "confirms after 1 second; authorization is over the institution's limits, BTRA_0044",
		moves: confirms(time.Second), declined: "BTRA_0044",
	},
	{
		phone: "7875550301", name: "Karla Nieves", does: "confirms after 1 second; authorization is over the card's limits, BTRA_0045",
		moves: confirms(time.Second), declined: "BTRA_0045",
	},
	{
		phone: "7875550302", name: "Luis Marrero", does: "confirms after 1 second; authorization finds the business's own card, BTRA_0003",
		moves: confirms(time.Second), declined: codeOwnCard,
	},
	{
		phone: "7875550303", name: "Marta Colón", does: "confirms after 1 second; authorization fails with a status error, BTRA_0005",
		moves: confirms(time.Second), declined: "BTRA_0005",
	},
	{
		phone: "7875550304", name: "Noel Rivas", does: "confirms after 1 second; every refund fails with a status error, BTRA_0030",
		moves: confirms(time.Second), notRefunded: "BTRA_0030",
	},

	{
		phone: "7875550400", name: "Olga Santos", does: "the ticket is created, but the response to create is lost",
		scripted: fault{Op: opCreate, Fault: faultDropAfter},
	},
	{
		phone: "7875550401", name: "Pablo Gil", does: "confirms after 1 second; the debit happens, but the response to authorization is lost",
		moves: confirms(time.Second), scripted: fault{Op: opAuthorize, Fault: faultDropAfter},
	},
	{
		phone: "7875550402", name: "Quino Reyes", does: "confirms after 1 second; the first authorization fails before the debit",
		moves: confirms(time.Second), scripted: fault{Op: opAuthorize, Fault: faultDropBefore},
	},
	{
		phone: "7875550403", name: "Rosa Cintrón", does: "confirms after 1 second; the first refund happens, but its response is lost",
		moves: confirms(time.Second), scripted: fault{Op: opRefund, Fault: faultDropAfter},
	},
	{
		phone: "7875550404", name: "Saúl Matos", does: "confirms after 1 second; the first refund fails before the credit",
		moves: confirms(time.Second), scripted: fault{Op: opRefund, Fault: faultDropBefore},
	},
	{
		phone: "7875550405", name: "Tita Lebrón", does: "confirms after 1 second; the debit happens, but authorization returns 500 BTRA_9999",
		moves: confirms(time.Second), scripted: fault{Op: opAuthorize, Fault: faultError500, AfterEffect: true},
	},
	{
		phone: "7875550406", name: "Ulises Peña", does: "confirms after 1 second; the first authorization returns 409 BTRA_9998 without a debit",
		moves: confirms(time.Second), scripted: fault{Op: opAuthorize, Fault: faultError9998},
	},

	{
		phone: "7875550500", name: "Vera Acosta", does: "confirms after 1 second; the first webhook about the ticket is lost",
		moves: confirms(time.Second), scripted: fault{Op: opWebhook, Fault: faultWebhookLost},
	},
	{
		phone: "7875550501", name: "Waldo Ríos", does: "confirms after 1 second; the first webhook about the ticket comes twice",
		moves: confirms(time.Second), scripted: fault{Op: opWebhook, Fault: faultWebhookDuplicated},
	},
	{
		phone: "7875550502", name: "Xenia Torres", does: "confirms after 1 second; the first webhook about the ticket is 30 seconds late",
		moves: confirms(time.Second), scripted: fault{Op: opWebhook, Fault: faultWebhookDelayed, DelayMS: 30_000},
	},
	{
		phone: "7875550503", name: "Yari Berríos", does: "confirms after 1 second; the first webhook about the ticket is in the old dialect, without an ecommerceId",
		moves: confirms(time.Second), scripted: fault{Op: opWebhook, Fault: faultWebhookOldDialect},
	},
}

// customerOf returns the owner of a phone number. A number that is not in the table
// has no script. An empty number has no owner.
func customerOf(phone string) customer {
	if phone == "" {
		return customer{}
	}
	found := customer{phone: phone, name: "Valeria Herrero"}
	for _, c := range customers {
		if c.phone == phone {
			found = c
		}
	}
	found.email = "customer." + phone + "@example.com"
	return found
}

// plan returns the customer's steps for a ticket whose push is sent now.
func (c customer) plan(now, expires time.Time) []step {
	var plan []step
	for _, m := range c.moves {
		at := now.Add(m.after)
		if m.after < 0 {
			at = expires.Add(m.after)
		}
		plan = append(plan, step{at, m.action})
	}
	return plan
}

// hasFault reports whether the customer's scripted fault applies to an operation.
func (c customer) hasFault(op operation) bool {
	return c.scripted.Fault != "" && c.scripted.fits(op, "")
}
