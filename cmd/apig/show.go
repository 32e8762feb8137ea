package main

import (
	"cmp"
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

func (p *program) showCommand(inEffect bool, c *cobra.Command) *cobra.Command {
	var o options
	c.Annotations = map[string]string{"exits": readExits}
	if !inEffect {
		c.Args = o.someAPIs
	}
	o.define(c, formTable, defaultTimeout, formTable, formJSON, formName)
	o.defineAPIs(p, c, "all its APIs", "name or ID of the only `environment` to show")
	return p.command(c, &o, func(s *session) error { return s.show(inEffect) })
}

// show shows the versions of APIs, or only those that are in effect.
func (s *session) show(inEffect bool) error {
	if _, err := s.readFile(true); err != nil {
		return s.fail(err)
	}
	envID := ""
	if s.env != "" {
		env, err := s.environment(s.env)
		if err != nil {
			return s.fail(err)
		}
		envID = env.ID
	}
	targets, err := s.find()
	if err != nil {
		return s.fail(err)
	}
	apis := make([]shown, len(targets))
	errs := make([]error, len(targets))
	inParallel(s.parallel, len(targets), func(i int) { apis[i], errs[i] = s.readShown(targets[i], envID, inEffect) })
	var names []string
	table := [][]string{{"API", "ID", "ENV", "AGE", "REMARK"}}
	if !inEffect {
		table = [][]string{{"API", "ENV", "VERSION", "IN EFFECT", "AGE", "REMARK"}}
	}
	code := exitDone
	for i, a := range apis {
		names = append(names, a.label())
		table = append(table, a.rows(inEffect)...)
		if errs[i] != nil {
			s.say("apig %s: %s: %s", s.report.Command, a.label(), a.Error)
			code = cmp.Or(code, exitCodeOf(s.outer, errs[i]))
		}
	}
	return s.list(code, "apis", apis, names, table)
}

// list writes a list of things, which has a name in JSON, and ends the command.
func (s *session) list(code int, name string, things any, names []string, table [][]string) error {
	s.write(map[string]any{"command": s.report.Command, "exit_code": code, name: things}, names, table)
	return ended(code, nil)
}

// readShown reads the versions of one API, unless the list of APIs has said
// already that none is in effect.
func (s *session) readShown(t target, envID string, inEffect bool) (shown, error) {
	a := shown{api: t.api(), Versions: []shownVersion{}}
	err := t.err
	if err == nil && (!inEffect || !t.listed || len(t.environments) > 0) {
		var all []shownVersion
		if all, err = s.versions(t.id, envID); err == nil {
			a.Versions = slices.DeleteFunc(all, func(v shownVersion) bool { return inEffect && !v.InEffect })
		}
	}
	if err != nil {
		a.problem = newProblem(err)
	}
	return a, err
}

// rows are the lines of an API in a table: one for each version, or one that says that
// there is none.
func (a shown) rows(inEffect bool) (rows [][]string) {
	row := func(env, age, remark string, v shownVersion) {
		if inEffect {
			rows = append(rows, []string{a.label(), a.APIID, env, age, remark})
		} else {
			rows = append(rows, []string{a.label(), env, v.VersionID, map[bool]string{true: "yes"}[v.InEffect], age, remark})
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
	return rows
}

func (p *program) listCommand() *cobra.Command {
	var o options
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
	}
	o.define(c, formTable, defaultTimeout, formTable, formJSON, formName)
	return p.command(c, &o, (*session).listKind)
}

// place is an environment or a group, as lists show it.
type place struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	APIs int    `json:"apis,omitempty"` // of a group
}

// listKind lists all things of one kind.
func (s *session) listKind() error {
	kind := s.names[0]
	var names []string
	var table [][]string
	places := []place{}
	if kind == "environments" {
		all, err := s.environments()
		if err != nil {
			return s.fail(err)
		}
		table = [][]string{{"NAME", "ID"}}
		for _, e := range all {
			places = append(places, place{ID: e.ID, Name: e.Name})
			names = append(names, e.Name)
			table = append(table, []string{e.Name, e.ID})
		}
		return s.list(exitDone, kind, places, names, table)
	}
	all, err := s.listAPIs(apig.APIQuery{})
	if err != nil {
		return s.fail(err)
	}
	if kind == "apis" {
		apis := []api{}
		table = [][]string{{"API", "ID", "PUBLISHED IN"}}
		for _, t := range all {
			var in []string
			for _, e := range t.environments {
				in = append(in, cmp.Or(e.Name, e.ID))
			}
			apis = append(apis, t.api())
			names = append(names, t.String())
			table = append(table, []string{t.String(), t.id, strings.Join(in, ", ")})
		}
		return s.list(exitDone, kind, apis, names, table)
	}
	for _, t := range all {
		i := slices.IndexFunc(places, func(g place) bool { return g.ID == t.groupID })
		if i < 0 {
			i = len(places)
			places = append(places, place{ID: t.groupID, Name: t.group})
		}
		places[i].APIs++
	}
	table = [][]string{{"GROUP", "ID", "APIS"}}
	for _, g := range places {
		names = append(names, g.Name)
		table = append(table, []string{g.Name, g.ID, fmt.Sprint(g.APIs)})
	}
	return s.list(exitDone, kind, places, names, table)
}
