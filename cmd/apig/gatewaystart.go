package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// servedGateway is the gateway of package apigtest behind a listener of this
// program's own, which serves the control address as well.
type servedGateway struct {
	*apigtest.Gateway
	options gatewayOptions
	made    inventory
	log     io.Writer
	server  *http.Server
	served  sync.WaitGroup
	clock   controlledClock
	remove  string // a file to remove at the end
}

// startGateway starts the gateway and makes what the options ask for.
func startGateway(o gatewayOptions, stderr io.Writer) (*servedGateway, error) {
	listener, err := net.Listen("tcp", o.addr)
	if err != nil {
		return nil, err
	}
	// It says the address of the listener in what it answers, but has no socket.
	opts := []apigtest.Option{
		apigtest.WithoutNetwork(), apigtest.WithAddr(listener.Addr().String()),
		apigtest.WithSeed(o.seed), apigtest.WithIDs(o.projectID, o.instanceID), apigtest.WithRegion(o.region),
	}
	if o.tls {
		opts = append(opts, apigtest.WithTLS())
	}
	fake, err := apigtest.Start(opts...)
	if err != nil {
		listener.Close()
		return nil, err
	}
	g := &servedGateway{Gateway: fake, options: o, log: stderr}
	if o.quiet {
		g.log = io.Discard
	}
	var cert *certificate
	if o.tls {
		if cert, err = newCertificate(); err == nil {
			err = g.writeCertificate(cert)
		}
		if err != nil {
			listener.Close()
			fake.Close()
			return nil, err
		}
	}
	g.populate()
	g.arm()
	g.serve(listener, cert)
	return g, nil
}

func (g *servedGateway) writeCertificate(cert *certificate) error {
	if g.options.certFile == "" {
		file, err := os.CreateTemp("", "apig-gateway-*.pem")
		if err != nil {
			return err
		}
		g.remove = file.Name()
		g.options.certFile = file.Name()
		if err := file.Close(); err != nil {
			return err
		}
	}
	return os.WriteFile(g.options.certFile, cert.pem, 0o644)
}

// populate makes the credentials, the APIs and the environments.
func (g *servedGateway) populate() {
	o := &g.options
	for _, token := range o.tokens {
		g.AddToken(token, time.Time{})
	}
	if o.accessKey != "" {
		g.AddKeys(o.accessKey, o.secretKey, "")
	}
	if o.user != "" {
		g.AddUser(apigtest.User{Name: o.user, Password: o.password, DomainName: o.domain})
	}
	if len(o.tokens) == 0 && o.accessKey == "" && o.user == "" {
		o.tokens = []string{g.Token()}
	}
	g.made = inventory{
		URL: g.URL(), Control: g.URL() + controlPath,
		ProjectID: g.ProjectID(), InstanceID: g.InstanceID(), Region: o.region,
		APIs: []madeAPI{}, Groups: []named{},
		Environments: []named{{"DEFAULT_ENVIRONMENT_RELEASE_ID", "RELEASE"}},
	}
	names := o.apis
	if len(names) == 0 && o.many == 0 {
		names = []string{"orders"}
	}
	groups := map[string]string{}
	for _, name := range names {
		group, plain, ok := strings.Cut(name, "/")
		if !ok {
			g.made.APIs = append(g.made.APIs, madeAPI{named{g.AddAPI(name), name}, ""})
			continue
		}
		if groups[group] == "" {
			groups[group] = g.AddGroup(group)
			g.made.Groups = append(g.made.Groups, named{groups[group], group})
		}
		g.made.APIs = append(g.made.APIs, madeAPI{named{g.AddAPIIn(groups[group], plain), plain}, group})
	}
	for i := range o.many {
		name := fmt.Sprintf("api-%04d", i+1)
		g.made.APIs = append(g.made.APIs, madeAPI{named{g.AddAPI(name), name}, ""})
	}
	for _, name := range o.envs {
		g.made.Environments = append(g.made.Environments, named{g.AddEnvironment(name), name})
	}
	g.made.Variables = g.variables()
}

// watch has a line written for each request to something that is not imitated.
// A fault that strikes nothing gets to see every request.
func (g *servedGateway) watch() {
	g.Inject(apigtest.Fault{}.Always().When(func(r *apigtest.Request) bool {
		if r.Op == apigtest.OpUnknown {
			fmt.Fprintf(g.log, "not imitated: %s %q (request %s)\n", r.Method, r.Path, r.ID)
		}
		return false
	}))
}

// arm injects the faults that strike at random.
func (g *servedGateway) arm() {
	g.watch()
	if g.options.faults > 0 {
		g.InjectFunc(apigtest.Mix(g.options.seed, g.options.faults, mixedFaults()...))
	}
}

// mixedFaults are those that -faults chooses from.
func mixedFaults() []apigtest.Fault {
	return []apigtest.Fault{
		apigtest.ApplyThenClose(), apigtest.CloseBefore(), apigtest.CloseThenApply(300 * time.Millisecond),
		apigtest.Cut(0), apigtest.Throttle("1"), apigtest.Busy(), apigtest.Slow(200 * time.Millisecond),
		apigtest.Answer(502, "<html><body>502 Bad Gateway</body></html>"),
		apigtest.ApplyThenAnswer(504, "<html><body>504 Gateway Time-out</body></html>"),
	}
}

// serve serves the gateway and its control address until close.
func (g *servedGateway) serve(listener net.Listener, cert *certificate) {
	g.server = &http.Server{
		Handler:           g.handler(),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          quietHandshakes(g.log),
	}
	g.served.Go(func() {
		if cert == nil {
			_ = g.server.Serve(listener) // always ends with ErrServerClosed
			return
		}
		g.server.TLSConfig = cert.config()
		_ = g.server.ServeTLS(listener, "", "")
	})
}

// handler serves the control address itself and leaves all else to the gateway.
func (g *servedGateway) handler() http.Handler {
	gateway, control := g.Handler(), g.control()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, controlPath) {
			control.ServeHTTP(w, r)
			return
		}
		gateway.ServeHTTP(w, r)
	})
}

// close ends the gateway first, which lets go of the requests that hang.
func (g *servedGateway) close() {
	g.Close()
	_ = g.server.Close() // an error of closing the listener helps nobody here
	g.served.Wait()
	if g.remove != "" {
		os.Remove(g.remove)
	}
}

// quietHandshakes leaves out what clients say themselves: that they do not trust
// the certificate.
func quietHandshakes(w io.Writer) *log.Logger { return log.New(handshakeFilter{w}, "", log.LstdFlags) }

type handshakeFilter struct{ w io.Writer }

// Write drops lines about failed handshakes.
func (f handshakeFilter) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("TLS handshake error")) {
		return len(line), nil
	}
	return f.w.Write(line)
}
