package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

// fewNames is up to how many names are looked up one by one. For more it takes
// fewer requests to list all APIs of the gateway, 500 in each.
const fewNames = 16

// target is an API as it was asked for and as it was found.
type target struct {
	asked        string
	id           string
	name         string
	group        string
	groupID      string
	environments []apig.Environment
	listed       bool  // the gateway has shown it
	err          error // it could not be found
}

func (t target) api() api { return api{API: t.asked, APIID: t.id, APIName: t.name, Group: t.group} }

// String is a name that finds the API again.
func (t target) String() string { return t.api().label() }

// selection is which APIs a command is about.
type selection struct {
	names []string
	file  string
	group string
	known []target // of a report
}

func (s *selection) define(c *cobra.Command) {
	c.Flags().StringVarP(&s.file, "file", "f", "", "`file` with one name or ID a line (# begins a comment), or a report: its APIs that were not applied; - is stdin")
	c.Flags().StringVarP(&s.group, "group", "g", "", "name or ID of a `group`: all its APIs")
	c.MarkFlagsMutuallyExclusive("file", "group")
}

func (s *selection) empty() bool { return len(s.names) == 0 && s.file == "" && s.group == "" }

// read reads the names that the file adds: of a report all APIs, or only those that
// are yet to be changed. The report is nil unless the file is one.
func (s *selection) read(p *program, all bool) (*report, error) {
	switch {
	case s.group != "" && len(s.names) > 0:
		return nil, mistakef("--group is all APIs of a group; name APIs of it as GROUP/NAME without --group")
	case s.file == "":
		return nil, nil
	}
	text, err := p.readInput(s.file)
	if err != nil {
		return nil, err
	}
	if text = bytes.TrimPrefix(text, []byte("\ufeff")); bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		was, err := readReport(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		for _, to := range was.Results {
			switch {
			case to.Outcome == outcomeUnknown && to.Unknown == nil && !all:
				return nil, mistakef("%s: %s", s.file, was.missing())
			case to.Outcome == outcomeUnknown && !all:
				return nil, mistakef("%s: the outcome of %s is unknown; run \"apig settle %[1]s\" first", s.file, to.label())
			case to.Outcome != outcomeApplied || all:
				s.names = append(s.names, cmp.Or(to.APIID, to.API))
				s.known = append(s.known, target{id: to.APIID, name: to.APIName, group: to.Group})
			}
		}
		return &was, nil
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "null" {
			return nil, mistakef("%s: the line \"null\" names no API; give the report itself to --file", s.file)
		} else if line != "" {
			s.names = append(s.names, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, mistakef("%s: %w", s.file, err)
	}
	if len(s.names) == 0 {
		return nil, mistakef("%s names no API", s.file)
	}
	return nil, nil
}

// readInput reads a file, or stdin if the path is - or empty.
func (p *program) readInput(path string) ([]byte, error) {
	from := p.stdin
	if path == "" && p.asks {
		return nil, mistakef("name a file; - is stdin")
	}
	if path != "" && path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, &inputError{err}
		}
		defer file.Close()
		from = file
	}
	text, err := io.ReadAll(from)
	if err != nil {
		return nil, &inputError{err}
	}
	return text, nil
}

// find looks up the selected APIs, each once. A target that was not found has an
// error; an error of find means that nothing could be looked up. An ID is not
// looked up.
func (s *selection) find(ctx context.Context, client *apig.Client) ([]target, error) {
	if s.empty() {
		return listAPIs(ctx, client, apig.APIQuery{})
	}
	if s.group != "" {
		return members(ctx, client, s.group)
	}
	var known []target
	var err error
	names := slices.DeleteFunc(slices.Clone(s.names), isID)
	if few := len(names) <= fewNames && !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "/") }); few {
		for _, name := range names {
			found, err := listAPIs(ctx, client, apig.APIQuery{Name: name})
			if err != nil {
				return nil, err
			}
			known = append(known, found...)
		}
	} else if known, err = listAPIs(ctx, client, apig.APIQuery{}); err != nil {
		return nil, err
	}
	return resolve(s.names, append(known, s.known...)), nil
}

// resolve finds each name among the APIs that are known, and leaves out what is
// the same API as one before.
func resolve(names []string, known []target) []target {
	byName, byID := map[string][]target{}, map[string]target{}
	for _, t := range known {
		if _, again := byID[strings.ToLower(t.id)]; again {
			continue
		}
		byID[strings.ToLower(t.id)] = t
		byName[t.name] = append(byName[t.name], t)
		byName[t.group+"/"+t.name] = append(byName[t.group+"/"+t.name], t)
	}
	seen := map[string]bool{}
	var targets []target
	for _, name := range names {
		t := target{id: name}
		if found, ok := byID[strings.ToLower(name)]; isID(name) && ok {
			t = found
		} else if !isID(name) {
			switch named := byName[name]; len(named) {
			case 0:
				t = target{err: fmt.Errorf("no API is named %q", name)}
			case 1:
				t = named[0]
			default:
				t = target{err: ambiguous(name, named)}
			}
		}
		t.asked = name
		key := cmp.Or(strings.ToLower(t.id), name)
		if !seen[key] {
			targets = append(targets, t)
		}
		seen[key] = true
	}
	return targets
}

// ambiguous names the candidates, so that the next command can name one.
func ambiguous(name string, candidates []target) error {
	var each []string
	for _, t := range candidates[:min(len(candidates), 10)] {
		each = append(each, fmt.Sprintf("%s (ID %s)", t, t.id))
	}
	return fmt.Errorf("%d APIs are named %q: %s", len(candidates), name, strings.Join(each, ", "))
}

// members are the APIs of a group.
func members(ctx context.Context, client *apig.Client, group string) ([]target, error) {
	query := apig.APIQuery{}
	if isID(group) {
		query.GroupID = group
	}
	all, err := listAPIs(ctx, client, query)
	if err != nil {
		return nil, err
	}
	var groups []string
	targets := slices.DeleteFunc(all, func(t target) bool { return !isID(group) && t.group != group })
	for _, t := range targets {
		if !slices.Contains(groups, t.groupID) {
			groups = append(groups, t.groupID)
		}
	}
	switch len(groups) {
	case 0:
		return nil, fmt.Errorf("no API is in a group %q", group)
	case 1:
		return targets, nil
	}
	return nil, fmt.Errorf("%d groups are named %q; give the ID of one: %s", len(groups), group, strings.Join(groups, ", "))
}

// listAPIs lists the APIs of the gateway that match.
func listAPIs(ctx context.Context, client *apig.Client, query apig.APIQuery) ([]target, error) {
	var targets []target
	for a, err := range client.APIs(ctx, query) {
		if err != nil {
			return nil, err
		}
		targets = append(targets, target{
			asked: a.Name, id: a.ID, name: a.Name, group: a.GroupName, groupID: a.GroupID, environments: a.Environments, listed: true,
		})
	}
	return targets, nil
}

// isID reports whether s looks like an ID of the service: 32 hex digits.
func isID(s string) bool {
	_, err := hex.DecodeString(s)
	return len(s) == 32 && err == nil
}

// environment finds an environment by its name or ID.
func environment(ctx context.Context, client *apig.Client, env string) (apig.Environment, error) {
	if env == "RELEASE" || env == apig.EnvRelease { // which every gateway has
		return apig.Environment{ID: apig.EnvRelease, Name: "RELEASE"}, nil
	}
	all, err := environments(ctx, client)
	if err != nil {
		return apig.Environment{}, err
	}
	var names []string
	for _, e := range all {
		if e.Name == env || strings.EqualFold(e.ID, env) {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return apig.Environment{}, fmt.Errorf("no environment is named %q; there are: %s", env, strings.Join(names, ", "))
}
