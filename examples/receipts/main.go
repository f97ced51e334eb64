// Command receipts emails a receipt for each completed payment and each refund.
// Start it next to a running dev. SMTP_URL is the mail server and SMTP_FROM the
// sender.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
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
	mailer, mailerErr := newMailer(cmp.Or(os.Getenv("SMTP_URL"), "smtp://127.0.0.1:1025"), cmp.Or(os.Getenv("SMTP_FROM"), "receipts@example.com"))
	if err = errors.Join(err, mailerErr); err == nil {
		cfg.Host = "receipts"
		cfg.Started = func() {
			slog.Info("receipts started; once you are done with it, \"cobro receiver remove receipts\" keeps later payments from waiting for it")
		}
		err = worker.Run(ctx, cfg, mailer.receivers())
	}
	if err != nil {
		log.Fatal(err)
	}
}

// mailer sends email over SMTP.
type mailer struct {
	client *mail.Client
	from   string
}

func newMailer(server, from string) (mailer, error) {
	u, err := url.Parse(server)
	if err != nil {
		return mailer{}, errors.New("SMTP_URL must be like smtp://user:password@mail.example.com:587")
	}
	port, _ := strconv.Atoi(u.Port()) // NewClient rejects port 0
	options := []mail.Option{mail.WithPort(port), mail.WithTLSPolicy(mail.TLSOpportunistic)}
	if password, ok := u.User.Password(); ok { // never send a password without TLS
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(u.User.Username()), mail.WithPassword(password))
	}
	client, err := mail.NewClient(u.Hostname(), options...)
	return mailer{client, from}, errors.Join(err, mail.NewMsg().From(from))
}

func (m mailer) receivers() *activities.Notifications {
	n := activities.NewNotifications()
	n.On(payment.EventCompleted, "send-receipt", func(ctx context.Context, e payment.Notification) error {
		return m.send(ctx, e, *e.Payment.Captured, "Recibimos tu pago", "We received your payment")
	})
	n.On(payment.EventRefundCompleted, "send-receipt", func(ctx context.Context, e payment.Notification) error {
		return m.send(ctx, e, e.Refund.Amount, "Te enviamos un reembolso", "We sent you a refund")
	})
	return n
}

const text = `%[1]s: $%[3]s
Orden %[4]s, referencia %[5]s de ATH Móvil. Gracias, %[6]s.

%[2]s: $%[3]s
Order %[4]s, ATH Móvil's reference %[5]s. Thank you, %[6]s.
`

// send may get a notification more than once. The email then has the same
// Message-ID, which lets mail programs detect the duplicate.
func (m mailer) send(ctx context.Context, e payment.Notification, amount money.Amount, es, en string) error {
	payer := e.Payment.Customer
	if payer.Email == "" {
		return nil // we do not know who paid
	}
	message := mail.NewMsg()
	message.SetMessageIDWithValue(e.ID + "@receipts.cobro")
	message.Subject(fmt.Sprintf("%s / %s: $%s", es, en, amount))
	message.SetBodyString(mail.TypeTextPlain, fmt.Sprintf(text, es, en, amount,
		e.Payment.Reference, e.Payment.ReferenceNumber, string(payer.Name))) // string: private.Text would print as [private]
	if err := errors.Join(message.From(m.from), message.To(string(payer.Email))); err != nil {
		return activities.Permanent(err)
	}
	err := m.client.DialAndSendWithContext(ctx, message)
	var refused *mail.SendError
	if errors.As(err, &refused) && refused.Reason == mail.ErrSMTPRcptTo && !refused.IsTemp() {
		return activities.Permanent(err) // the address does not exist, so trying again is pointless
	}
	return err // Cobro tries again, for days
}
