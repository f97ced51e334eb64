package worker

// RoundTrip hands a configuration to package runner, and takes it back.
func RoundTrip(c Config) Config { return fromRunner(c.runner()) }
