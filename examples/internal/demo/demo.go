// Package demo opens the gateway that an example uses: the one of the environment, or
// one of its own in this process.
package demo

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// Site is a gateway, and APIs on it.
type Site struct {
	Config  apig.Config
	APIIDs  []string
	Gateway *apigtest.Gateway // nil: the one of the environment
}

// Open returns the gateway of the environment if APIG_INSTANCE_ID is set; see
// apig.ConfigFromEnv. The arguments of the program are then the IDs of APIs. Otherwise
// Open starts a gateway that has n APIs. Flags must be parsed before.
func Open(n int) (*Site, error) {
	if os.Getenv("APIG_INSTANCE_ID") != "" {
		cfg, err := apig.ConfigFromEnv()
		if err == nil && flag.NArg() == 0 {
			err = errors.New("the IDs of APIs are missing: give them as arguments")
		}
		return &Site{Config: cfg, APIIDs: flag.Args()}, err
	}
	fmt.Println("using the built-in gateway")
	return BuiltIn(n), nil
}

// BuiltIn starts a gateway that has n APIs, with the options of apigtest.
func BuiltIn(n int, opts ...apigtest.Option) *Site {
	g := apigtest.NewGateway(opts...)
	s := &Site{Gateway: g, Config: apig.Config{
		Endpoint:   g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Auth:       apig.StaticToken(g.Token()),
	}}
	for i := range n {
		s.APIIDs = append(s.APIIDs, g.AddAPI(fmt.Sprintf("api-%d", i+1)))
	}
	return s
}

// Inject adds faults to the built-in gateway. For another one it does nothing.
func (s *Site) Inject(faults ...apigtest.Fault) {
	if s.Gateway != nil {
		s.Gateway.Inject(faults...)
	}
}

// Close ends the built-in gateway.
func (s *Site) Close() {
	if s.Gateway != nil {
		s.Gateway.Close()
	}
}
