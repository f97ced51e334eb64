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

	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/temporalclient"
)

// maxKeyAge is the age at which the primary key should be replaced.
const maxKeyAge = 365 * 24 * time.Hour

// installation checks the key file, the database and Temporal.
func (c *checker) installation(ctx context.Context) []Finding {
	ring, keys := c.keys()
	findings := append([]Finding{keys}, c.database(ctx, ring)...)
	return append(findings, c.temporal(ctx, ring)...)
}

func (c *checker) keys() (*seal.Ring, Finding) {
	f := Finding{Check: "keys"}
	if c.cfg.KeyFile == "" {
		f.Status, f.Saw, f.Do = Skipped, "COBRO_KEY_FILE is not set", "set COBRO_KEY_FILE"
		return nil, f
	}
	ring, err := seal.Load(c.cfg.KeyFile)
	if err != nil {
		f.Status, f.Saw = Failed, err.Error()
		f.Do = "let this program's user read the key file that the database was written with, or restore its backup"
		if errors.Is(err, fs.ErrNotExist) {
			f.Do = "restore the backup of the key file there; for a new database only: cobro keys --out " + c.cfg.KeyFile
		}
		return nil, f
	}
	keys, err := seal.Keys(c.cfg.KeyFile)
	if err != nil {
		f.Status, f.Saw, f.Do = Failed, err.Error(), "restore the backup of the key file"
		return nil, f
	}
	f.Status, f.Saw = OK, fmt.Sprintf("%d keys, primary %s", len(keys), ring.PrimaryID())
	for _, key := range keys {
		switch {
		case !key.Primary:
		case key.Created.IsZero():
			f.Saw += "; its age is unknown"
		default:
			f.Saw += " since " + key.Created.Format(time.DateOnly)
			if c.cfg.Now().Sub(key.Created) > maxKeyAge {
				f.Status, f.Do = Warning, "rotate it: cobro keys add, then cobro keys use (docs/operations.md)"
			}
		}
	}
	return ring, f
}

func (c *checker) database(ctx context.Context, ring *seal.Ring) []Finding {
	f := Finding{Check: "database"}
	if ring == nil || c.cfg.Store == "" {
		f.Status, f.Saw, f.Do = Skipped, "there is no key ring or COBRO_STORE is not set", "fix the problems above"
		return []Finding{f}
	}
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	db, err := store.Open(ctx, store.Config{DSN: c.cfg.Store, Sealer: ring, Now: c.cfg.Now})
	if err == nil {
		err = db.Ping(ctx)
	}
	var schema *store.SchemaError
	switch {
	case errors.As(err, &schema) && schema.Have > schema.Want:
		f.Status, f.Saw, f.Do = Failed, err.Error(), "run the newer cobro, or restore a database backup from before the upgrade"
	case errors.As(err, &schema) || errors.Is(err, fs.ErrNotExist):
		f.Status, f.Saw, f.Do = Failed, err.Error(), "run cobro migrate"
	case err != nil && db != nil:
		f.Status, f.Saw, f.Do = Failed, err.Error(), "check whether its disk is full, and whether this program's user may write"
	case err != nil:
		f.Status, f.Saw, f.Do = Failed, err.Error(), "start the database, or fix COBRO_STORE"
	default:
		f.Status, f.Saw = OK, "it answers, accepts a write and has the schema of this version"
	}
	if db == nil {
		return []Finding{f}
	}
	defer func() { _ = db.Close() }() // nothing was written that Close could lose
	return []Finding{f, c.merchant(ctx, db)}
}

func (c *checker) merchant(ctx context.Context, db *store.Store) Finding {
	f := Finding{Check: "merchant"}
	owner, err := db.Merchant(ctx)
	switch {
	case err != nil:
		f.Status, f.Saw, f.Do = Failed, err.Error(), "fix the database first"
	case owner == "":
		f.Status, f.Saw = OK, fmt.Sprintf("the database has no merchant yet; the first cobro api assigns it to %q permanently", c.cfg.MerchantID)
	case owner != c.cfg.MerchantID:
		f.Status, f.Saw = Failed, fmt.Sprintf("the database belongs to merchant %q, not %q", owner, c.cfg.MerchantID)
		f.Do = "set COBRO_MERCHANT_ID=" + owner + ", or use another database"
	default:
		f.Status, f.Saw = OK, fmt.Sprintf("the database belongs to merchant %q", owner)
	}
	return f
}

func (c *checker) temporal(ctx context.Context, ring *seal.Ring) []Finding {
	f := Finding{Check: "temporal"}
	if ring == nil {
		f.Status, f.Saw, f.Do = Skipped, "nothing is sent to Temporal without a key ring", "fix the problems above"
		return []Finding{f}
	}
	options := c.cfg.Temporal
	options.Sealer, options.Logger, options.Wait = ring, slog.New(slog.DiscardHandler), c.cfg.Timeout/2
	temporal, err := temporalclient.Dial(ctx, options)
	if err != nil {
		f.Status = Failed
		f.Saw, f.Do = splitAdvice(err, "start Temporal, or fix TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE or the profile")
		return []Finding{f}
	}
	defer temporal.Close()
	namespace := cmp.Or(options.Namespace, temporalclient.DefaultNamespace)
	f.Status, f.Saw = OK, fmt.Sprintf("it answers and has the namespace %q", namespace)

	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	attributes := Finding{Check: "search_attributes", Status: OK, Saw: "all are registered"}
	if err := temporalclient.CheckSearchAttributes(ctx, temporal, namespace); err != nil {
		attributes.Status = Failed
		attributes.Saw, attributes.Do = splitAdvice(err, "let this program's credentials list search attributes")
	}
	workers := Finding{Check: "workers", Status: OK, Saw: "workers poll " + strings.Join(c.cfg.Queues, " and ")}
	if err := temporalclient.Polled(ctx, temporal, c.cfg.Queues...); err != nil {
		workers.Status, workers.Saw = Warning, strings.ReplaceAll(err.Error(), ": start cobro worker", "")
		workers.Do = "start cobro worker: until then payments stay pending and confirmed sales are not charged"
	}
	return []Finding{f, attributes, workers}
}

// splitAdvice splits an error that says what to do, after "; run:" or "set" or in
// parentheses, into the two parts. For any other error the advice is fallback.
func splitAdvice(err error, fallback string) (saw, do string) {
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
	return text, fallback
}
