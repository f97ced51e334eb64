package worker

import "github.com/cobropay/cobro/internal/runner"

// Runner is what Run hands to package runner.
func Runner(c Config) runner.Config { return c.runner() }
