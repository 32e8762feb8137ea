package apigtest

import "time"

// Option changes how NewGateway sets up a gateway.
type Option func(*config)

type config struct {
	tls                   bool
	addr                  string
	now                   func() time.Time
	seed                  uint64
	projectID, instanceID string
}

// WithTLS serves https, HTTP/1.1 and HTTP/2, with a certificate for 127.0.0.1,
// ::1 and localhost that [Gateway.CertPool] vouches for.
func WithTLS() Option {
	return func(c *config) { c.tls = true }
}

// WithAddr listens on addr instead of a free port of 127.0.0.1. Only loopback
// addresses are accepted: a gateway whose tokens anybody may add has no
// business on a network.
func WithAddr(addr string) Option {
	return func(c *config) { c.addr = addr }
}

// WithClock starts the gateway with this clock, see [Gateway.SetClock].
func WithClock(now func() time.Time) Option {
	return func(c *config) { c.now = now }
}

// WithSeed makes the generated ids the same in every run, as long as the
// things they name are created in the same order.
func WithSeed(seed uint64) Option {
	return func(c *config) { c.seed = seed }
}

// WithInstanceIDs sets the ids of the first instance.
func WithInstanceIDs(projectID, instanceID string) Option {
	return func(c *config) { c.projectID, c.instanceID = projectID, instanceID }
}
