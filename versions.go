package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Versions lists the versions that the gateway holds of an API, newest first: the
// last ten of each environment, or the last ten of one environment if envID is not
// empty. It reads them all before it yields the first. An error is yielded alone:
// [ErrInvalidArgument], [ErrNotFound] if there is no such API, or the reason why they
// cannot be read. Each range over the sequence reads the list.
func (c *Client) Versions(ctx context.Context, apiID, envID string) iter.Seq2[Version, error] {
	return sequence(func() ([]Version, error) {
		var bad problems
		bad.id("APIID", apiID)
		bad.idOrEmpty("EnvID", envID)
		if err := bad.err(); err != nil {
			return nil, err
		}
		h, err := readHistory(ctx, &c.service, "Versions", apiID, envID)
		if err != nil {
			return nil, err
		}
		newestFirst(h.versions)
		return h.versions, nil
	})
}

// Published returns the version that is in effect in the environment. The error matches
// [ErrNotPublished] if there is none.
func (c *Client) Published(ctx context.Context, apiID, envID string) (*Version, error) {
	const op = "Published"
	if err := checkAPI(apiID, envID); err != nil {
		return nil, err
	}
	h, err := readHistory(ctx, &c.service, op, apiID, envID)
	if err != nil {
		return nil, err
	}
	if v := h.inEffect(""); v != nil {
		return v, nil
	}
	return nil, &CallError{Op: op, APIID: apiID, why: "not published", tree: []error{ErrNotPublished}}
}

// Definition is an API as it was when it was published.
type Definition struct {
	APIID     string `json:"id"`
	Name      string `json:"name"`
	EnvID     string `json:"run_env_id"`
	PublishID string `json:"publish_id"`
	VersionID string `json:"version_id"`

	// Raw is the whole definition as the gateway gave it, with its path, parameters
	// and backends.
	Raw json.RawMessage `json:"-"`
}

// RuntimeDefinition returns the definition that is served in the environment. The
// error matches [ErrNotPublished] if there is none.
func (c *Client) RuntimeDefinition(ctx context.Context, apiID, envID string) (*Definition, error) {
	if err := checkAPI(apiID, envID); err != nil {
		return nil, err
	}
	return readDefinition(ctx, &c.service, "RuntimeDefinition", apiID,
		"/apis/runtime/"+url.PathEscape(apiID)+"?"+url.Values{"env_id": {envID}}.Encode())
}

// VersionDefinition returns the definition that was published as a version. The
// error matches [ErrNotFound] if the gateway does not hold it.
func (c *Client) VersionDefinition(ctx context.Context, versionID string) (*Definition, error) {
	var bad problems
	bad.id("VersionID", versionID)
	if err := bad.err(); err != nil {
		return nil, err
	}
	return readDefinition(ctx, &c.service, "VersionDefinition", "", "/apis/versions/"+url.PathEscape(versionID))
}

func readDefinition(ctx context.Context, s *service, op, apiID, path string) (*Definition, error) {
	return read(ctx, s, operation{name: op, apiID: apiID, request: request{method: http.MethodGet, path: path}},
		func(a *answer) (*Definition, error) {
			if err := a.checkRead(); err != nil {
				return nil, err
			}
			d := &Definition{Raw: a.body}
			if err := json.Unmarshal(a.body, d); err != nil {
				return nil, fmt.Errorf("the body is not a definition: %s", a.text(err.Error(), maxMessage))
			}
			if d.APIID == "" || apiID != "" && !strings.EqualFold(d.APIID, apiID) {
				return nil, errors.New("the body is not the definition of this API")
			}
			if err := a.checkIDs(d.APIID, d.EnvID, d.PublishID, d.VersionID); err != nil {
				return nil, err
			}
			return d, nil
		})
}

// SwitchVersion puts a version of the API into effect again, in the environment of the
// version. [Client.Rollback] finds the version before by itself. The error matches
// [ErrNotFound] if the gateway does not hold the version. Otherwise it means the same
// as the error of [Client.Publish].
func (c *Client) SwitchVersion(ctx context.Context, apiID, versionID string) (*PublishRecord, error) {
	var bad problems
	bad.id("APIID", apiID)
	bad.id("VersionID", versionID)
	if err := bad.err(); err != nil {
		return nil, err
	}
	return c.apply(ctx, newSwitch("SwitchVersion", "", versionID), apiID)
}

// Rollback reactivates the version that was published before the version in effect,
// in the environment. The error matches [ErrNotPublished] if no version is in effect,
// and [ErrNotFound] if there is none before it. Otherwise it means the same as the
// error of [Client.Publish].
//
// Rollback reads the history each time before it sends the request. If another client
// has changed the version in effect since the first reading, Rollback sends nothing
// more. The error then matches [ErrConflict].
func (c *Client) Rollback(ctx context.Context, apiID, envID string) (*PublishRecord, error) {
	if err := checkAPI(apiID, envID); err != nil {
		return nil, err
	}
	ch := newSwitch("Rollback", envID, "")
	ch.before = ch.rollback
	return c.apply(ctx, ch, apiID)
}

// rollback chooses the version to switch to from the first history, and checks in
// every later one that the version to replace is still in effect.
func (ch *change) rollback(h *history, it *item) (*PublishRecord, error) {
	newestFirst(h.versions)
	current := slices.IndexFunc(h.versions, Version.InEffect)
	switch {
	case ch.versionID != "":
		is, v, why := ch.judge(h, it)
		switch {
		case is == NotApplied:
			return nil, nil
		case is == Applied && it.doubted:
			return it.recovered(v), nil
		case is == Applied:
			why = "another client has switched to the version"
		}
		return nil, &CallError{Op: ch.op, APIID: it.APIID, why: "not applied, and not sent again: " + why, tree: []error{ErrConflict}}
	case current < 0:
		return nil, &CallError{Op: ch.op, APIID: it.APIID, why: "not published", tree: []error{ErrNotPublished}}
	case current == len(h.versions)-1:
		return nil, &CallError{Op: ch.op, APIID: it.APIID, why: "the gateway holds no version before the one in effect", tree: []error{ErrNotFound}}
	}
	ch.replaces, ch.versionID = h.versions[current].ID, h.versions[current+1].ID
	return nil, nil
}

// newSwitch is the change that puts a version into effect.
func newSwitch(op, envID, versionID string) *change {
	ch := &change{op: op, action: switchVersion, envID: envID, versionID: versionID}
	ch.request = func(items []*item) request {
		body, _ := json.Marshal(map[string]string{"version_id": ch.versionID}) // strings always marshal
		return request{method: http.MethodPut, path: "/apis/publish/" + url.PathEscape(items[0].APIID), body: body}
	}
	return ch
}

// OfflineVersion takes a version of the API offline. The version must be in effect.
// The request contains versionID alone. If the version belongs to another API, the
// gateway takes that other API offline, and the record has the apiID of the call.
//
// The record has the APIID, and RequestID or Recovered, and nothing else. The error
// matches [ErrNotFound] if the gateway does not hold the version, or if it is not in
// effect. Otherwise it means the same as the error of [Client.Offline].
func (c *Client) OfflineVersion(ctx context.Context, apiID, versionID string) (*PublishRecord, error) {
	var bad problems
	bad.id("APIID", apiID)
	bad.id("VersionID", versionID)
	if err := bad.err(); err != nil {
		return nil, err
	}
	ch := &change{op: "OfflineVersion", action: offlineVersion, versionID: versionID}
	ch.request = func([]*item) request {
		return request{method: http.MethodDelete, path: "/apis/versions/" + url.PathEscape(versionID)}
	}
	return c.apply(ctx, ch, apiID)
}

// newestFirst sorts versions by their publish times. Versions of the same
// second keep the order of the service.
func newestFirst(versions []Version) {
	slices.SortStableFunc(versions, func(a, b Version) int { return b.PublishTime.Compare(a.PublishTime) })
}

// readHistory reads all the versions of an API, in one environment or, if envID is
// empty, in all. The service gives all, and this function picks one environment: a
// filter that the service misunderstands would make an empty history. A version without
// an environment is an error, since it could be of any.
func readHistory(ctx context.Context, s *service, op, apiID, envID string) (*history, error) {
	h := &history{}
	l := list{op: op, apiID: apiID, path: "/apis/publish/" + url.PathEscape(apiID), key: "api_versions", most: keptVersions * maxEnvironments, bound: maxHistory}
	first, err := l.read(ctx, s, rowsInto(&h.versions, func(a *answer, v *Version) (string, error) {
		switch {
		case !sameOrEmpty(v.APIID, apiID):
			return "", errors.New("it is a version of another API")
		case v.EnvID == "":
			return "", errors.New("it is a version of no environment")
		}
		return v.ID, a.checkID(v.EnvID)
	}))
	if err != nil {
		return nil, err
	}
	h.arrived, h.date = first.arrived, first.date
	h.versions = slices.DeleteFunc(h.versions[:first.total], func(v Version) bool { return envID != "" && !strings.EqualFold(v.EnvID, envID) })
	return h, nil
}
