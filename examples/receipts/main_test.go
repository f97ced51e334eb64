package main

import (
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/cobrotest"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// mailServer is a real SMTP server that records emails. It rejects the first
// recipients with the given errors.
type mailServer struct {
	mu         sync.Mutex
	rejections []error
	emails     []email
}

type email struct{ to, id, subject, text string }

func startServer(t *testing.T, rejections ...error) (*mailServer, mailer) {
	t.Helper()
	m := &mailServer{rejections: rejections}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: m}, nil }))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }() // received by the cleanup
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.NoError(t, <-ended)
	})
	p, err := newMailer("smtp://"+listener.Addr().String(), "Café Cobro <receipts@example.com>")
	require.NoError(t, err)
	return m, p
}

func (m *mailServer) received() []email {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.emails
}

type session struct {
	server *mailServer
	to     string
}

func (s *session) Reset()                               {}
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.to = to
	if len(s.server.rejections) == 0 {
		return nil
	}
	rejection := s.server.rejections[0]
	s.server.rejections = s.server.rejections[1:]
	return rejection
}

func (s *session) Data(r io.Reader) error {
	message, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(quotedprintable.NewReader(message.Body))
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.emails = append(s.server.emails, email{
		to: s.to, id: message.Header.Get("Message-Id"), subject: message.Header.Get("Subject"), text: string(text),
	})
	return nil
}

func TestReceiptIsSentForPaymentAndRefund(t *testing.T) {
	t.Parallel()
	server, p := startServer(t)
	shop := cobrotest.NewShop(t, p.receivers())
	paid := shop.Pay("25.00", cobrotest.Order("order-1042"))
	shop.Refund(paid, "5.00")
	shop.Cancel("3.00")

	emails, deliveries := server.received(), shop.Deliveries(paid)
	require.Len(t, emails, 2)
	for i, e := range emails {
		require.Equal(t, string(paid.Customer.Email), e.to)
		require.Equal(t, "<"+deliveries[i].ID+"@receipts.cobro>", e.id)
		require.Contains(t, e.text, "Orden order-1042, referencia "+paid.ReferenceNumber+" de ATH Móvil. Gracias, Benito Cruz.")
		require.Contains(t, e.text, "Order order-1042, ATH Móvil's reference "+paid.ReferenceNumber+". Thank you, Benito Cruz.")
	}
	require.Equal(t, "Recibimos tu pago / We received your payment: $25.00", emails[0].subject)
	require.Equal(t, "Te enviamos un reembolso / We sent you a refund: $5.00", emails[1].subject)
}

func TestRepeatedReceiptHasSameMessageID(t *testing.T) {
	t.Parallel()
	server, p := startServer(t)
	delivered := cobrotest.Deliver(t, p.receivers())
	emails := server.received()
	require.Len(t, emails, 2*len(delivered))
	for i := range delivered {
		require.Equal(t, emails[i], emails[len(emails)-1-i])
	}
	require.NotEqual(t, emails[0].id, emails[1].id)
}

func TestNoReceiptWithoutCustomer(t *testing.T) {
	t.Parallel()
	server, p := startServer(t)
	shop := cobrotest.NewShop(t, p.receivers())
	// ATH Móvil's webhook is lost, so the customer is unknown.
	paid := shop.Sell(payment.Request{Total: money.MustParse("25.00"), PhoneNumber: "7875550500"})
	require.Equal(t, payment.DeliveryDelivered, shop.Deliveries(paid)[0].Status)
	require.Empty(t, server.received())
}

func TestOnlyTemporaryRejectionsAreRetried(t *testing.T) {
	t.Parallel()
	busy := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try later"}
	gone := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	for _, tt := range []struct {
		name       string
		rejections []error
		status     payment.DeliveryStatus
		attempts   int
		emails     int
	}{
		{"busy for a while", []error{busy, busy}, payment.DeliveryDelivered, 3, 1},
		{"no such mailbox", []error{gone}, payment.DeliveryFailed, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, p := startServer(t, tt.rejections...)
			shop := cobrotest.NewShop(t, p.receivers())
			delivery := shop.Deliveries(shop.Pay("25.00"))[0]
			require.Equal(t, tt.status, delivery.Status)
			require.Equal(t, tt.attempts, delivery.Attempts)
			require.Len(t, server.received(), tt.emails)
		})
	}
}

func TestReceiptIsRetriedForDaysWhileServerIsDown(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close()) // nothing listens there now
	p, err := newMailer("smtp://"+listener.Addr().String(), "receipts@example.com")
	require.NoError(t, err)
	shop := cobrotest.NewShop(t, p.receivers())
	began := shop.Now()
	delivery := shop.Deliveries(shop.Pay("25.00"))[0]
	require.Equal(t, payment.DeliveryFailed, delivery.Status)
	require.Greater(t, delivery.Attempts, 10)
	require.Greater(t, shop.Now().Sub(began), 24*time.Hour)
}

func TestNewMailerRejectsInvalidSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, server, from string }{
		{"no URL", "smtp://%", "receipts@example.com"},
		{"no port", "smtp://mail.example.com", "receipts@example.com"},
		{"no sender", "smtp://mail.example.com:587", "nobody"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := newMailer(tt.server, tt.from)
			require.Error(t, err)
		})
	}
}
