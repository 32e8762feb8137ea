package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"
)

// Environment is a place that APIs are published in.
type Environment struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Remark     string    `json:"remark"`
	CreateTime time.Time `json:"create_time,omitzero"` // zero if it cannot be read
}

// UnmarshalJSON reads the service's form. A time that cannot be read is zero.
func (e *Environment) UnmarshalJSON(b []byte) error {
	if isNull(b) {
		return nil
	}
	type plain Environment
	wire := struct {
		*plain
		CreateTime gatewayTime `json:"create_time"`
	}{plain: (*plain)(e)}
	err := json.Unmarshal(b, &wire)
	e.CreateTime = wire.CreateTime.Time
	return err
}

// EnvironmentQuery says which environments to list. The zero value is all.
type EnvironmentQuery struct {
	Name string // exactly this one
}

// Environments lists the environments of the gateway as [Client.APIs] lists APIs.
func (c *Client) Environments(ctx context.Context, q EnvironmentQuery) iter.Seq2[Environment, error] {
	query := url.Values{}
	if q.Name != "" {
		query.Set("name", q.Name)
	}
	l := list[Environment]{op: "Environments", path: "/envs", key: "envs", query: query, id: func(e *Environment) string { return e.ID }, most: maxRows, bound: maxList}
	// The documentation does not say whether the service looks for the whole
	// name or a part of it.
	return only(l.all(ctx, &c.service, nil), func(e Environment) bool { return q.Name == "" || e.Name == q.Name })
}

// EnvironmentByName returns the environment with this name. The error matches
// [ErrNotFound] if there is none.
func (c *Client) EnvironmentByName(ctx context.Context, name string) (*Environment, error) {
	return exactlyOne("EnvironmentByName", name, c.Environments(ctx, EnvironmentQuery{Name: name}))
}

// API is an API of the gateway, and where it is published. The JSON that is made of
// it lacks its Publications.
type API struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	GroupID      string        `json:"group_id"`
	GroupName    string        `json:"group_name"`
	Protocol     string        `json:"req_protocol"`
	Method       string        `json:"req_method"`
	Path         string        `json:"req_uri"`
	AuthType     string        `json:"auth_type"`
	Remark       string        `json:"remark"`
	Publications []Publication `json:"-"` // newest first, as the service gives them
}

// Publication is one environment that an API is published in.
type Publication struct {
	EnvID       string
	EnvName     string
	PublishID   string
	PublishTime time.Time // zero if it cannot be read
}

// UnmarshalJSON reads the service's form, in which what belongs to the
// environments stands in four parallel lists, joined by "|".
func (a *API) UnmarshalJSON(b []byte) error {
	if isNull(b) {
		return nil
	}
	type plain API
	wire := struct {
		*plain
		EnvIDs       joined `json:"run_env_id"`
		EnvNames     joined `json:"run_env_name"`
		PublishIDs   joined `json:"publish_id"`
		PublishTimes joined `json:"publish_time"`
	}{plain: (*plain)(a)}
	if err := json.Unmarshal(b, &wire); err != nil {
		return err
	}
	if wire.EnvIDs == "" {
		a.Publications = nil
		return nil
	}
	n := 1 + strings.Count(string(wire.EnvIDs), "|")
	if n > maxEnvironments {
		return fmt.Errorf("it is published in more than %d environments", maxEnvironments)
	}
	a.Publications = make([]Publication, n)
	for i := range a.Publications {
		a.Publications[i] = Publication{
			EnvID:       wire.EnvIDs.next(),
			EnvName:     wire.EnvNames.next(),
			PublishID:   wire.PublishIDs.next(),
			PublishTime: parseTime(wire.PublishTimes.next()),
		}
	}
	return nil
}

// maxEnvironments is far above how many environments a gateway may have.
const maxEnvironments = 200

// joined is a list that the service has joined with "|". Whatever is not a text
// is empty.
type joined string

func (j *joined) UnmarshalJSON(b []byte) error {
	var s string
	_ = json.Unmarshal(b, &s)
	*j = joined(s)
	return nil
}

// next takes the next part off the list, which is empty after the last.
func (j *joined) next() string {
	part, rest, _ := strings.Cut(string(*j), "|")
	*j = joined(rest)
	return part
}

// APIQuery says which APIs to list. The zero value is all; fields that are set
// must all match.
type APIQuery struct {
	Name    string // exactly this one
	GroupID string // in this group
	EnvID   string // published in this environment
}

// APIs lists the APIs of the gateway in its own order, page by page as they are
// ranged over. An error is the last that is yielded, perhaps after some APIs; a list
// of more than 100,000 is [ErrBadResponse]. What joins or leaves meanwhile may be
// missing or come twice. The sequence can be ranged over again and then reads anew.
func (c *Client) APIs(ctx context.Context, q APIQuery) iter.Seq2[API, error] {
	return only(q.list("APIs").all(ctx, &c.service, q.check()), func(a API) bool { return q.Name == "" || a.Name == q.Name })
}

// check reports the mistakes in the query.
func (q APIQuery) check() error {
	var bad problems
	if q.GroupID != "" {
		bad.id("GroupID", q.GroupID)
	}
	if q.EnvID != "" {
		bad.id("EnvID", q.EnvID)
	}
	return bad.err()
}

func (q APIQuery) list(op string) list[API] {
	query := url.Values{}
	if q.Name != "" {
		query.Set("name", q.Name)
		query.Set("precise_search", "name") // or else a part of the name would do
	}
	if q.GroupID != "" {
		query.Set("group_id", q.GroupID)
	}
	if q.EnvID != "" {
		query.Set("env_id", q.EnvID)
	}
	return list[API]{op: op, path: "/apis", key: "apis", query: query, id: func(a *API) string { return a.ID }, most: maxRows, bound: maxList,
		check: func(_ *answer, a *API) error {
			if q.GroupID != "" && !sameOrEmpty(a.GroupID, q.GroupID) { // a batch would publish it, or take it offline
				return errors.New("the list has an API of another group")
			}
			return nil
		}}
}

// APIByName returns the API with this name. The error matches [ErrNotFound] if
// there is none, and [ErrAmbiguous] if several groups have one.
func (c *Client) APIByName(ctx context.Context, name string) (*API, error) {
	return exactlyOne("APIByName", name, c.APIs(ctx, APIQuery{Name: name}))
}

// only yields the values of seq that match.
func only[T any](seq iter.Seq2[T, error], match func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range seq {
			if (err != nil || match(v)) && !yield(v, err) {
				return
			}
		}
	}
}

// exactlyOne returns the one value that seq yields, and an error that tells
// none from several.
func exactlyOne[T any](op, name string, seq iter.Seq2[T, error]) (*T, error) {
	if name == "" {
		return nil, problems{"Name is empty"}
	}
	var found *T
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		if found != nil {
			return nil, &CallError{Op: op, why: fmt.Sprintf("several are named %q", name), tree: []error{ErrAmbiguous}}
		}
		found = &v
	}
	if found == nil {
		return nil, &CallError{Op: op, why: fmt.Sprintf("none is named %q", name), tree: []error{ErrNotFound}}
	}
	return found, nil
}
