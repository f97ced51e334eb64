package athmovilsim

import "time"

// action is something a customer does on the phone. Journals hold it: never
// rename one.
type action string

const (
	actionConfirm action = "confirm"
	actionCancel  action = "cancel"
)

// move is an action some time after the push or, if after is negative, that
// long before the ticket's time is over.
type move struct {
	action action
	after  time.Duration
}

// customer is somebody with a phone. A number of the table behaves as it says;
// any other waits for the control surface.
type customer struct {
	phone string
	name  string
	email string
	does  string // the sentence in README.md

	moves        []move
	ownsBusiness bool   // pays with the business's own card: BTRA_0003 on confirming
	declined     string // code of every authorisation
	notRefunded  string // code of every refund
	trouble      fault  // befalls the calls about this customer's tickets
}

// confirms is the consent most scripts begin with.
func confirms(after time.Duration) []move { return []move{{actionConfirm, after}} }

// customers is the one table of scripted customers, like a card network's test
// cards. README.md shows it, and a test compares the two. It is never written
// to.
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
		phone: "7875550202", name: "Gloria Rey", does: "confirms after 1 second and cancels 2 seconds later, unless authorised by then",
		moves: []move{{actionConfirm, time.Second}, {actionCancel, 3 * time.Second}},
	},
	{phone: "7875550203", name: "Hugo Paz", does: "confirms 1 second before the ticket expires", moves: confirms(-time.Second)},
	{
		phone: "7875550204", name: "Inés Luna", does: "pays with the business's own card: confirming is refused with BTRA_0003",
		moves: confirms(time.Second), ownsBusiness: true,
	},

	{
		phone: "7875550300", name: "Jorge Díaz", does: "confirms after 1 second; authorisation is over the institution's limits, BTRA_0044",
		moves: confirms(time.Second), declined: "BTRA_0044",
	},
	{
		phone: "7875550301", name: "Karla Nieves", does: "confirms after 1 second; authorisation is over the card's limits, BTRA_0045",
		moves: confirms(time.Second), declined: "BTRA_0045",
	},
	{
		phone: "7875550302", name: "Luis Marrero", does: "confirms after 1 second; authorisation finds the business's own card, BTRA_0003",
		moves: confirms(time.Second), declined: codeOwnCard,
	},
	{
		phone: "7875550303", name: "Marta Colón", does: "confirms after 1 second; authorisation fails with a status error, BTRA_0005",
		moves: confirms(time.Second), declined: "BTRA_0005",
	},
	{
		phone: "7875550304", name: "Noel Rivas", does: "confirms after 1 second; every refund fails with a status error, BTRA_0030",
		moves: confirms(time.Second), notRefunded: "BTRA_0030",
	},

	{
		phone: "7875550400", name: "Olga Santos", does: "the ticket is made, but the answer to create is lost",
		trouble: fault{Op: opCreate, Fault: faultDropAfter},
	},
	{
		phone: "7875550401", name: "Pablo Gil", does: "confirms after 1 second; the debit happens, but the answer to authorisation is lost",
		moves: confirms(time.Second), trouble: fault{Op: opAuthorize, Fault: faultDropAfter},
	},
	{
		phone: "7875550402", name: "Quino Reyes", does: "confirms after 1 second; the first authorisation dies before the debit",
		moves: confirms(time.Second), trouble: fault{Op: opAuthorize, Fault: faultDropBefore},
	},
	{
		phone: "7875550403", name: "Rosa Cintrón", does: "confirms after 1 second; the first refund happens, but its answer is lost",
		moves: confirms(time.Second), trouble: fault{Op: opRefund, Fault: faultDropAfter},
	},
	{
		phone: "7875550404", name: "Saúl Matos", does: "confirms after 1 second; the first refund dies before the credit",
		moves: confirms(time.Second), trouble: fault{Op: opRefund, Fault: faultDropBefore},
	},
	{
		phone: "7875550405", name: "Tita Lebrón", does: "confirms after 1 second; the debit happens, but authorisation answers 500 BTRA_9999",
		moves: confirms(time.Second), trouble: fault{Op: opAuthorize, Fault: faultError500, AfterEffect: true},
	},
	{
		phone: "7875550406", name: "Ulises Peña", does: "confirms after 1 second; the first authorisation answers 409 BTRA_9998 without a debit",
		moves: confirms(time.Second), trouble: fault{Op: opAuthorize, Fault: faultError9998},
	},

	{
		phone: "7875550500", name: "Vera Acosta", does: "confirms after 1 second; the first webhook about the ticket is lost",
		moves: confirms(time.Second), trouble: fault{Op: opWebhook, Fault: faultWebhookLost},
	},
	{
		phone: "7875550501", name: "Waldo Ríos", does: "confirms after 1 second; the first webhook about the ticket comes twice",
		moves: confirms(time.Second), trouble: fault{Op: opWebhook, Fault: faultWebhookDuplicated},
	},
	{
		phone: "7875550502", name: "Xenia Torres", does: "confirms after 1 second; the first webhook about the ticket is 30 seconds late",
		moves: confirms(time.Second), trouble: fault{Op: opWebhook, Fault: faultWebhookDelayed, DelayMS: 30_000},
	},
	{
		phone: "7875550503", name: "Yari Berríos", does: "confirms after 1 second; the first webhook about the ticket is in the old dialect, without an ecommerceId",
		moves: confirms(time.Second), trouble: fault{Op: opWebhook, Fault: faultWebhookOldDialect},
	},
}

// customerOf returns who owns a phone. An unknown number is an ordinary
// customer without a script; an empty one is nobody.
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

// plan is what the customer will do about a ticket pushed now.
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

// befalls reports whether the customer's trouble fits an operation.
func (c customer) befalls(op operation) bool {
	return c.trouble.Fault != "" && c.trouble.fits(op, "")
}
