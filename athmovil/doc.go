// Package athmovil is a client for the ATH Móvil Business gateway, with which
// merchants in Puerto Rico take payments. It works on its own: it stores
// nothing, retries nothing, and knows nothing about workflows.
//
// # Create
//
// A sale starts as a ticket. [Client.Create] opens one and sends a push
// notification to the customer's phone. Nothing is debited yet.
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
//
// Store the ticket before anything else, with its AuthToken encrypted. The
// gateway never returns that token again, and without it the sale cannot be
// completed.
//
// # Find
//
// The customer confirms in the ATH Móvil app. No webhook reports the
// confirmation, so poll with [Client.Find] until the status is
// [StatusConfirm]:
//
//	found, err := client.Find(ctx, ticket.EcommerceID)
//
// # Authorize
//
// [Client.Authorize] debits the customer. Keep the reference number of the
// sale: a refund needs it.
//
//	sale, err := client.Authorize(ctx, ticket.AuthToken)
//
// # Refund
//
// [Client.Refund] returns all or part of the money:
//
//	refund, err := client.Refund(ctx, athmovil.RefundRequest{
//		ReferenceNumber: sale.ReferenceNumber,
//		Amount:          money.MustParse("5.00"),
//	})
//
// # Report
//
// [Client.TransactionReport] lists the transactions between two times, for
// reconciliation. [Client.Search] finds a sale by its metadata, its customer or
// its amount.
//
//	report, err := client.TransactionReport(ctx, from, to)
//
// # Webhooks
//
// [Client.SubscribeWebhook] registers a URL, and [ParseWebhook] reads what the
// gateway posts to it: every dialect becomes one [Event]. Webhooks are not
// signed, so an event is a hint to call Find and never a fact. [Event.Digest]
// identifies an event, so that a second delivery can be recognized.
//
//	event, err := athmovil.ParseWebhook(body)
//
// # Errors
//
// The gateway has no idempotency keys, so the question after an error is
// whether the call was executed. Every error of a call is an [*Error] of one
// [Kind], which [errors.Is] tells apart:
//
//	switch {
//	case errors.Is(err, athmovil.ErrUnavailable): // not executed: try again later
//	case errors.Is(err, athmovil.ErrUnknown):     // executed or not: check with Find, never retry blindly
//	case errors.Is(err, athmovil.ErrDeclined):    // the gateway refused
//	case errors.Is(err, athmovil.ErrInvalid), errors.Is(err, athmovil.ErrAuthentication): // fix the request or the tokens
//	}
//
// A call that fails before its first byte is written, such as one whose
// connection is refused, is unavailable. After that byte, a lost, truncated or
// unexpected response makes the outcome unknown. Reads change nothing, so for
// them it is unavailable. An error of Authorize or Refund without a documented
// code makes it unknown too, whatever the HTTP status. Some refusals of Authorize
// and Refund also follow a success whose response was lost: see
// [Error.LookFirst].
//
// # Privacy
//
// Tokens are [private.Token] and personal data is [private.Text]. Neither shows
// when this package's values and errors are printed or logged. Amounts are
// [money.Amount]: exact, in US dollars.
//
// # Tests
//
// ATH Móvil has no sandbox. BaseURL and ReportBaseURL of the [Config] can point
// at a simulator, such as package athmovilsim.
//
// # Sources
//
// ATH Móvil documents little, and the gateway differs from what it documents.
// Comments cite docs/athmovil.md, which says what is official, what was observed
// and what is a guess. testdata/wire holds every documented payload.
package athmovil
