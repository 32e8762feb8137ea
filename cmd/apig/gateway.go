package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/apig-go/apig/internal/gateway"
)

func (p *program) gatewayCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Run a gateway to test against, and choose what goes wrong",
		Long: `Runs the gateway of package apigtest as a process, so that programs in any
language can be tested against it, and talks to one that runs.`,
		Example: `  apig gateway start --apis orders,users --envs staging --env-file gw.env &
  until [ -f gw.env ]; do sleep 0.1; done; . ./gw.env
  apig gateway inject apply-then-close --op action --times 2
  apig gateway journal | jq -r '.journal[].op'
  apig gateway reset`,
		Annotations:                map[string]string{"exits": controlExits},
		SuggestionsMinimumDistance: 2,
		RunE:                       p.missingCommand,
	}
	inject := p.controlCommand("inject FAULT", http.MethodPost, "faults", "Have a fault strike the next requests")
	inject.Example = `  apig gateway inject apply-then-close --op action
  apig gateway inject hang --times -1 --api-id "$ID" --applied`
	inject.Args, inject.ValidArgs = cobra.ExactArgs(1), gateway.FaultNames()
	fs := inject.Flags()
	fs.Int("times", 1, "how many requests the fault strikes; -1 for all")
	fs.Int("skip", 0, "how many requests pass before")
	fs.String("delay", "", "`time` that passes before anything else, such as 300ms")
	fs.Bool("applied", false, "the request takes effect before the client sees the fault")
	fs.String("after", "", "the request takes effect this `time` after the client has seen the fault")
	fs.Int("status", 0, "`status` of the answer")
	fs.String("body", "", "`text` of the answer with this status")

	clock := p.controlCommand("clock", http.MethodPut, "clock", "Show or set the gateway's clock")
	clock.Example = "  apig gateway clock --offset 25h"
	clock.Flags().String("now", "", "`time` such as 2026-01-02T15:04:05Z")
	clock.Flags().String("offset", "", "`time` ahead of this machine's clock, such as 25h or -1m")
	clock.Flags().String("date-skew", "", "`time` by which the header Date alone is ahead")
	clock.MarkFlagsMutuallyExclusive("now", "offset")

	journal := p.controlCommand("journal", http.MethodGet, "journal", "Show every change that was applied")
	journal.Flags().String("env-id", "", "only the environment with this `ID`")
	requests := p.controlCommand("requests", http.MethodGet, "requests", "Show every request that was received")
	for _, c := range []*cobra.Command{journal, requests} {
		c.Flags().String("since", "", "only what came after the entry with this `number`")
	}
	for _, c := range []*cobra.Command{journal, requests, inject} {
		c.Flags().String("api-id", "", "only the API with this `ID`")
	}
	var ops []string
	for _, op := range gateway.Ops() {
		ops = append(ops, string(op))
	}
	for _, c := range []*cobra.Command{requests, inject} {
		c.Flags().String("op", "", "only requests of this `kind`")
		complete(c, "op", ops...)
	}
	c.AddCommand(
		p.gatewayStartCommand(), inject, clock, journal, requests,
		p.controlCommand("faults", http.MethodGet, "faults", "List the faults, and count the requests that were struck"),
		p.controlCommand("clear", http.MethodDelete, "faults", "End all faults"),
		p.controlCommand("reset", http.MethodPost, "reset", "Undo all that clients have done, and end chosen faults"),
	)
	return c
}

// The exit codes of "gateway start", and of the commands that talk to it.
const (
	startExits = `  0    interrupted: this is how it ends
  64   usage: a flag, a port that is in use, or a file that cannot be written
  74   stdout could not be written
`
	controlExits = `  0    done
  1    no gateway answers, or it refuses the request
  64   usage
  74   stdout could not be written
  130  interrupted
`
)

// gatewayFlags puts the names of flags into the messages of the gateway's settings.
var gatewayFlags = strings.NewReplacer(
	"an access key and its secret key", "--ak and --sk",
	"the share of faults", "--faults",
	"names of the gateway need leave to listen for other machines", "--hosts requires --allow-remote",
	"is not a loopback address", "is not a loopback address; other machines require --allow-remote",
)

func (p *program) gatewayStartCommand() *cobra.Command {
	var s gateway.Settings
	c := &cobra.Command{
		Use:   "start [flags]",
		Short: "Run the gateway until it is interrupted",
		Long: `Runs the gateway until it is interrupted. It prints the environment that clients
need, as shell commands, and the IDs of all that it made.

Other users of the machine see flags. Instead, the credentials can come from the
variables APIGTEST_TOKEN, APIGTEST_AK, APIGTEST_SK, APIGTEST_USER and
APIGTEST_PASSWORD, or from the file that the same name with _FILE names.`,
		Example: `  apig gateway start --apis orders,shop/cart --envs staging --env-file gw.env
  APIGTEST_PASSWORD_FILE=pw.txt apig gateway start --user ci -o json
  apig gateway start --addr 0.0.0.0:8080 --allow-remote --hosts gateway
  apig gateway start --many 1000 --faults 0.3 --seed 7`,
		Annotations: map[string]string{"exits": startExits},
		Args:        cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := s.ReadSecrets(p.getenv); err != nil {
				return &exit{exitUsage, err}
			}
			if err := s.Check(); err != nil {
				return errors.New(gatewayFlags.Replace(err.Error()))
			}
			if err := gateway.Run(c.Context(), s, p.stdout, p.stderr); err != nil {
				return &exit{exitUsage, err}
			}
			return nil
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.StringVar(&s.Addr, "addr", "127.0.0.1:0", "`address` and port; port 0 is any that is free")
	fs.BoolVar(&s.AllowRemote, "allow-remote", false, "allow an address that other machines can reach; anyone there can choose faults")
	fs.Func("hosts", "`names` by which other machines call the gateway; requires --allow-remote", names(&s.Hosts))
	fs.Func("apis", "`names` of the APIs; GROUP/NAME puts one into a group (default orders)", names(&s.APIs))
	fs.IntVar(&s.Many, "many", 0, "how many more APIs, named api-0001 and so on")
	fs.Func("envs", "`names` of the environments besides RELEASE", names(&s.Environments))
	fs.StringArrayVar(&s.Tokens, "token", nil, "`token` to accept; may be repeated (default: one is generated if no credentials are given)")
	fs.StringVar(&s.AccessKey, "ak", "", "access `key` to accept")
	fs.StringVar(&s.SecretKey, "sk", "", "its `secret` key")
	fs.StringVar(&s.User, "user", "", "`name` of a user who may get tokens from /v3/auth/tokens")
	fs.StringVar(&s.Password, "password", "", "the user's `password`")
	fs.StringVar(&s.Domain, "domain", "example", "`name` of the user's account")
	fs.StringVar(&s.ProjectID, "project", "", "`ID` of the project (default: it is generated)")
	fs.StringVar(&s.InstanceID, "instance", "", "`ID` of the gateway (default: it is generated)")
	fs.StringVar(&s.Region, "region", "cn-north-4", "`name` of the region and of the project")
	fs.Float64Var(&s.Faults, "faults", 0, "`share` of the requests that a fault strikes, from 0 to 1")
	fs.Uint64Var(&s.Seed, "seed", 1, "`seed` of the IDs and of these faults")
	fs.BoolVar(&s.TLS, "tls", false, "serve https with a generated certificate")
	fs.StringVar(&s.CertFile, "cert-file", "", "`file` for the certificate (default: a new file in the temporary directory)")
	fs.StringVar(&s.EnvFile, "env-file", "", "`file` for the shell commands; it appears when it is complete, and is removed at the end")
	fs.FuncP("output", "o", "`form` of the output: shell, json (default shell)", func(form string) error {
		if s.JSON = form == formJSON; !s.JSON && form != "shell" {
			return errors.New("it is not one of shell, json")
		}
		return nil
	})
	fs.BoolVarP(&s.Quiet, "quiet", "q", false, "write only errors to stderr")
	complete(c, "output", "shell", formJSON)
	return c
}

// names reads a list. A StringSlice would leave out all lines but the first.
func names(into *[]string) func(string) error {
	return func(list string) error {
		lines, err := csv.NewReader(strings.NewReader(list)).ReadAll()
		if err != nil || len(lines) != 1 || slices.Contains(lines[0], "") {
			return errors.New("it is not one line with commas between names")
		}
		*into = append(*into, lines[0]...)
		return nil
	}
}

// controlCommand is a command that makes one request to a gateway that runs, and prints
// the answer. The flags that are given go into the query of a GET, and into the body of
// any other request. A PUT without any is a GET.
func (p *program) controlCommand(use, method, path, short string) *cobra.Command {
	name, _, _ := strings.Cut(use, " ")
	var base string
	c := &cobra.Command{
		Use:         use,
		Short:       short,
		Long:        short + ".",
		Example:     "  apig gateway " + name,
		Annotations: map[string]string{"exits": controlExits},
		Args:        cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if base = cmp.Or(base, p.getenv("APIGTEST_URL")); base == "" {
				return errors.New("--url is missing, and APIGTEST_URL is not set")
			}
			query, fields := url.Values{}, map[string]any{}
			if len(args) > 0 {
				fields["name"] = args[0]
			}
			c.Flags().Visit(func(f *pflag.Flag) {
				if f.Name == "url" {
					return
				}
				field, value := strings.ReplaceAll(f.Name, "-", "_"), f.Value.String()
				query.Set(field, value)
				if fields[field] = value; f.Value.Type() != "string" {
					fields[field] = json.RawMessage(value)
				}
			})
			var body []byte
			if method == http.MethodPut && len(fields) == 0 {
				method = http.MethodGet
			}
			if method == http.MethodGet {
				path += "?" + query.Encode()
			} else if len(fields) > 0 {
				body = encode(fields, "")
			}
			answer, err := callControl(c.Context(), method, strings.TrimRight(base, "/")+"/_apigtest/"+path, body)
			switch {
			case c.Context().Err() != nil:
				return &exit{exitInterrupted, errors.New("interrupted")}
			case err != nil:
				return &exit{exitNotApplied, err}
			case answer != nil:
				p.writeJSON(answer, "  ")
			}
			return nil
		},
	}
	c.Flags().StringVar(&base, "url", "", "`address` of the gateway (default $APIGTEST_URL)")
	return c
}

// callControl returns the JSON of a success, or nil if it has none.
func callControl(ctx context.Context, method, url string, body []byte) (json.RawMessage, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode == http.StatusNoContent {
		return nil, err
	}
	var refused struct {
		Error string `json:"error"`
	}
	switch err := json.Unmarshal(text, &refused); {
	case got.StatusCode/100 != 2 && refused.Error != "":
		return nil, errors.New(refused.Error)
	case err != nil, got.StatusCode/100 != 2:
		return nil, fmt.Errorf("%s is not a gateway of \"apig gateway start\" (status %s)", url, got.Status)
	}
	return text, nil
}
