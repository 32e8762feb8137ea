package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/apig-go/apig/internal/errorbody"
)

// Environment is a place that APIs are published in.
type Environment struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Environments lists the environments of the gateway as [Client.APIs] lists APIs.
func (c *Client) Environments(ctx context.Context) iter.Seq2[Environment, error] {
	return sequence(func() ([]Environment, error) { return c.environments(ctx, "Environments") })
}

func (c *Client) environments(ctx context.Context, op string) (all []Environment, err error) {
	l := list{op: op, path: "/envs", key: "envs", most: maxRows, bound: maxList}
	first, err := l.read(ctx, &c.service, rowsInto(&all, func(_ *answer, e *Environment) (string, error) { return e.ID, nil }))
	return all[:first.total], err
}

// EnvironmentByName returns the environment with this name. The error matches
// [ErrNotFound] if there is none, and [ErrAmbiguous] if there are several.
func (c *Client) EnvironmentByName(ctx context.Context, name string) (*Environment, error) {
	const op = "EnvironmentByName"
	return exactlyOne(op, name, func() ([]Environment, error) { return c.environments(ctx, op) }, func(e *Environment) string { return e.Name })
}

// API is an API of the gateway. Its JSON lacks the Environments.
type API struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	GroupID      string        `json:"group_id"`
	GroupName    string        `json:"group_name"`
	Method       string        `json:"req_method"`
	Path         string        `json:"req_uri"`
	Environments []Environment `json:"-"` // where it is published
}

// UnmarshalJSON reads the service's form. The form has two parallel lists for the
// environments; each list is one text, joined by "|".
func (a *API) UnmarshalJSON(b []byte) error {
	if isNull(b) {
		return nil
	}
	type plain API
	wire := struct {
		*plain
		EnvIDs   rawText `json:"run_env_id"`
		EnvNames rawText `json:"run_env_name"`
	}{plain: (*plain)(a)}
	if err := json.Unmarshal(b, &wire); err != nil {
		return err
	}
	a.Environments = nil
	ids, names := wire.EnvIDs.text(), wire.EnvNames.text()
	if ids == "" {
		return nil
	}
	n := 1 + strings.Count(ids, "|")
	if n > maxEnvironments {
		return fmt.Errorf("it is published in more than %d environments", maxEnvironments)
	}
	a.Environments = make([]Environment, n)
	for i := range a.Environments {
		e := &a.Environments[i]
		e.ID, ids, _ = strings.Cut(ids, "|")
		e.Name, names, _ = strings.Cut(names, "|")
		if e.ID != "" && (!isID(e.ID) || errorbody.Line(e.ID, maxCode) != e.ID) { // not searched for credentials: a page may have 100,000
			return fmt.Errorf("it has an invalid ID: %s", errorbody.Line(e.ID, maxCode))
		}
	}
	return nil
}

// maxEnvironments is far above how many environments a gateway may have.
const maxEnvironments = 200

// APIQuery says which APIs to list. The zero value is all; fields that are set
// must all match.
type APIQuery struct {
	Name    string // exactly this one
	GroupID string // in this group
	EnvID   string // published in this environment
}

// APIs lists the APIs of the gateway in its own order. It reads them all before it
// yields the first. If the list changes in between, APIs reads it again, up to three
// times. It misses an API only if that API moves forward, another one leaves and a third
// one joins between two pages.
//
// An error is yielded alone. It matches [ErrBadResponse] if the list keeps changing or
// has more than 100,000 APIs. Each range over the sequence reads the list.
func (c *Client) APIs(ctx context.Context, q APIQuery) iter.Seq2[API, error] {
	return sequence(func() ([]API, error) {
		if err := q.check(); err != nil {
			return nil, err
		}
		return readAPIs(ctx, &c.service, "APIs", q)
	})
}

// check reports the mistakes in the query.
func (q APIQuery) check() error {
	var bad problems
	bad.idOrEmpty("GroupID", q.GroupID)
	bad.idOrEmpty("EnvID", q.EnvID)
	return bad.err()
}

// readAPIs reads the whole list of the APIs that match q.
func readAPIs(ctx context.Context, s *service, op string, q APIQuery) (all []API, err error) {
	query := url.Values{"name": {q.Name}, "group_id": {q.GroupID}, "env_id": {q.EnvID}}
	maps.DeleteFunc(query, func(_ string, v []string) bool { return v[0] == "" })
	if q.Name != "" {
		query.Set("precise_search", "name") // or else a part of the name would do
	}
	l := list{op: op, path: "/apis", key: "apis", query: query, most: maxRows, bound: maxList}
	first, err := l.read(ctx, s, rowsInto(&all, func(a *answer, api *API) (string, error) {
		if q.GroupID != "" && !sameOrEmpty(api.GroupID, q.GroupID) { // a batch would publish it, or take it offline
			return "", errors.New("it is an API of another group")
		}
		return api.ID, a.checkIDs(api.GroupID)
	}))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all[:first.total], func(a API) bool { return q.Name != "" && a.Name != q.Name }), nil
}

// APIByName returns the API with this name. The error matches [ErrNotFound] if
// there is none, and [ErrAmbiguous] if several groups have one.
func (c *Client) APIByName(ctx context.Context, name string) (*API, error) {
	const op = "APIByName"
	return exactlyOne(op, name, func() ([]API, error) { return readAPIs(ctx, &c.service, op, APIQuery{Name: name}) }, func(a *API) string { return a.Name })
}

// exactlyOne returns the one row that has the name, and an error that tells none
// from several.
func exactlyOne[T any](op, name string, read func() ([]T, error), nameOf func(*T) string) (*T, error) {
	if name == "" {
		return nil, problems{"Name is empty"}.err()
	}
	all, err := read()
	if err != nil {
		return nil, err
	}
	var found *T
	for i := range all {
		if nameOf(&all[i]) != name {
			continue
		}
		if found != nil {
			return nil, &CallError{Op: op, why: fmt.Sprintf("several are named %q", name), tree: []error{ErrAmbiguous}}
		}
		found = &all[i]
	}
	if found == nil {
		return nil, &CallError{Op: op, why: fmt.Sprintf("none is named %q", name), tree: []error{ErrNotFound}}
	}
	return found, nil
}
