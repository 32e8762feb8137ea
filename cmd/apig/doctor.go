package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

// mostSkew is how far this machine's clock may differ from the gateway's before
// the outcome of a change is unknown more often. Signatures are refused from
// fifteen minutes on.
const mostSkew = time.Minute

func (p *program) doctorCommand() *cobra.Command {
	var o options
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
			d := &doctor{session: p.begin(c, &o), checks: []check{}}
			defer d.cancel()
			code := d.run()
			rows := [][]string{{"RESULT", "CHECK", "DETAIL"}}
			for _, made := range d.checks {
				rows = append(rows, []string{map[bool]string{true: "ok", false: "FAILED"}[made.OK], made.Name, made.Detail})
			}
			return d.list(code, "checks", d.checks, rows)
		},
	}
	o.define(c, formTable, time.Minute, formTable, formJSON)
	return c
}

// doctor makes the checks.
type doctor struct {
	*session
	checks []check
	skew   atomic.Pointer[time.Duration] // of this machine's clock, once it is known
}

// check is one line of the doctor: what was found, or what to do.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (d *doctor) found(name, format string, args ...any) {
	d.checks = append(d.checks, check{name, true, fmt.Sprintf(format, args...)})
}

func (d *doctor) failed(name, format string, args ...any) {
	d.checks = append(d.checks, check{name, false, fmt.Sprintf(format, args...)})
}

// run makes the checks, and returns the exit code.
func (d *doctor) run() int {
	wrong := d.connect(d.watchClock)
	for _, setting := range []struct{ name, value, from string }{
		{"endpoint", d.cfg.Endpoint, cmp.Or(d.firstSet("APIG_ENDPOINT", "HW_REGION_NAME", "OS_REGION_NAME"), "the environment")},
		{"project", d.cfg.ProjectID, cmp.Or(d.firstSet("HW_PROJECT_ID", "OS_PROJECT_ID", "OS_TENANT_ID", "HUAWEICLOUD_SDK_PROJECT_ID"), "the credentials file")},
		{"gateway", d.cfg.InstanceID, "APIG_INSTANCE_ID"},
	} {
		if setting.value != "" {
			d.found(setting.name, "%s (%s)", setting.value, setting.from)
		}
	}
	if d.cfg.Auth != nil {
		d.found("credentials", "%s", d.credentials())
	}
	if wrong != nil {
		for what := range strings.SplitSeq(message(wrong), "; ") {
			d.failed("configuration", "%s", what)
		}
		return exitUsage
	}
	all, err := d.environments()
	if skew := d.skew.Load(); skew != nil && skew.Abs() > mostSkew {
		d.failed("clock", "this machine's clock is off by %v; set it, for example with NTP", skew.Round(time.Second))
	} else if skew != nil {
		d.found("clock", "within %v of the gateway's", max(time.Second, skew.Abs().Round(time.Second)))
	}
	if err != nil {
		d.failed("access", "%s%s", message(err), advice(err))
		return exitCodeOf(d.outer, err)
	}
	d.found("access", "the credentials are accepted; %s", plural(len(all), "environment"))
	if err := d.history(); err != nil {
		return exitCodeOf(d.outer, err)
	}
	if slices.ContainsFunc(d.checks, func(made check) bool { return !made.OK }) {
		return exitNotApplied
	}
	return exitDone
}

// history reads the versions of one API: without that right, every lost answer is
// an unknown outcome.
func (d *doctor) history() error {
	all, err := d.listAPIs(apig.APIQuery{})
	switch {
	case err != nil:
		d.failed("APIs", "%s%s", message(err), advice(err))
		return err
	case len(all) == 0:
		d.found("history", "not tried: the gateway has no API")
		return nil
	}
	if _, err = d.versions(all[0].APIID, ""); err != nil {
		d.failed("history", "%s%s; without it a lost answer stays unknown", message(err), advice(err))
		return err
	}
	d.found("history", "readable (tried with %s)", all[0].APIName)
	return nil
}

// advice is what to do about an error.
func advice(err error) string {
	switch {
	case errors.Is(err, apig.ErrUnauthorized):
		return "; renew the credentials, or check the project"
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

// credentials says which credentials are used, and where they come from. The order is
// the order of apig.ConfigFromEnv.
func (d *doctor) credentials() string {
	for _, source := range []struct {
		format string // of a variable's value and its name
		names  []string
	}{
		{"a token (%[2]s)", []string{"HW_AUTH_TOKEN", "OS_AUTH_TOKEN"}},
		{"an access key (%[2]s)", []string{"HW_ACCESS_KEY", "OS_ACCESS_KEY"}},
		{"the user %[1]s (%[2]s)", []string{"HW_USER_ID", "OS_USER_ID", "HW_USER_NAME", "OS_USERNAME"}},
		{"an access key (%[2]s)", []string{"HUAWEICLOUD_SDK_AK"}},
	} {
		if name := d.firstSet(source.names...); name != "" {
			return fmt.Sprintf(source.format, d.getenv(name), name)
		}
	}
	return fmt.Sprintf("an access key (%s)", cmp.Or(d.getenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE"), "~/.huaweicloud/credentials"))
}

// firstSet is the first of the variables that is set, or empty.
func (d *doctor) firstSet(names ...string) string {
	for _, name := range names {
		if d.getenv(name) != "" {
			return name
		}
	}
	return ""
}

// roundTripper is a function as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// watchClock notes how far this machine's clock and the header Date of answers are
// apart at least.
func (d *doctor) watchClock(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		begin := time.Now()
		answer, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
			ahead, behind := begin.Sub(date.Add(time.Second)), time.Since(date) // Date has whole seconds
			skew := max(ahead, 0) + min(behind, 0)
			d.skew.Store(&skew)
		}
		return answer, nil
	})
}
