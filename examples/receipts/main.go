// Command receipts e-mails a receipt for each completed payment and each refund.
// Start it beside a running dev; SMTP_URL names the mail server, SMTP_FROM the sender.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/wneessen/go-mail"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := worker.ConfigFromEnv(os.Getenv)
	post, postErr := newPost(cmp.Or(os.Getenv("SMTP_URL"), "smtp://127.0.0.1:1025"), cmp.Or(os.Getenv("SMTP_FROM"), "receipts@example.com"))
	if err = errors.Join(err, postErr); err == nil {
		cfg.Host = "receipts"
		err = worker.Run(ctx, cfg, post.receivers())
	}
	if err != nil {
		log.Fatal(err)
	}
}

// post sends letters over SMTP.
type post struct {
	client *mail.Client
	from   string
}

func newPost(server, from string) (post, error) {
	u, err := url.Parse(server)
	if err != nil {
		return post{}, errors.New("SMTP_URL must be like smtp://user:password@mail.example.com:587")
	}
	port, _ := strconv.Atoi(u.Port()) // NewClient refuses what is none
	options := []mail.Option{mail.WithPort(port), mail.WithTLSPolicy(mail.TLSOpportunistic)}
	if password, ok := u.User.Password(); ok { // which never travels in clear
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(u.User.Username()), mail.WithPassword(password))
	}
	client, err := mail.NewClient(u.Hostname(), options...)
	return post{client, from}, errors.Join(err, mail.NewMsg().From(from))
}

func (p post) receivers() *activities.Notifications {
	n := activities.NewNotifications()
	n.On(payment.EventCompleted, "send-receipt", func(ctx context.Context, e payment.Notification) error {
		return p.send(ctx, e, e.Payment.Total, "Recibimos su pago", "We received your payment")
	})
	n.On(payment.EventRefundCompleted, "send-receipt", func(ctx context.Context, e payment.Notification) error {
		return p.send(ctx, e, e.Refund.Amount, "Le devolvimos dinero", "We gave you money back")
	})
	return n
}

const text = `%[1]s: $%[3]s
Orden %[4]s, referencia %[5]s de ATH Móvil. Gracias, %[6]s.

%[2]s: $%[3]s
Order %[4]s, ATH Móvil's reference %[5]s. Thank you, %[6]s.
`

// send may be called again with the same notification. The letter then has the
// same Message-ID, by which mail programs know that they have it already.
func (p post) send(ctx context.Context, e payment.Notification, amount money.Amount, es, en string) error {
	payer := e.Payment.Customer
	if payer.Email == "" {
		return nil // nobody knows who paid
	}
	letter := mail.NewMsg()
	letter.SetMessageIDWithValue(e.ID + "@receipts.cobro")
	letter.Subject(fmt.Sprintf("%s / %s: $%s", es, en, amount))
	letter.SetBodyString(mail.TypeTextPlain, fmt.Sprintf(text, es, en, amount,
		e.Payment.Reference, e.Payment.ReferenceNumber, string(payer.Name))) // string: private text prints as a mark
	if err := errors.Join(letter.From(p.from), letter.To(string(payer.Email))); err != nil {
		return activities.Permanent(err)
	}
	err := p.client.DialAndSendWithContext(ctx, letter)
	var refused *mail.SendError
	if errors.As(err, &refused) && refused.Reason == mail.ErrSMTPRcptTo && !refused.IsTemp() {
		return activities.Permanent(err) // the address is wrong, and stays so
	}
	return err // is tried again, for days
}
