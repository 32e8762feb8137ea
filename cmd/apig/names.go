package main

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
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
	api
	groupID      string
	environments []apig.Environment
	listed       bool  // the gateway has shown it
	err          error // it could not be found
}

// all reports whether the command is about no APIs in particular.
func (o *options) all() bool { return len(o.names) == 0 && o.file == "" && o.group == "" }

// someAPIs refuses a command that names no APIs.
func (o *options) someAPIs(_ *cobra.Command, args []string) error {
	if o.names = args; o.all() {
		return errors.New("name APIs, or give --file or --group")
	}
	return nil
}

// comment is what a line of a file of names may end with. A name may have a # in it.
var comment = regexp.MustCompile(`(^|\s)#.*`)

// readFile reads the names that the file adds: of a report all APIs, or only those that
// are yet to be changed. The report is nil unless the file is one.
func (s *session) readFile(all bool) (*report, error) {
	switch {
	case s.group != "" && len(s.names) > 0:
		return nil, mistakef("--group is all APIs of a group; name APIs of it as GROUP/NAME without --group")
	case s.file == "":
		return nil, nil
	}
	text, err := s.readInput(s.file)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		was, err := readReport(text)
		if err != nil {
			return nil, err
		}
		if len(was.Results) == 0 && (was.Error != "" || was.ExitCode == nil) {
			return nil, mistakef("%s: the report names no APIs; run the first command again", s.file)
		}
		for _, to := range was.Results {
			switch {
			case to.Outcome == outcomeUnknown && to.Unknown == nil && !all:
				return nil, mistakef("%s: %s", s.file, was.missing())
			case to.Outcome == outcomeUnknown && !all:
				return nil, mistakef("%s: the outcome of %s is unknown; run \"apig settle %[1]s\" first", s.file, to.label())
			case to.Outcome != outcomeApplied || all:
				s.names = append(s.names, cmp.Or(to.APIID, to.API))
				s.known = append(s.known, target{api: to.api})
			}
		}
		return &was, nil
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(comment.ReplaceAllString(line, "")); line == "null" {
			return nil, mistakef("%s: the line \"null\" names no API; give the report itself to --file", s.file)
		} else if line != "" {
			s.names = append(s.names, line)
		}
	}
	if len(s.names) == 0 {
		return nil, mistakef("%s names no API", s.file)
	}
	return nil, nil
}

// readInput reads a file, or stdin if the path is - or empty.
func (p *program) readInput(path string) (text []byte, err error) {
	switch {
	case path == "" && p.asks:
		return nil, mistakef("name a file; - is stdin")
	case path == "" || path == "-":
		text, err = io.ReadAll(p.stdin)
	default:
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, &exit{exitUsage, err}
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// find looks up the APIs that the command is about, each once. A target that was not
// found has an error; an error of find means that nothing could be looked up. An ID is
// not looked up.
func (s *session) find() (known []target, err error) {
	if s.all() {
		return s.listAPIs(apig.APIQuery{})
	}
	if s.group != "" {
		return s.members()
	}
	names := slices.DeleteFunc(slices.Clone(s.names), isID)
	queries := []apig.APIQuery{{}} // for all APIs
	if len(names) <= fewNames && !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "/") }) {
		queries = nil
		for _, name := range names {
			queries = append(queries, apig.APIQuery{Name: name})
		}
	}
	for _, query := range queries {
		found, err := s.listAPIs(query)
		if err != nil {
			return nil, err
		}
		known = append(known, found...)
	}
	return resolve(s.names, append(known, s.known...)), nil
}

// resolve finds each name among the APIs that are known, and leaves out what is
// the same API as one before.
func resolve(names []string, known []target) []target {
	byName, byID := map[string][]target{}, map[string]target{}
	for _, t := range known {
		if _, again := byID[strings.ToLower(t.APIID)]; again {
			continue
		}
		byID[strings.ToLower(t.APIID)] = t
		byName[t.APIName] = append(byName[t.APIName], t)
		byName[t.Group+"/"+t.APIName] = append(byName[t.Group+"/"+t.APIName], t)
	}
	seen := map[string]bool{}
	var targets []target
	for _, name := range names {
		var t target
		found, ok := byID[strings.ToLower(name)]
		switch named := byName[name]; {
		case isID(name) && ok:
			t = found
		case isID(name):
			t.APIID = name
		case len(named) == 1:
			t = named[0]
		case len(named) > 1:
			t.err = ambiguous(name, named)
		default:
			t.err = fmt.Errorf("no API is named %q; \"apig list apis\" shows all", name)
		}
		t.API = name
		key := cmp.Or(strings.ToLower(t.APIID), name)
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
		each = append(each, fmt.Sprintf("%s (ID %s)", t.label(), t.APIID))
	}
	return fmt.Errorf("%d APIs are named %q: %s", len(candidates), name, strings.Join(each, ", "))
}

// members are the APIs of the group.
func (s *session) members() ([]target, error) {
	query := apig.APIQuery{}
	if isID(s.group) {
		query.GroupID = s.group
	}
	targets, err := s.listAPIs(query)
	if err != nil {
		return nil, err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !isID(s.group) && t.Group != s.group })
	var groups []string
	for _, t := range targets {
		if !slices.Contains(groups, t.groupID) {
			groups = append(groups, t.groupID)
		}
	}
	switch len(groups) {
	case 0:
		return nil, fmt.Errorf("no API is in a group %q", s.group)
	case 1:
		return targets, nil
	}
	return nil, fmt.Errorf("%d groups are named %q; give the ID of one: %s", len(groups), s.group, strings.Join(groups, ", "))
}

// listAPIs lists the APIs of the gateway that match.
func (s *session) listAPIs(query apig.APIQuery) (targets []target, err error) {
	for a, err := range s.client.APIs(s.ctx, query) {
		if err != nil {
			return nil, err
		}
		found := api{API: a.Name, APIID: a.ID, APIName: a.Name, Group: a.GroupName}
		targets = append(targets, target{api: found, groupID: a.GroupID, environments: a.Environments, listed: true})
	}
	return targets, nil
}

// isID reports whether s looks like an ID of the service: 32 hex digits.
func isID(s string) bool {
	_, err := hex.DecodeString(s)
	return len(s) == 32 && err == nil
}

// environments are all environments of the gateway.
func (s *session) environments() (all []apig.Environment, err error) {
	for e, err := range s.client.Environments(s.ctx) {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// environment finds an environment by its name or ID.
func (s *session) environment(env string) (apig.Environment, error) {
	if env == "RELEASE" || env == apig.EnvRelease { // which every gateway has
		return apig.Environment{ID: apig.EnvRelease, Name: "RELEASE"}, nil
	}
	all, err := s.environments()
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

// versions are the versions of an API, newest first; envID is empty for all
// environments.
func (s *session) versions(apiID, envID string) ([]shownVersion, error) {
	all := []shownVersion{}
	for v, err := range s.client.Versions(s.ctx, apiID, envID) {
		if err != nil {
			return nil, err
		}
		all = append(all, shownVersion{v.ID, v.Number, v.EnvID, v.EnvName, v.InEffect(), v.PublishTime, v.Remark, v.Tag})
	}
	return all, nil
}
