package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

var gatewayCommand = &command{
	name:     "gateway",
	summary:  "run a gateway to test against, in memory, with faults",
	synopsis: "[flags]",
	about: `Runs the gateway of package apigtest until it is interrupted, so that programs in any
language can be tested against it. It prints the environment that clients need, as
shell commands, and the IDs of all that it made. Below /_apigtest/ it shows what was
sent and what was applied, and takes faults:

  curl $APIGTEST_URL/_apigtest/                       what there is
  curl $APIGTEST_URL/_apigtest/journal                every change that was applied, in order
  curl $APIGTEST_URL/_apigtest/requests?op=action     every request that was received
  curl $APIGTEST_URL/_apigtest/faults                 the names of the faults
  curl $APIGTEST_URL/_apigtest/faults -d '{"name":"apply-then-close","op":"action","times":2}'
  curl $APIGTEST_URL/_apigtest/faults -X DELETE       nothing goes wrong any more
  curl $APIGTEST_URL/_apigtest/clock -X PUT -d '{"offset":"25h"}'
  curl $APIGTEST_URL/_apigtest/reset -X POST          forgets all but APIs, environments and credentials

A request to something that it does not imitate is a line on stderr.
`,
	examples: `  apig gateway -apis orders,users -envs staging -env-file gateway.env &
  until [ -f gateway.env ]; do sleep 0.1; done; . ./gateway.env
  apig gateway -addr 127.0.0.1:8080 -ak AK -sk SK -user ci -password secret -json
  apig gateway -many 1000 -faults 0.3 -seed 7
`,
	exits: `  0    interrupted, which is how it ends
  64   usage: a flag, a port that is taken, or a file that cannot be written
`,
	run: program.gateway,
}

// gatewayOptions are what the flags say.
type gatewayOptions struct {
	addr       string
	apis       stringList
	many       int
	envs       stringList
	tokens     stringList
	accessKey  string
	secretKey  string
	user       string
	password   string
	domain     string
	projectID  string
	instanceID string
	region     string
	faults     float64
	seed       uint64
	tls        bool
	certFile   string
	envFile    string
	json       bool
	quiet      bool
}

func (o *gatewayOptions) define(fs *flag.FlagSet) {
	fs.StringVar(&o.addr, "addr", "127.0.0.1:0", "loopback `address` and port to listen on; port 0 is any that is free")
	fs.Var(&o.apis, "apis", "`names` of the APIs, separated by commas; group/name puts one into a group of that name (default orders)")
	fs.IntVar(&o.many, "many", 0, "how many more APIs, named api-0001 and so on")
	fs.Var(&o.envs, "envs", "`names` of the environments besides RELEASE, separated by commas")
	fs.Var(&o.tokens, "token", "a `token` to accept; may be repeated. One is made up if no credentials are given")
	fs.StringVar(&o.accessKey, "ak", "", "an access `key` to accept, with -sk")
	fs.StringVar(&o.secretKey, "sk", "", "the `secret` of that access key")
	fs.StringVar(&o.user, "user", "", "`name` of a user who may get tokens from /v3/auth/tokens, with -password")
	fs.StringVar(&o.password, "password", "", "the `password` of that user")
	fs.StringVar(&o.domain, "domain", "example", "`name` of that user's account")
	fs.StringVar(&o.projectID, "project", "", "`ID` of the project; one is made up if empty")
	fs.StringVar(&o.instanceID, "instance", "", "`ID` of the gateway; one is made up if empty")
	fs.StringVar(&o.region, "region", "cn-north-4", "`name` of the region, which is the name of the project too")
	fs.Float64Var(&o.faults, "faults", 0, "`share` of the requests that something goes wrong with, from 0 to 1")
	fs.Uint64Var(&o.seed, "seed", 1, "seed of the IDs and of the faults")
	fs.BoolVar(&o.tls, "tls", false, "serve https, with a certificate that is made up and written to -cert-file")
	fs.StringVar(&o.certFile, "cert-file", "", "`file` for the certificate of -tls (default a new file in the temporary directory)")
	fs.StringVar(&o.envFile, "env-file", "", "`file` for the shell commands, complete as soon as it exists and removed at the end")
	fs.BoolVar(&o.json, "json", false, "print one JSON object instead of shell commands")
	fs.BoolVar(&o.quiet, "quiet", false, "write nothing to stderr but errors of usage and configuration")
}

func (o *gatewayOptions) check() error {
	switch {
	case (o.accessKey == "") != (o.secretKey == ""):
		return errors.New("-ak and -sk need each other")
	case (o.user == "") != (o.password == ""):
		return errors.New("-user and -password need each other")
	case !(o.faults >= 0 && o.faults <= 1): // NaN is not either
		return fmt.Errorf("-faults %v is not between 0 and 1", o.faults)
	case o.many < 0 || o.many > 100_000:
		return fmt.Errorf("-many %d is not between 0 and 100000", o.many)
	case o.certFile != "" && !o.tls:
		return errors.New("-cert-file needs -tls")
	case o.region == "":
		return errors.New("-region is empty")
	}
	return checkLoopback(o.addr)
}

// checkLoopback refuses to listen where others could reach it: a gateway whose
// faults anybody may choose has no business on a network.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-addr %s: it is not host:port", addr)
	}
	if host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("-addr %s is not a loopback address", addr)
	}
	return nil
}

func (p program) gateway(ctx context.Context, c *command, args []string) int {
	var o gatewayOptions
	fs := newFlags(c)
	o.define(fs)
	if err := p.parse(c, fs, args, 0); err != nil {
		return p.usage(c, err)
	}
	if err := o.check(); err != nil {
		return p.usage(c, err)
	}
	g, err := startGateway(o, p.stderr)
	if err != nil {
		fmt.Fprintf(p.stderr, "apig gateway: %v\n", err)
		return exitUsage
	}
	defer g.close()
	if o.envFile != "" {
		if err := writeWhole(o.envFile, g.made.shell()); err != nil {
			fmt.Fprintf(p.stderr, "apig gateway: %v\n", err)
			return exitUsage
		}
		defer os.Remove(o.envFile)
	}
	if o.json {
		out := output{p.stdout, p.stderr}
		out.write(g.made, "  ")
	} else {
		fmt.Fprint(p.stdout, g.made.shell())
	}
	<-ctx.Done()
	if !o.quiet {
		fmt.Fprintf(p.stderr, "%d requests, %d struck by faults, %d changes\n", len(g.Requests()), g.Struck(), len(g.Journal()))
	}
	return exitDone
}

// writeWhole writes a file that nobody sees before all of it is there, and that
// nobody else can read.
func writeWhole(path, content string) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(content)
	if err = cmp.Or(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		os.Remove(temporary.Name())
	}
	return err
}
