// Gateway runs the fake gateway of package apigtest as a process of its own, so
// that programs in other languages, and scripts, can be tested against it.
//
//	go run ./examples/gateway -addr 127.0.0.1:8080 -apis orders,users -envs staging
//
// It prints the environment that apig.ConfigFromEnv reads, as shell commands, and
// the IDs of what it made, as comments. It ends on an interrupt.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// options are what the flags say.
type options struct {
	addr      string
	apis      string
	many      int
	envs      string
	token     string
	accessKey string
	secretKey string
	user      string
	password  string
	domain    string
	faults    float64
	seed      uint64
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:0", "loopback address and port to listen on")
	flag.StringVar(&o.apis, "apis", "orders", "names of the APIs, separated by commas")
	flag.IntVar(&o.many, "many", 0, "how many more APIs, named api-0001 and so on")
	flag.StringVar(&o.envs, "envs", "", "names of the environments besides RELEASE, separated by commas")
	flag.StringVar(&o.token, "token", "", "a token to accept; one is made up if empty")
	flag.StringVar(&o.accessKey, "ak", "", "an access key to accept")
	flag.StringVar(&o.secretKey, "sk", "", "the secret of that access key")
	flag.StringVar(&o.user, "user", "", "a user who may get tokens from /v3/auth/tokens")
	flag.StringVar(&o.password, "password", "", "the password of that user")
	flag.StringVar(&o.domain, "domain", "example", "the account of that user")
	flag.Float64Var(&o.faults, "faults", 0, "share of the requests that something goes wrong with, from 0 to 1")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the IDs and of the faults")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	g := start(os.Stdout, o)
	defer g.Close()
	<-ctx.Done()
	fmt.Fprintf(os.Stderr, "%d requests, %d struck by faults, %d changes\n", len(g.Requests()), g.Faults(), len(g.Journal()))
}

// start starts the gateway, makes what the options ask for, and prints it.
func start(w io.Writer, o options) *apigtest.Gateway {
	g := apigtest.NewGateway(apigtest.WithAddr(o.addr), apigtest.WithSeed(o.seed))
	token := g.Token()
	if o.token != "" {
		token = o.token
		g.AddToken(token, time.Time{})
	}
	fmt.Fprintf(w, "export APIG_ENDPOINT=%s\n", g.URL())
	fmt.Fprintf(w, "export HW_PROJECT_ID=%s\n", g.ProjectID())
	fmt.Fprintf(w, "export APIG_INSTANCE_ID=%s\n", g.InstanceID())
	switch {
	case o.accessKey != "":
		g.AddKeys(o.accessKey, o.secretKey, "")
		fmt.Fprintf(w, "export HW_ACCESS_KEY=%s\nexport HW_SECRET_KEY=%s\n", o.accessKey, o.secretKey)
	case o.user != "":
		g.AddUser(apigtest.User{Name: o.user, Password: o.password, DomainName: o.domain})
		fmt.Fprintf(w, "export HW_AUTH_URL=%s/v3\nexport HW_USER_NAME=%s\nexport HW_PASSWORD=%s\nexport HW_DOMAIN_NAME=%s\n",
			g.URL(), o.user, o.password, o.domain)
	default:
		fmt.Fprintf(w, "export HW_AUTH_TOKEN=%s\n", token)
	}
	for _, name := range names(o.apis) {
		fmt.Fprintf(w, "# API %s %s\n", g.AddAPI(name), name)
	}
	for i := range o.many {
		g.AddAPI(fmt.Sprintf("api-%04d", i+1))
	}
	for _, name := range names(o.envs) {
		fmt.Fprintf(w, "# environment %s %s\n", g.AddEnvironment(name), name)
	}
	if o.faults > 0 {
		g.InjectFunc(apigtest.Mix(o.seed, o.faults,
			apigtest.ApplyThenClose(), apigtest.CloseBefore(), apigtest.CloseThenApply(300*time.Millisecond),
			apigtest.Cut(0), apigtest.Throttle("1"), apigtest.Busy(), apigtest.Slow(200*time.Millisecond),
			apigtest.Answer(502, "<html><body>502 Bad Gateway</body></html>"),
			apigtest.ApplyThenAnswer(504, "<html><body>504 Gateway Time-out</body></html>")))
	}
	return g
}

// names splits a list at its commas.
func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
