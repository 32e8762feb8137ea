package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

// mostSkew is how far this machine's clock may differ from the gateway's before
// the outcome of a change is unknown more often. Signatures are refused from
// fifteen minutes on.
const mostSkew = time.Minute

func (p *program) doctorCommand() *cobra.Command {
	var o common
	c := &cobra.Command{
		Use:     "doctor [flags]",
		Aliases: []string{"whoami"},
		Short:   "Check the configuration, the credentials and the clock",
		Long: `Shows where the configuration and the credentials come from, and checks the
clock, whether the gateway accepts the credentials, and whether the history can
be read. It changes nothing, and prints no secret. "apig whoami" is the same.`,
		Example: `  apig doctor
  apig whoami -o json`,
		Annotations: map[string]string{"exits": strings.Replace(readExits, "something was not found, or could not be read", "a check has failed", 1)},
		Args:        cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d := &doctor{p: p, checks: []check{}}
			code := d.run(c.Context(), o)
			if o.output.form == formJSON {
				p.writeJSON(map[string]any{"command": "doctor", "exit_code": code, "checks": d.checks}, "  ")
			} else {
				var rows [][]string
				for _, made := range d.checks {
					rows = append(rows, []string{map[bool]string{true: "ok", false: "FAILED"}[made.OK], made.Name, made.Detail})
				}
				p.table(rows)
			}
			if code != exitDone {
				return &exit{code: code}
			}
			return nil
		},
	}
	o.output.form = formTable
	o.define(c, time.Minute, formTable, formJSON)
	return c
}

// check is one line of the doctor: what was found, or what to do.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

type doctor struct {
	p      *program
	checks []check
}

func (d *doctor) found(name, format string, args ...any) {
	d.checks = append(d.checks, check{name, true, fmt.Sprintf(format, args...)})
}

func (d *doctor) failed(name, format string, args ...any) {
	d.checks = append(d.checks, check{name, false, fmt.Sprintf(format, args...)})
}

// run makes the checks, and returns the exit code.
func (d *doctor) run(ctx context.Context, o common) int {
	watch := &clockWatch{}
	client, cfg, err := d.p.newClient(clientOptions{verbose: o.verbose && !o.quiet, wrap: watch.wrap})
	if err != nil {
		d.failed("configuration", "%s; set the variables", message(err))
		return exitUsage
	}
	env := d.p.getenv
	d.found("endpoint", "%s (%s)", cfg.Endpoint, cmp.Or(firstSet(env, "APIG_ENDPOINT", "HW_REGION_NAME", "OS_REGION_NAME"), "the environment"))
	d.found("project", "%s (%s)", cfg.ProjectID, cmp.Or(firstSet(env, "HW_PROJECT_ID", "OS_PROJECT_ID", "OS_TENANT_ID", "HUAWEICLOUD_SDK_PROJECT_ID"), "the credentials file"))
	d.found("gateway", "%s (APIG_INSTANCE_ID)", cfg.InstanceID)
	d.found("credentials", "%s", credentialsFound(env))

	limited, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	all, err := environments(limited, client)
	skew, known := watch.skew()
	switch {
	case known && skew.Abs() > mostSkew:
		d.failed("clock", "this machine's clock is off by %v; set it, for example with NTP", skew.Round(time.Second))
	case known:
		d.found("clock", "within %v of the gateway's", max(time.Second, skew.Abs().Round(time.Second)))
	}
	if errors.Is(err, apig.ErrUnauthorized) {
		d.failed("access", "the credentials were refused: %s; renew them, or check the project", message(err))
		return exitAuthentication
	} else if err != nil {
		d.failed("access", "%s%s", message(err), advice(err))
		return exitCodeOf(ctx, err)
	}
	d.found("access", "the credentials are accepted; %s", plural(len(all), "environment"))
	d.history(limited, client)
	for _, made := range d.checks {
		if !made.OK {
			return exitNotApplied
		}
	}
	return exitDone
}

// history reads the versions of one API: without that right, every lost answer is
// an unknown outcome.
func (d *doctor) history(ctx context.Context, client *apig.Client) {
	for a, err := range client.APIs(ctx, apig.APIQuery{}) {
		if err != nil {
			d.failed("APIs", "%s%s", message(err), advice(err))
			return
		}
		if _, err = versions(ctx, client, a.ID, ""); err != nil {
			d.failed("history", "%s%s; without it a lost answer stays unknown", message(err), advice(err))
			return
		}
		d.found("history", "readable (tried with %s)", a.Name)
		return
	}
	d.found("history", "not tried: the gateway has no API")
}

// advice is what to do about an error.
func advice(err error) string {
	switch {
	case errors.Is(err, apig.ErrForbidden):
		return "; give the user the right apig:apis:get, or a role with it"
	case errors.Is(err, apig.ErrNotFound):
		return "; check APIG_INSTANCE_ID and HW_PROJECT_ID"
	case errors.Is(err, apig.ErrThrottled), errors.Is(err, apig.ErrServer):
		return "; try again later"
	case errors.As(err, new(*apig.APIGError)):
		return ""
	}
	return "; check APIG_ENDPOINT or HW_REGION_NAME, the network and the proxy"
}

// credentialSources are the variables of the credentials, in the order of
// apig.ConfigFromEnv.
var credentialSources = []struct {
	what  string
	names []string
}{
	{"a token", []string{"HW_AUTH_TOKEN", "OS_AUTH_TOKEN"}},
	{"an access key", []string{"HW_ACCESS_KEY", "OS_ACCESS_KEY"}},
	{"a user", []string{"HW_USER_ID", "OS_USER_ID", "HW_USER_NAME", "OS_USERNAME"}},
	{"an access key", []string{"HUAWEICLOUD_SDK_AK"}},
}

// credentialsFound says which credentials are used, and where they come from.
func credentialsFound(env func(string) string) string {
	for _, source := range credentialSources {
		name := firstSet(env, source.names...)
		switch {
		case name == "":
		case source.what == "a user":
			return fmt.Sprintf("the user %s (%s)", env(name), name)
		default:
			return fmt.Sprintf("%s (%s)", source.what, name)
		}
	}
	return fmt.Sprintf("an access key (%s)", cmp.Or(env("HUAWEICLOUD_SDK_CREDENTIALS_FILE"), "~/.huaweicloud/credentials"))
}

// firstSet is the first of the variables that is set, or empty.
func firstSet(env func(string) string, names ...string) string {
	for _, name := range names {
		if env(name) != "" {
			return name
		}
	}
	return ""
}

// clockWatch compares this machine's clock with the header Date of answers.
type clockWatch struct {
	next http.RoundTripper
	mu   sync.Mutex
	off  time.Duration
	seen bool
}

func (w *clockWatch) wrap(next http.RoundTripper) http.RoundTripper {
	w.next = next
	return w
}

// RoundTrip sends the request, and notes how far the clocks are apart at least.
func (w *clockWatch) RoundTrip(r *http.Request) (*http.Response, error) {
	begin := time.Now()
	answer, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch end := time.Now(); {
		case begin.After(date.Add(time.Second)): // Date has whole seconds
			w.off = begin.Sub(date.Add(time.Second))
		case end.Before(date):
			w.off = end.Sub(date)
		default:
			w.off = 0
		}
		w.seen = true
	}
	return answer, nil
}

// skew is how far this machine's clock is ahead of the gateway's.
func (w *clockWatch) skew() (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.off, w.seen
}
