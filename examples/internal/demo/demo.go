// Package demo gives the examples something to run against: the gateway that the
// environment names, or else one of their own, in this process.
package demo

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// Site is a gateway to run against.
type Site struct {
	Config  apig.Config
	APIIDs  []string
	Gateway *apigtest.Gateway // nil: it is yours
}

// Open returns the gateway of the environment, with the APIs whose IDs are the
// arguments of the program, if APIG_INSTANCE_ID is set; see apig.ConfigFromEnv.
// Otherwise it starts one that has n APIs. Flags must be parsed by then.
func Open(n int) (*Site, error) {
	if os.Getenv("APIG_INSTANCE_ID") != "" {
		cfg, err := apig.ConfigFromEnv()
		if err == nil && flag.NArg() == 0 {
			err = errors.New("which APIs? Give their IDs as arguments")
		}
		return &Site{Config: cfg, APIIDs: flag.Args()}, err
	}
	fmt.Println("running against the built-in gateway")
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

// Inject has faults strike the built-in gateway, and leaves one of yours alone.
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
