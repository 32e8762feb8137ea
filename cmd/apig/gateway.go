package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

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
	c.AddCommand(
		p.gatewayStartCommand(), p.gatewayInjectCommand(), p.gatewayClockCommand(),
		p.controlCommand("journal", http.MethodGet, "journal", "Show every change that was applied", "api-id", "env-id", "since"),
		p.controlCommand("requests", http.MethodGet, "requests", "Show every request that was received", "op", "api-id", "since"),
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
`
	controlExits = `  0    done
  1    no gateway answers, or it refuses the request
  64   usage
  130  interrupted
`
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
			s.JSON = c.Flags().Lookup("output").Value.String() == formJSON
			if err := s.ReadSecrets(p.getenv); err != nil {
				return &exit{exitUsage, err}
			}
			if err := s.Check(); err != nil {
				return err
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
	fs.StringSliceVar(&s.Hosts, "hosts", nil, "`names` by which other machines call the gateway; requires --allow-remote")
	fs.StringSliceVar(&s.APIs, "apis", nil, "`names` of the APIs; GROUP/NAME puts one into a group (default orders)")
	fs.IntVar(&s.Many, "many", 0, "how many more APIs, named api-0001 and so on")
	fs.StringSliceVar(&s.Environments, "envs", nil, "`names` of the environments besides RELEASE")
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
	fs.VarP(&format{form: "shell", forms: []string{"shell", formJSON}}, "output", "o", "form of the output: shell, json")
	fs.BoolVarP(&s.Quiet, "quiet", "q", false, "write only errors to stderr")
	complete(c, "output", "shell", formJSON)
	return c
}

func (p *program) gatewayInjectCommand() *cobra.Command {
	var fault struct {
		Name    string `json:"name"`
		Times   int    `json:"times"`
		Skip    int    `json:"skip"`
		Op      string `json:"op,omitempty"`
		APIID   string `json:"api_id,omitempty"`
		Delay   string `json:"delay,omitempty"`
		Applied bool   `json:"applied,omitempty"`
		After   string `json:"after,omitempty"`
		Status  int    `json:"status,omitempty"`
		Body    string `json:"body,omitempty"`
	}
	c := p.controlCommand("inject FAULT", http.MethodPost, "faults", "Have a fault strike the next requests")
	c.Example = `  apig gateway inject apply-then-close --op action
  apig gateway inject hang --times -1 --api-id "$ID" --applied`
	c.Args = cobra.ExactArgs(1)
	c.ValidArgs = gateway.FaultNames()
	c.RunE = func(c *cobra.Command, args []string) error {
		fault.Name = args[0]
		return p.control(c, http.MethodPost, "faults", encode(fault, ""))
	}
	fs := c.Flags()
	fs.StringVar(&fault.Op, "op", "", "only requests of this `kind`")
	fs.StringVar(&fault.APIID, "api-id", "", "only requests about the API with this `ID`")
	fs.IntVar(&fault.Times, "times", 1, "how many requests the fault strikes; -1 for all")
	fs.IntVar(&fault.Skip, "skip", 0, "how many requests pass before")
	fs.StringVar(&fault.Delay, "delay", "", "`time` that passes before anything else, such as 300ms")
	fs.BoolVar(&fault.Applied, "applied", false, "the request takes effect before the client sees the fault")
	fs.StringVar(&fault.After, "after", "", "the request takes effect this `time` after the client has seen the fault")
	fs.IntVar(&fault.Status, "status", 0, "`status` of the answer")
	fs.StringVar(&fault.Body, "body", "", "`text` of the answer with this status")
	var ops []string
	for _, op := range gateway.Ops() {
		ops = append(ops, string(op))
	}
	complete(c, "op", ops...)
	return c
}

func (p *program) gatewayClockCommand() *cobra.Command {
	var clock struct {
		Now      string `json:"now,omitempty"`
		Offset   string `json:"offset,omitempty"`
		DateSkew string `json:"date_skew,omitempty"`
	}
	c := p.controlCommand("clock", http.MethodGet, "clock", "Show or set the gateway's clock")
	c.Example = "  apig gateway clock --offset 25h"
	c.RunE = func(c *cobra.Command, _ []string) error {
		if clock.Now+clock.Offset+clock.DateSkew == "" {
			return p.control(c, http.MethodGet, "clock", nil)
		}
		return p.control(c, http.MethodPut, "clock", encode(clock, ""))
	}
	c.Flags().StringVar(&clock.Now, "now", "", "`time` such as 2026-01-02T15:04:05Z")
	c.Flags().StringVar(&clock.Offset, "offset", "", "`time` ahead of this machine's clock, such as 25h or -1m")
	c.Flags().StringVar(&clock.DateSkew, "date-skew", "", "`time` by which the header Date alone is ahead")
	c.MarkFlagsMutuallyExclusive("now", "offset")
	return c
}

// controlCommand is a command that makes one request to a gateway that runs. The
// flags go into the query.
func (p *program) controlCommand(use, method, path, short string, flags ...string) *cobra.Command {
	name, _, _ := strings.Cut(use, " ")
	c := &cobra.Command{
		Use:         use,
		Short:       short,
		Long:        short + ".",
		Example:     "  apig gateway " + name,
		Annotations: map[string]string{"exits": controlExits},
		Args:        cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			query := url.Values{}
			for _, flag := range flags {
				if value := c.Flags().Lookup(flag).Value.String(); value != "" {
					query.Set(strings.ReplaceAll(flag, "-", "_"), value)
				}
			}
			return p.control(c, method, path+"?"+query.Encode(), nil)
		},
	}
	c.Flags().String("url", "", "`address` of the gateway (default $APIGTEST_URL)")
	for _, flag := range flags {
		c.Flags().String(flag, "", map[string]string{
			"op": "only requests of this `kind`", "api-id": "only the API with this `ID`", "env-id": "only the environment with this `ID`",
			"since": "only what came after the entry with this `number`",
		}[flag])
	}
	return c
}

// control makes a request to the control address, and prints the answer.
func (p *program) control(c *cobra.Command, method, path string, body []byte) error {
	base, _ := c.Flags().GetString("url")
	if base == "" {
		base = p.getenv("APIGTEST_URL")
	}
	if base == "" {
		return errors.New("--url is missing, and APIGTEST_URL is not set")
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
