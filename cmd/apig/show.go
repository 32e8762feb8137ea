package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

func (p *program) statusCommand() *cobra.Command {
	return p.showCommand(true, &cobra.Command{
		Use:   "status [API...] [flags]",
		Short: "Show what is in effect where",
		Long: `Shows the version of each API that is in effect, in each environment. Without
names it shows all APIs of the gateway.`,
		Example: `  apig status
  apig status orders shop/cart -e staging
  apig status -o json | jq -r '.apis[] | select(.versions == []) | .api'`,
	})
}

func (p *program) versionsCommand() *cobra.Command {
	return p.showCommand(false, &cobra.Command{
		Use:   "versions [API...] [flags]",
		Short: "List the versions of APIs, newest first",
		Long: `Lists the versions that the gateway holds, newest first: the last ten of an API
in each environment.`,
		Example: `  apig versions orders -e staging
  apig versions orders -e staging -o json | jq '.apis[0].versions[1]'`,
	})
}

// shown is what the gateway holds of one API.
type shown struct {
	api
	problem
	Versions []shownVersion `json:"versions"`
}

// showFlags are the flags of status and versions.
type showFlags struct {
	common
	selection
	env      string
	parallel count
}

func (p *program) showCommand(inEffect bool, c *cobra.Command) *cobra.Command {
	var o showFlags
	c.Annotations = map[string]string{"exits": readExits}
	c.RunE = func(c *cobra.Command, args []string) error {
		if o.names = args; !inEffect && o.selection.empty() {
			return errors.New("name APIs, or give --file or --group")
		}
		return p.show(c, o, inEffect)
	}
	o.common.output.form = formTable
	o.common.define(c, defaultTimeout, formTable, formJSON, formName)
	o.selection.define(c)
	o.parallel = count{4, maxParallel}
	c.Flags().StringVarP(&o.env, "env", "e", "", "name or ID of the only `environment` to show")
	c.Flags().VarP(&o.parallel, "parallel", "p", "how many requests may be in progress at once")
	p.completeNames(c)
	return c
}

func (p *program) show(c *cobra.Command, o showFlags, inEffect bool) error {
	if _, err := o.selection.read(p, true); err != nil {
		return p.endList(c, o.output.form, nil, err)
	}
	client, ctx, cancel, err := p.reader(c, o.common)
	if err != nil {
		return p.endList(c, o.output.form, nil, err)
	}
	defer cancel()
	envID := ""
	if o.env != "" {
		env, err := environment(ctx, client, o.env)
		if err != nil {
			return p.endList(c, o.output.form, nil, err)
		}
		envID = env.ID
	}
	targets, err := o.selection.find(ctx, client)
	if err != nil {
		return p.endList(c, o.output.form, nil, err)
	}
	apis := make([]shown, len(targets))
	errs := make([]error, len(targets))
	inParallel(o.parallel.n, len(targets), func(i int) { apis[i], errs[i] = readShown(ctx, client, targets[i], envID, inEffect) })
	l := &list{key: "apis", rows: apis, header: []string{"API", "ID", "ENVIRONMENT", "AGE", "REMARK"}}
	if !inEffect {
		l.header = []string{"API", "ENVIRONMENT", "VERSION", "IN EFFECT", "AGE", "REMARK"}
	}
	for i, a := range apis {
		l.add(a, inEffect)
		if errs[i] != nil {
			p.say("apig %s: %s: %s", c.Name(), a.label(), a.Error)
		}
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		l.code = exitCodeOf(c.Context(), errs[i])
	}
	return p.endList(c, o.output.form, l, nil)
}

// readShown reads the versions of one API, unless the list of APIs has said
// already that none is in effect.
func readShown(ctx context.Context, client *apig.Client, t target, envID string, inEffect bool) (shown, error) {
	a := shown{api: t.api(), Versions: []shownVersion{}}
	err := t.err
	if err == nil && (!inEffect || !t.listed || len(t.environments) > 0) {
		var all []shownVersion
		if all, err = versions(ctx, client, t.id, envID); err == nil {
			a.Versions = slices.DeleteFunc(all, func(v shownVersion) bool { return inEffect && !v.InEffect })
		}
	}
	if err != nil {
		a.problem = newProblem(err)
	}
	return a, err
}

// add adds the lines of an API to a table: one for each version, or one that says
// that there is none.
func (l *list) add(a shown, inEffect bool) {
	l.names = append(l.names, a.label())
	row := func(env, age, remark string, v shownVersion) {
		if inEffect {
			l.cells = append(l.cells, []string{a.label(), a.APIID, env, age, remark})
		} else {
			l.cells = append(l.cells, []string{a.label(), env, v.VersionID, map[bool]string{true: "yes"}[v.InEffect], age, remark})
		}
	}
	switch {
	case a.Error != "":
		row("?", "?", "", shownVersion{})
	case len(a.Versions) == 0:
		row("", "", "", shownVersion{})
	}
	for _, v := range a.Versions {
		row(cmp.Or(v.EnvName, v.EnvID), age(v.PublishTime), v.Remark, v)
	}
}

func (p *program) listCommand() *cobra.Command {
	var o common
	kinds := []string{"apis", "environments", "groups"}
	c := &cobra.Command{
		Use:   "list apis|environments|groups [flags]",
		Short: "List the APIs, environments or groups of the gateway",
		Long:  `Lists the APIs, the environments, or the groups that have APIs.`,
		Example: `  apig list environments
  apig list apis -o name > apis.txt`,
		Annotations: map[string]string{"exits": readExits},
		ValidArgs:   kinds,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(kinds, args[0]) {
				return fmt.Errorf("name one of %s", strings.Join(kinds, ", "))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			client, ctx, cancel, err := p.reader(c, o)
			if err != nil {
				return p.endList(c, o.output.form, nil, err)
			}
			defer cancel()
			l, err := readList(ctx, client, args[0])
			return p.endList(c, o.output.form, l, err)
		},
	}
	o.output.form = formTable
	o.define(c, defaultTimeout, formTable, formJSON, formName)
	return c
}

// list is what a command that reads has to write.
type list struct {
	key    string // of the rows in JSON
	rows   any
	header []string
	cells  [][]string
	names  []string
	code   int
}

func readList(ctx context.Context, client *apig.Client, kind string) (*list, error) {
	l := &list{key: kind}
	if kind == "environments" {
		all, err := environments(ctx, client)
		l.rows, l.header = append([]apig.Environment{}, all...), []string{"NAME", "ID"}
		for _, e := range all {
			l.names = append(l.names, e.Name)
			l.cells = append(l.cells, []string{e.Name, e.ID})
		}
		return l, err
	}
	all, err := listAPIs(ctx, client, apig.APIQuery{})
	if kind == "apis" {
		apis := []api{}
		l.header = []string{"API", "ID", "PUBLISHED IN"}
		for _, t := range all {
			var in []string
			for _, e := range t.environments {
				in = append(in, cmp.Or(e.Name, e.ID))
			}
			apis = append(apis, t.api())
			l.names = append(l.names, t.String())
			l.cells = append(l.cells, []string{t.String(), t.id, strings.Join(in, ", ")})
		}
		l.rows = apis
		return l, err
	}
	type group struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		APIs int    `json:"apis"`
	}
	groups := []group{}
	for _, t := range all {
		i := slices.IndexFunc(groups, func(g group) bool { return g.ID == t.groupID })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{ID: t.groupID, Name: t.group})
		}
		groups[i].APIs++
	}
	l.rows, l.header = groups, []string{"GROUP", "ID", "APIS"}
	for _, g := range groups {
		l.names = append(l.names, g.Name)
		l.cells = append(l.cells, []string{g.Name, g.ID, fmt.Sprint(g.APIs)})
	}
	return l, err
}

// reader makes the client of a command that reads.
func (p *program) reader(c *cobra.Command, o common) (*apig.Client, context.Context, context.CancelFunc, error) {
	client, _, err := p.newClient(clientOptions{verbose: o.verbose && !o.quiet})
	ctx, cancel := context.WithTimeout(c.Context(), o.timeout)
	return client, ctx, cancel, err
}

// endList writes a list, or why there is none, and ends the command.
func (p *program) endList(c *cobra.Command, form string, l *list, err error) error {
	if err != nil {
		l = &list{code: exitCodeOf(c.Context(), err)}
	}
	switch form {
	case formJSON:
		if err == nil {
			p.writeJSON(map[string]any{"command": c.Name(), "exit_code": l.code, l.key: l.rows}, "  ")
		} else {
			p.writeJSON(report{Command: c.Name(), ExitCode: &l.code, problem: newProblem(err)}, "  ")
		}
	case formName:
		for _, name := range l.names {
			fmt.Fprintln(p.stdout, clean(name))
		}
	case formTable:
		if len(l.cells) > 0 {
			p.table(append([][]string{l.header}, l.cells...))
		}
	}
	if l.code == exitDone {
		return nil
	}
	return &exit{l.code, err}
}
