package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/engine"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
)

// oldKey is the age from which a key should have a successor.
const oldKey = 365 * 24 * time.Hour

// inside looks at what is ours: the key ring, the database, Temporal.
func (e *examination) inside(ctx context.Context) []Finding {
	ring, keys := e.keys()
	findings := append([]Finding{keys}, e.database(ctx, ring)...)
	return append(findings, e.temporal(ctx, ring)...)
}

func (e *examination) keys() (*seal.Ring, Finding) {
	f := Finding{Check: "keys"}
	if e.cfg.KeyFile == "" {
		f.Status, f.Saw, f.Do = Skipped, "no key ring is named", "set COBRO_KEY_FILE"
		return nil, f
	}
	ring, err := seal.Load(e.cfg.KeyFile)
	if err != nil {
		f.Status, f.Saw = Failed, err.Error()
		f.Do = "let this program's user read the key ring that the database was written with, or put its copy back"
		if errors.Is(err, fs.ErrNotExist) {
			f.Do = "put the key ring's copy there; for a new database only: cobro keys --out " + e.cfg.KeyFile
		}
		return nil, f
	}
	keys, err := seal.Keys(e.cfg.KeyFile)
	if err != nil {
		f.Status, f.Saw, f.Do = Failed, err.Error(), "put the key ring's copy back"
		return nil, f
	}
	f.Status, f.Saw = OK, fmt.Sprintf("%d keys read, %s writes", len(keys), ring.PrimaryID())
	for _, key := range keys {
		switch {
		case !key.Writes:
		case key.Created.IsZero():
			f.Saw += "; its age is not known"
		case e.cfg.Now().Sub(key.Created) > oldKey:
			f.Status = Warning
			f.Saw += fmt.Sprintf(" since %s", key.Created.Format(time.DateOnly))
			f.Do = "give it a successor: cobro keys add, then cobro keys use (docs/operations.md)"
		default:
			f.Saw += fmt.Sprintf(" since %s", key.Created.Format(time.DateOnly))
		}
	}
	return ring, f
}

func (e *examination) database(ctx context.Context, ring *seal.Ring) []Finding {
	f := Finding{Check: "database"}
	if ring == nil || e.cfg.Store == "" {
		f.Status, f.Saw, f.Do = Skipped, "no key ring or no database is named", "mend what stands above"
		return []Finding{f}
	}
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	db, err := store.Open(ctx, store.Config{DSN: e.cfg.Store, Sealer: ring, Now: e.cfg.Now})
	if err == nil {
		err = db.Ping(ctx)
	}
	var schema *store.SchemaError
	switch {
	case errors.As(err, &schema) && schema.Have > schema.Want:
		f.Status, f.Saw, f.Do = Failed, err.Error(), "run the newer cobro, or bring back the database's backup of before"
	case errors.As(err, &schema) || errors.Is(err, fs.ErrNotExist):
		f.Status, f.Saw, f.Do = Failed, err.Error(), "run cobro migrate"
	case err != nil && db != nil:
		f.Status, f.Saw, f.Do = Failed, err.Error(), "see whether its disk is full, and whether this program's user may write"
	case err != nil:
		f.Status, f.Saw, f.Do = Failed, err.Error(), "start the database, or mend COBRO_STORE"
	default:
		f.Status, f.Saw = OK, "it answers, takes a write, and has this program's schema"
	}
	if db == nil {
		return []Finding{f}
	}
	defer func() { _ = db.Close() }() // nothing of it is kept
	return []Finding{f, e.merchant(ctx, db)}
}

func (e *examination) merchant(ctx context.Context, db *store.Store) Finding {
	f := Finding{Check: "merchant"}
	owner, err := db.Merchant(ctx)
	switch {
	case err != nil:
		f.Status, f.Saw, f.Do = Failed, err.Error(), "mend the database first"
	case owner == "":
		f.Status, f.Saw = OK, fmt.Sprintf("the database belongs to nobody yet; the first cobro api makes it %q's, for ever", e.cfg.MerchantID)
	case owner != e.cfg.MerchantID:
		f.Status, f.Saw = Failed, fmt.Sprintf("the database belongs to merchant %q, not %q", owner, e.cfg.MerchantID)
		f.Do = "set COBRO_MERCHANT_ID=" + owner + ", or use another database"
	default:
		f.Status, f.Saw = OK, fmt.Sprintf("the database belongs to merchant %q", owner)
	}
	return f
}

func (e *examination) temporal(ctx context.Context, ring *seal.Ring) []Finding {
	f := Finding{Check: "temporal"}
	if ring == nil {
		f.Status, f.Saw, f.Do = Skipped, "nothing is sent to Temporal without a key ring", "mend what stands above"
		return []Finding{f}
	}
	options := e.cfg.Temporal
	options.Sealer, options.Logger, options.Wait = ring, slog.New(slog.DiscardHandler), e.cfg.Timeout/2
	c, err := engine.Dial(ctx, options)
	if err != nil {
		f.Status = Failed
		f.Saw, f.Do = advice(err, "start Temporal, or mend TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE or the profile")
		return []Finding{f}
	}
	defer c.Close()
	namespace := cmp.Or(options.Namespace, engine.DefaultNamespace)
	f.Status, f.Saw = OK, fmt.Sprintf("it answers and has the namespace %q", namespace)

	ctx, cancel := e.bounded(ctx)
	defer cancel()
	attributes := Finding{Check: "search_attributes", Status: OK, Saw: "all are there"}
	if err := engine.CheckSearchAttributes(ctx, c, namespace); err != nil {
		attributes.Status = Failed
		attributes.Saw, attributes.Do = advice(err, "let this program's credentials list search attributes")
	}
	workers := Finding{Check: "workers", Status: OK, Saw: "somebody works on " + strings.Join(e.cfg.Queues, " and ")}
	if err := engine.Polled(ctx, c, e.cfg.Queues...); err != nil {
		workers.Status, workers.Saw = Warning, strings.ReplaceAll(err.Error(), ": start cobro worker", "")
		workers.Do = "start cobro worker: until then payments stay pending and confirmed sales are not charged"
	}
	return []Finding{f, attributes, workers}
}

// advice parts an error that says what to do, behind "; run:", "set" or in
// brackets, and uses a general advice for any other.
func advice(err error, general string) (saw, do string) {
	text := err.Error()
	if before, after, found := strings.Cut(text, "; run:\n"); found {
		return before, "run:\n" + after
	}
	if before, after, found := strings.Cut(text, ": set "); found {
		return before, "set " + after
	}
	if open := strings.LastIndex(text, " ("); open > 0 && strings.HasSuffix(text, ")") {
		return text[:open], text[open+2 : len(text)-1]
	}
	return text, general
}
