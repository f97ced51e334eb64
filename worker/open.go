package worker

import (
	"context"
	"time"

	"github.com/cobropay/cobro/internal/process"
)

// open opens the store for an order, and Temporal unless storeOnly.
func (c *Config) open(ctx context.Context, storeOnly bool) (*process.Process, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	r := c.runner()
	opened := r.Process()
	opened.StoreOnly = storeOnly
	return process.Open(ctx, opened)
}
