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
  apig status -o json | jq -r '.apis[] | select(.versions == []) | .api_id'`,
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

	cause error // of the problem
}

func (p *program) showCommand(inEffect bool, c *cobra.Command) *cobra.Command {
	var o options
	if !inEffect {
		c.Args = o.someAPIs
	}
	o.define(c, formTable, defaultTimeout, formTable, formJSON, formName)
	o.defineAPIs(p, c, "all its APIs", "name or ID of the only `environment` to show")
	return p.command(c, &o, readExits, func(s *session) error { return s.show(inEffect) })
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
	inParallel(s.parallel, len(targets), func(i int) { apis[i] = s.readShown(targets[i], envID, inEffect) })
	table := [][]string{{"API", "ID", "ENV", "AGE", "REMARK"}}
	if !inEffect {
		table = [][]string{{"API", "ENV", "VERSION", "CURRENT", "AGE", "REMARK"}}
	}
	code := exitDone
	for _, a := range apis {
		table = append(table, a.rows(inEffect)...)
		if a.cause != nil {
			s.say("apig %s: %s: %s", s.report.Command, a.label(), a.Error)
			code = cmp.Or(code, exitCodeOf(s.outer, a.cause))
		}
	}
	return s.list(code, "apis", apis, table)
}

// list writes a list of things, which has a key in JSON, and ends the command. The first
// column of its table has their names.
func (s *session) list(code int, key string, things any, table [][]string) error {
	var names []string
	for _, row := range table[1:] {
		names = append(names, row[0])
	}
	s.write(map[string]any{"command": s.report.Command, "exit_code": code, key: things}, slices.Compact(names), table)
	return ended(code, nil)
}

// readShown reads the versions of one API, unless the list of APIs has said
// already that none is in effect.
func (s *session) readShown(t target, envID string, inEffect bool) shown {
	a := shown{api: t.api, Versions: []shownVersion{}, cause: t.err}
	if a.cause == nil && (!inEffect || !t.listed || len(t.environments) > 0) {
		var all []shownVersion
		all, a.cause = s.versions(t.APIID, envID)
		a.Versions = append(a.Versions, slices.DeleteFunc(all, func(v shownVersion) bool { return inEffect && !v.InEffect })...)
	}
	if a.cause != nil {
		a.problem = newProblem(a.cause)
	}
	return a
}

// rows are the lines of an API in a table: one for each version, or one that says that
// there is none.
func (a shown) rows(inEffect bool) (rows [][]string) {
	if a.Error != "" {
		a.Versions = []shownVersion{{EnvName: "?"}}
	} else if len(a.Versions) == 0 {
		a.Versions = []shownVersion{{}}
	}
	for _, v := range a.Versions {
		env, published := cmp.Or(v.EnvName, v.EnvID), age(v.PublishTime)
		if inEffect {
			rows = append(rows, []string{a.label(), a.APIID, env, published, v.Remark})
		} else {
			rows = append(rows, []string{a.label(), env, v.VersionID, map[bool]string{true: "yes"}[v.InEffect], published, v.Remark})
		}
	}
	return rows
}

func (p *program) listCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "list apis|environments|groups [flags]",
		Short: "List the APIs, environments or groups of the gateway",
		Long:  `Lists the APIs, the environments, or the groups that have APIs.`,
		Example: `  apig list environments
  apig list apis -o name > apis.txt`,
		ValidArgs: []string{"apis", "environments", "groups"},
		Args:      oneOf,
	}
	o.define(c, formTable, defaultTimeout, formTable, formJSON, formName)
	return p.command(c, &o, readExits, (*session).listKind)
}

// place is an environment or a group, as lists show it.
type place struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	APIs int    `json:"apis,omitempty"` // of a group
}

// listKind lists all things of one kind.
func (s *session) listKind() error {
	kind, places := s.names[0], []place{}
	if kind == "environments" {
		all, err := s.environments()
		if err != nil {
			return s.fail(err)
		}
		table := [][]string{{"NAME", "ID"}}
		for _, e := range all {
			places = append(places, place{ID: e.ID, Name: e.Name})
			table = append(table, []string{e.Name, e.ID})
		}
		return s.list(exitDone, kind, places, table)
	}
	all, err := s.listAPIs(apig.APIQuery{})
	if err != nil {
		return s.fail(err)
	}
	if kind == "apis" {
		apis := []api{}
		table := [][]string{{"API", "ID", "PUBLISHED IN"}}
		for _, t := range all {
			var in []string
			for _, e := range t.environments {
				in = append(in, cmp.Or(e.Name, e.ID))
			}
			apis = append(apis, t.api)
			table = append(table, []string{t.label(), t.APIID, strings.Join(in, ", ")})
		}
		return s.list(exitDone, kind, apis, table)
	}
	for _, t := range all {
		i := slices.IndexFunc(places, func(g place) bool { return g.ID == t.groupID })
		if i < 0 {
			i = len(places)
			places = append(places, place{ID: t.groupID, Name: t.Group})
		}
		places[i].APIs++
	}
	table := [][]string{{"GROUP", "ID", "APIS"}}
	for _, g := range places {
		table = append(table, []string{g.Name, g.ID, fmt.Sprint(g.APIs)})
	}
	return s.list(exitDone, kind, places, table)
}
