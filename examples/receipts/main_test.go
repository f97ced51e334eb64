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

// mailServer is a real SMTP server that keeps what it is sent, after answering
// the first recipients with refusals.
type mailServer struct {
	mu       sync.Mutex
	refusals []error
	letters  []letter
}

type letter struct{ to, id, subject, text string }

func startServer(t *testing.T, refusals ...error) (*mailServer, post) {
	t.Helper()
	m := &mailServer{refusals: refusals}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{server: m}, nil }))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }() // received by the cleanup
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.NoError(t, <-ended)
	})
	p, err := newPost("smtp://"+listener.Addr().String(), "Café Cobro <receipts@example.com>")
	require.NoError(t, err)
	return m, p
}

func (m *mailServer) received() []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.letters
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
	if len(s.server.refusals) == 0 {
		return nil
	}
	refusal := s.server.refusals[0]
	s.server.refusals = s.server.refusals[1:]
	return refusal
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
	s.server.letters = append(s.server.letters, letter{
		to: s.to, id: message.Header.Get("Message-Id"), subject: message.Header.Get("Subject"), text: string(text),
	})
	return nil
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	server, p := startServer(t)
	shop := cobrotest.NewShop(t, p.receivers())
	paid := shop.Pay("25.00", cobrotest.Order("order-1042"))
	shop.Refund(paid, "5.00")
	shop.Cancel("3.00")

	letters, deliveries := server.received(), shop.Deliveries(paid)
	require.Len(t, letters, 2)
	for i, l := range letters {
		require.Equal(t, string(paid.Customer.Email), l.to)
		require.Equal(t, "<"+deliveries[i].ID+"@receipts.cobro>", l.id)
		require.Contains(t, l.text, "Orden order-1042, referencia "+paid.ReferenceNumber+" de ATH Móvil. Gracias, Benito Cruz.")
		require.Contains(t, l.text, "Order order-1042, ATH Móvil's reference "+paid.ReferenceNumber+". Thank you, Benito Cruz.")
	}
	require.Equal(t, "Recibimos su pago / We received your payment: $25.00", letters[0].subject)
	require.Equal(t, "Le devolvimos dinero / We gave you money back: $5.00", letters[1].subject)
}

// TestTheSameLetterTwice says that a repetition can be recognised.
func TestTheSameLetterTwice(t *testing.T) {
	t.Parallel()
	server, p := startServer(t)
	delivered := cobrotest.Deliver(t, p.receivers())
	letters := server.received()
	require.Len(t, letters, 2*len(delivered))
	for i := range delivered {
		require.Equal(t, letters[i], letters[len(letters)-1-i])
	}
	require.NotEqual(t, letters[0].id, letters[1].id)
}

func TestNobodyToWriteTo(t *testing.T) {
	t.Parallel()
	server, p := startServer(t)
	shop := cobrotest.NewShop(t, p.receivers())
	// ATH Móvil's webhook is lost, and with it who paid.
	paid := shop.Sell(payment.Request{Total: money.MustParse("25.00"), PhoneNumber: "7875550500"})
	require.Equal(t, payment.DeliveryDelivered, shop.Deliveries(paid)[0].Status)
	require.Empty(t, server.received())
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	busy := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try later"}
	gone := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	for _, tt := range []struct {
		name     string
		refusals []error
		status   payment.DeliveryStatus
		attempts int
		letters  int
	}{
		{"busy for a while", []error{busy, busy}, payment.DeliveryDelivered, 3, 1},
		{"no such mailbox", []error{gone}, payment.DeliveryFailed, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, p := startServer(t, tt.refusals...)
			shop := cobrotest.NewShop(t, p.receivers())
			delivery := shop.Deliveries(shop.Pay("25.00"))[0]
			require.Equal(t, tt.status, delivery.Status)
			require.Equal(t, tt.attempts, delivery.Attempts)
			require.Len(t, server.received(), tt.letters)
		})
	}
}

// TestAServerThatIsAway says that a letter waits for its server, for days.
func TestAServerThatIsAway(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close()) // nobody is there
	p, err := newPost("smtp://"+listener.Addr().String(), "receipts@example.com")
	require.NoError(t, err)
	shop := cobrotest.NewShop(t, p.receivers())
	began := shop.Now()
	delivery := shop.Deliveries(shop.Pay("25.00"))[0]
	require.Equal(t, payment.DeliveryFailed, delivery.Status)
	require.Greater(t, delivery.Attempts, 10)
	require.Greater(t, shop.Now().Sub(began), 24*time.Hour)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, server, from string }{
		{"no URL", "smtp://%", "receipts@example.com"},
		{"no port", "smtp://mail.example.com", "receipts@example.com"},
		{"no sender", "smtp://mail.example.com:587", "nobody"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := newPost(tt.server, tt.from)
			require.Error(t, err)
		})
	}
}
