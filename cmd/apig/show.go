package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/apig-go/apig"
)

var statusCommand = &command{
	name:     "status",
	summary:  "show what is in effect where",
	synopsis: "[-api NAME... | -file FILE | -group GROUP] [flags]",
	about: `Shows which version of each API is in effect in which environment: of those that are
named, or of all APIs of the gateway.
`,
	examples: `  apig status
  apig status -api orders,users -env staging
  apig status -json | jq -r '.apis[] | select(.versions == []) | .api'
`,
	exits: readExits,
	run: func(p program, ctx context.Context, c *command, args []string) int {
		return p.show(ctx, c, args, true)
	},
}

var versionsCommand = &command{
	name:     "versions",
	summary:  "list the versions of APIs, newest first",
	synopsis: "(-api NAME... | -file FILE | -group GROUP) [flags]",
	about: `Lists the versions that the gateway holds, newest first: the last ten of an API in each
environment.
`,
	examples: `  apig versions -api orders -env staging
  apig versions -api orders -json | jq -r '.apis[0].versions[1].version_id'
`,
	exits: readExits,
	run: func(p program, ctx context.Context, c *command, args []string) int {
		return p.show(ctx, c, args, false)
	},
}

// shown is what the gateway holds of one API. It has the same form in a line of
// its own and within a listing.
type shown struct {
	API     string `json:"api"`
	APIID   string `json:"api_id,omitempty"`
	APIName string `json:"api_name,omitempty"`
	problem
	Versions []shownVersion `json:"versions"`
}

type shownVersion struct {
	VersionID   string    `json:"version_id"`
	Number      string    `json:"version_no,omitempty"`
	EnvID       string    `json:"env_id"`
	EnvName     string    `json:"env_name,omitempty"`
	InEffect    bool      `json:"in_effect"`
	PublishTime time.Time `json:"publish_time,omitzero"`
	Remark      string    `json:"remark,omitempty"`
}

// listing is all of it.
type listing struct {
	Command    string `json:"command"`
	InstanceID string `json:"instance_id,omitempty"`
	ExitCode   int    `json:"exit_code"`
	problem
	APIs []shown `json:"apis"`
}

// show is status, which shows the versions in effect, and versions.
func (p program) show(ctx context.Context, c *command, args []string, inEffect bool) int {
	var (
		o        common
		sel      selection
		env      string
		parallel int
	)
	fs := newFlags(c)
	o.define(fs, 10*time.Minute)
	sel.define(fs)
	fs.StringVar(&env, "env", "", "name or ID of the only `environment` to show")
	fs.IntVar(&parallel, "parallel", 4, "how many requests may be under way at once, up to 256")
	fs.Var(&o.json, "json", "JSON instead of a table: an object, or with -json=lines a line for each API")
	if err := p.parse(c, fs, args, 0); err != nil {
		return p.usage(c, err)
	}
	selected := sel.check
	if !inEffect {
		selected = sel.required
	}
	if err := errors.Join(o.check(), o.json.checkReading(), selected(), checkParallel(parallel)); err != nil {
		return p.usage(c, err)
	}
	l := &listing{Command: c.name, APIs: []shown{}}
	l.ExitCode = p.readListing(ctx, o, sel, env, parallel, inEffect, l)
	l.write(o.json, &output{p.stdout, p.stderr})
	for _, failed := range append([]shown{{API: c.name, problem: l.problem}}, l.APIs...) {
		if failed.Error != "" {
			fmt.Fprintf(p.stderr, "apig %s: %s\n", c.name, failed.Error)
		}
	}
	return l.ExitCode
}

// readListing fills the listing in and returns the exit code.
func (p program) readListing(ctx context.Context, o common, sel selection, env string, parallel int, inEffect bool, l *listing) int {
	fail := func(code int, err error) int {
		l.problem = newProblem(err)
		if ctx.Err() != nil {
			return exitInterrupted
		}
		return code
	}
	client, _, instanceID, err := p.newClient(o, false)
	if err != nil {
		return fail(exitUsage, err)
	}
	l.InstanceID = instanceID
	limited, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	wanted, err := sel.wanted(p.stdin)
	if err != nil {
		return fail(exitUsage, err)
	}
	envID := ""
	if env != "" {
		if envID, err = environmentID(limited, client, env, true); err != nil {
			return fail(exitNotApplied, err)
		}
	}
	targets, err := sel.find(limited, client, wanted, false)
	if err != nil {
		return fail(exitNotApplied, err)
	}
	l.APIs = make([]shown, len(targets))
	inParallel(parallel, len(targets), func(i int) {
		l.APIs[i] = readShown(limited, client, targets[i], envID, inEffect)
	})
	for _, api := range l.APIs {
		if api.Error != "" && ctx.Err() != nil {
			return exitInterrupted
		}
		if api.Error != "" {
			return exitNotApplied
		}
	}
	return exitDone
}

// readShown reads the versions of one API, unless the list of APIs has said
// already that there are none in effect.
func readShown(ctx context.Context, client *apig.Client, t target, envID string, inEffect bool) shown {
	api := shown{API: t.asked, APIID: t.id, APIName: t.name, Versions: []shownVersion{}}
	if t.err != nil {
		api.problem = newProblem(t.err)
		return api
	}
	if inEffect && t.listed && len(t.publications) == 0 {
		return api
	}
	versions, err := newestFirst(ctx, client, t.id, envID)
	if err != nil {
		api.problem = newProblem(err)
		return api
	}
	for _, v := range versions {
		if v.InEffect() || !inEffect {
			api.Versions = append(api.Versions, shownVersion{
				v.ID, v.Number, v.EnvID, v.EnvName, v.InEffect(), v.PublishTime, v.Remark,
			})
		}
	}
	return api
}

func (l *listing) write(mode jsonMode, out *output) {
	switch {
	case mode == jsonObject:
		out.write(l, "  ")
	case mode == jsonLines && l.Error != "":
		out.write(struct {
			Command  string `json:"command"`
			ExitCode int    `json:"exit_code"`
			problem
		}{l.Command, l.ExitCode, l.problem}, "")
	case mode == jsonLines:
		for _, api := range l.APIs {
			out.write(api, "")
		}
	case len(l.APIs) > 0:
		l.table(out.stdout)
	}
}

// table writes a line for each version, and one for an API without any.
func (l *listing) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "API\tENVIRONMENT\tIN EFFECT\tPUBLISHED\tVERSION\tREMARK")
	for _, api := range l.APIs {
		name := printable(cmp.Or(api.APIName, api.API))
		switch {
		case api.Error != "":
			fmt.Fprintf(t, "%s\t?\t?\t?\t?\t\n", name)
		case len(api.Versions) == 0:
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t\n", name)
		}
		for _, v := range api.Versions {
			inEffect, published := "no", "?"
			if v.InEffect {
				inEffect = "yes"
			}
			if !v.PublishTime.IsZero() {
				published = v.PublishTime.UTC().Format(time.DateTime) + "Z"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", name, printable(cmp.Or(v.EnvName, v.EnvID)), inEffect, published,
				v.VersionID, printable(v.Remark))
		}
	}
	_ = t.Flush() // like all that a report writes
}

// printable keeps what others have written into names and remarks from moving
// the cursor or the columns.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
