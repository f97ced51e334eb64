// Package athmovil is a client of the ATH Móvil Business gateway, with which
// merchants of Puerto Rico take payments. It is a library on its own: it
// stores nothing, repeats nothing, and knows nothing of workflows.
//
// # A sale
//
// A sale is a ticket. [Client.Create] makes it and rings the customer's phone;
// the customer confirms in the ATH Móvil app; [Client.Authorize] debits. No
// webhook tells of the confirmation, so ask with [Client.Find] until the
// status is [StatusConfirm]:
//
//	client, err := athmovil.New(athmovil.Config{
//		PublicToken:  os.Getenv("ATHM_PUBLIC_TOKEN"),
//		PrivateToken: private.NewToken(os.Getenv("ATHM_PRIVATE_TOKEN")),
//	})
//	…
//	ticket, err := client.Create(ctx, athmovil.CreateRequest{
//		Total:       money.MustParse("25.00"),
//		PhoneNumber: "787-555-1234",
//	})
//	// Store ticket.AuthToken, encrypted: without it the sale cannot be completed.
//	…
//	found, err := client.Find(ctx, ticket.EcommerceID) // until found.Status is StatusConfirm
//	…
//	sale, err := client.Authorize(ctx, ticket.AuthToken)
//
// There is no sandbox: BaseURL and ReportBaseURL of the [Config] may name a
// simulator, such as package athmovilsim.
//
// # Errors
//
// The gateway knows no idempotency key, so what matters of an error is whether
// the call was executed. Every error of a call is an [*Error] of one [Kind],
// and [errors.Is] tells them apart:
//
//	switch {
//	case errors.Is(err, athmovil.ErrUnavailable): // surely not executed: try again later
//	case errors.Is(err, athmovil.ErrUnknown):     // executed or not: look with Find, never repeat blindly
//	case errors.Is(err, athmovil.ErrDeclined):    // the gateway refused
//	case errors.Is(err, athmovil.ErrInvalid), errors.Is(err, athmovil.ErrAuthentication): // ours to mend
//	}
//
// A call that fails before its first byte was written, a refused connection
// for example, is unavailable. From then on a lost, cut or foreign answer is
// unknown, save for reads, which change nothing and are unavailable. Some
// refusals of Authorize and Refund also follow a success whose answer was
// lost: [Error.LookFirst].
//
// # Webhooks
//
// [ParseWebhook] reads every dialect into one [Event]. Webhooks are unsigned:
// an event is a hint to call Find, and nothing more. [Event.Digest] names an
// event, so that a second delivery can be recognised.
//
// # Privacy
//
// Tokens are [private.Token] and personal data is [private.Text]: printed or
// logged, all that this package hands out shows neither, errors included.
// Amounts are [money.Amount]: exact, in dollars.
//
// # Sources
//
// ATH Móvil documents little, and the wire differs from what it documents.
// Comments cite docs/athmovil.md, which says what is official, observed or
// guessed; testdata/wire holds every documented payload.
package athmovil
