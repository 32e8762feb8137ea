package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
	publications []apig.Publication // if listed
	listed       bool               // the gateway has shown it
	err          error              // it could not be found
}

// wanted are the names and IDs that the flags give, without repetitions.
func (s *selection) wanted(stdin io.Reader) ([]string, error) {
	all := append([]string(nil), s.apis...)
	if s.file != "" {
		lines, err := readLines(s.file, stdin)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	seen := map[string]bool{}
	var once []string
	for _, name := range all {
		if !seen[name] {
			seen[name] = true
			once = append(once, name)
		}
	}
	return once, nil
}

// readLines reads a file without its empty lines and comments.
func readLines(path string, stdin io.Reader) ([]string, error) {
	from := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	var lines []string
	scanner := bufio.NewScanner(from)
	for scanner.Scan() {
		line, _, _ := strings.Cut(scanner.Text(), "#")
		if line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")); line != "" {
			lines = append(lines, line)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s names no API", path)
	}
	return lines, nil
}

// find looks up what was asked for. A target that cannot be found has an error;
// the error that find returns means that nothing could be looked up. An ID is
// taken as it is unless checkIDs is set.
func (s *selection) find(ctx context.Context, client *apig.Client, wanted []string, checkIDs bool) ([]target, error) {
	var targets []target
	var err error
	switch {
	case s.group != "":
		return members(ctx, client, s.group)
	case len(wanted) == 0:
		return list(ctx, client, apig.APIQuery{})
	case lookups(wanted, checkIDs) > fewNames:
		targets, err = findInList(ctx, client, wanted)
	default:
		targets, err = findEach(ctx, client, wanted, checkIDs)
	}
	return unique(targets), err
}

// lookups is how many requests it takes to look each up.
func lookups(wanted []string, checkIDs bool) int {
	n := 0
	for _, name := range wanted {
		if checkIDs || !isID(name) {
			n++
		}
	}
	return n
}

// unique leaves out what is the same API as one before.
func unique(targets []target) []target {
	seen := map[string]bool{}
	var once []target
	for _, t := range targets {
		key := strings.ToLower(t.id)
		if t.err == nil && seen[key] {
			continue
		}
		seen[key] = true
		once = append(once, t)
	}
	return once
}

func findEach(ctx context.Context, client *apig.Client, wanted []string, checkIDs bool) ([]target, error) {
	var targets []target
	for _, name := range wanted {
		t := target{asked: name}
		switch {
		case !isID(name):
			var api *apig.API
			if api, t.err = client.APIByName(ctx, name); t.err == nil {
				t = listed(name, *api)
			}
		case checkIDs:
			t.id = name
			_, t.err = newestFirst(ctx, client, name, "") // the service refuses an unknown ID
		default:
			t.id = name
		}
		if ctx.Err() != nil && t.err != nil {
			return nil, t.err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

func findInList(ctx context.Context, client *apig.Client, wanted []string) ([]target, error) {
	all, err := list(ctx, client, apig.APIQuery{})
	if err != nil {
		return nil, err
	}
	byName, byID := map[string][]target{}, map[string]target{}
	for _, t := range all {
		byName[t.name] = append(byName[t.name], t)
		byID[strings.ToLower(t.id)] = t
	}
	targets := make([]target, len(wanted))
	for i, name := range wanted {
		t, ok := byID[strings.ToLower(name)]
		switch named := byName[name]; {
		case isID(name) && !ok:
			t.err = fmt.Errorf("%w: no API has the ID %s", apig.ErrNotFound, name)
		case isID(name):
		case len(named) == 0:
			t.err = fmt.Errorf("%w: no API is named %q", apig.ErrNotFound, name)
		case len(named) > 1:
			t.err = fmt.Errorf("%w: %d APIs are named %q", apig.ErrAmbiguous, len(named), name)
		default:
			t = named[0]
		}
		t.asked = name
		targets[i] = t
	}
	return targets, nil
}

// members are the APIs of a group.
func members(ctx context.Context, client *apig.Client, group string) ([]target, error) {
	query := apig.APIQuery{}
	if isID(group) {
		query.GroupID = group
	}
	var targets []target
	groups := map[string]bool{}
	for api, err := range client.APIs(ctx, query) {
		if err != nil {
			return nil, err
		}
		if isID(group) || api.GroupName == group {
			targets = append(targets, listed(api.Name, api))
			groups[api.GroupID] = true
		}
	}
	switch len(groups) {
	case 0:
		return nil, fmt.Errorf("%w: no API is in a group %q", apig.ErrNotFound, group)
	case 1:
		return targets, nil
	}
	return nil, fmt.Errorf("%w: %d groups are named %q", apig.ErrAmbiguous, len(groups), group)
}

func list(ctx context.Context, client *apig.Client, query apig.APIQuery) ([]target, error) {
	var targets []target
	for api, err := range client.APIs(ctx, query) {
		if err != nil {
			return nil, err
		}
		targets = append(targets, listed(api.Name, api))
	}
	return targets, nil
}

func listed(asked string, api apig.API) target {
	return target{asked: asked, id: api.ID, name: api.Name, publications: api.Publications, listed: true}
}

// isID reports whether s looks like an ID of the service: 32 hex digits.
func isID(s string) bool {
	_, err := hex.DecodeString(s)
	return len(s) == 32 && err == nil
}

// environmentID finds an environment by its name or ID. An ID is taken as it is
// unless check is set.
func environmentID(ctx context.Context, client *apig.Client, env string, check bool) (string, error) {
	switch {
	case env == "RELEASE", env == apig.EnvRelease: // which every gateway has
		return apig.EnvRelease, nil
	case !isID(env):
		found, err := client.EnvironmentByName(ctx, env)
		if err != nil {
			return "", err
		}
		return found.ID, nil
	case !check:
		return env, nil
	}
	for e, err := range client.Environments(ctx, apig.EnvironmentQuery{}) {
		if err != nil {
			return "", err
		}
		if strings.EqualFold(e.ID, env) {
			return e.ID, nil
		}
	}
	return "", fmt.Errorf("%w: no environment has the ID %s", apig.ErrNotFound, env)
}

// errNotLookedUp is why an API was left alone although it was found.
var errNotLookedUp = errors.New("not sent: other APIs could not be found")
