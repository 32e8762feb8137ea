package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
)

// VersionQuery says of which API to list the versions.
type VersionQuery struct {
	APIID string // required
	EnvID string // only this environment, if not empty
}

// Versions lists the versions that the gateway holds: the last ten of each
// environment, in no documented order. It reads a page of 500 at a time, as the
// loop gets there, and yields an error at most once, at the end. The sequence
// can be ranged over again and then reads anew.
func (c *Client) Versions(ctx context.Context, q VersionQuery) iter.Seq2[Version, error] {
	var bad problems
	bad.id("APIID", q.APIID)
	if q.EnvID != "" {
		bad.id("EnvID", q.EnvID)
	}
	return versionList("Versions", q.APIID, q.EnvID).all(ctx, c, bad.err())
}

// Published returns the version that is in effect in the environment, and an
// error that matches ErrNotPublished if there is none.
func (c *Client) Published(ctx context.Context, apiID, envID string) (*Version, error) {
	const name = "Published"
	if err := (ActionRequest{APIID: apiID, EnvID: envID}).check(maxRemark); err != nil {
		return nil, err
	}
	for v, err := range versionList(name, apiID, envID).all(ctx, c, nil) {
		if err != nil {
			return nil, err
		}
		if v.InEffect() && (v.EnvID == "" || v.EnvID == envID) {
			return &v, nil
		}
	}
	return nil, &callError{op: name, apiID: apiID, err: ErrNotPublished}
}

// SwitchVersion puts an earlier version of the API into effect again, in the
// environment it was published in. A roll-back is Versions and SwitchVersion.
//
// The error means the same as that of Publish.
func (c *Client) SwitchVersion(ctx context.Context, apiID, versionID string) (*PublishRecord, error) {
	const name = "SwitchVersion"
	var bad problems
	bad.id("APIID", apiID)
	bad.id("VersionID", versionID)
	if err := bad.err(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"version_id": versionID})
	if err != nil {
		return nil, err
	}
	t, err := c.turns.take(ctx, place{c.instanceID, apiID})
	if err != nil {
		return nil, &interruptedError{subject: subject(name, apiID), ctx: err}
	}
	defer c.turns.release(t)

	record, err := call(ctx, c, operation[*PublishRecord]{
		name:    name,
		apiID:   apiID,
		request: request{method: http.MethodPut, path: "/apis/publish/" + url.PathEscape(apiID), body: body},
		decode: func(a *answer) (*PublishRecord, error) {
			record, err := ActionRequest{APIID: apiID}.decodePublished(a)
			if err == nil && record.VersionID != versionID {
				return nil, errors.New("the body is not a record of this version")
			}
			return record, err
		},
		settle: func(ctx context.Context, l lost) settled[*PublishRecord] {
			return c.settleSwitch(ctx, l, apiID, versionID)
		},
	})
	if err == nil {
		t.report(record.EnvID, versionID)
	}
	return record, err
}

// OfflineVersion takes a version that is in effect offline.
//
// The error means the same as that of Offline.
func (c *Client) OfflineVersion(ctx context.Context, versionID string) error {
	var bad problems
	bad.id("VersionID", versionID)
	if err := bad.err(); err != nil {
		return err
	}
	_, err := call(ctx, c, operation[struct{}]{
		name:    "OfflineVersion",
		request: request{method: http.MethodDelete, path: "/apis/versions/" + url.PathEscape(versionID)},
		decode: func(a *answer) (struct{}, error) {
			if len(a.body) > 0 { // 204 has none; this may come from anybody
				return struct{}{}, errors.New("the answer should have no body")
			}
			return struct{}{}, nil
		},
		// Taking the same version offline twice does no harm, and the gateway
		// then says that it does not exist.
		settle: func(context.Context, lost) settled[struct{}] { return settled[struct{}]{standing: unsettled} },
		forgive: func(code Code) (struct{}, bool) {
			return struct{}{}, code == CodeVersionNotFound
		},
	})
	return err
}

// Definition is an API as it was when it was published.
type Definition struct {
	APIID     string `json:"id"`
	Name      string `json:"name"`
	GroupID   string `json:"group_id"`
	GroupName string `json:"group_name"`
	Protocol  string `json:"req_protocol"`
	Method    string `json:"req_method"`
	Path      string `json:"req_uri"`
	AuthType  string `json:"auth_type"`
	EnvID     string `json:"run_env_id"`
	EnvName   string `json:"run_env_name"`
	PublishID string `json:"publish_id"`
	VersionID string `json:"version_id"`

	// Raw is the whole definition as the gateway gave it, with the parameters
	// and backends that are not typed here.
	Raw json.RawMessage `json:"-"`
}

// RuntimeDefinition is the definition of an API that the gateway serves, which
// may differ from the one that is being edited.
type RuntimeDefinition = Definition

// RuntimeDefinition returns the definition that is served in the environment.
func (c *Client) RuntimeDefinition(ctx context.Context, apiID, envID string) (*RuntimeDefinition, error) {
	if err := (ActionRequest{APIID: apiID, EnvID: envID}).check(maxRemark); err != nil {
		return nil, err
	}
	return call(ctx, c, readRuntime(apiID, envID))
}

// VersionDefinition returns the definition that was published as a version.
func (c *Client) VersionDefinition(ctx context.Context, versionID string) (*Definition, error) {
	var bad problems
	bad.id("VersionID", versionID)
	if err := bad.err(); err != nil {
		return nil, err
	}
	return call(ctx, c, readDefinition("VersionDefinition", "", "/apis/versions/"+url.PathEscape(versionID)))
}

func readRuntime(apiID, envID string) operation[*Definition] {
	return readDefinition("RuntimeDefinition", apiID,
		"/apis/runtime/"+url.PathEscape(apiID)+"?"+url.Values{"env_id": {envID}}.Encode())
}

func readDefinition(name, apiID, path string) operation[*Definition] {
	return operation[*Definition]{
		name:    name,
		apiID:   apiID,
		request: request{method: http.MethodGet, path: path},
		decode: func(a *answer) (*Definition, error) {
			d := &Definition{Raw: a.body}
			if err := json.Unmarshal(a.body, d); err != nil {
				return nil, fmt.Errorf("the body is not a definition: %s", a.text(err.Error(), maxMessage))
			}
			if d.APIID == "" || apiID != "" && d.APIID != apiID {
				return nil, errors.New("the body is not the definition of this API")
			}
			return d, nil
		},
	}
}

func versionList(name, apiID, envID string) list[Version] {
	query := url.Values{}
	if envID != "" {
		query.Set("env_id", envID)
	}
	return list[Version]{name: name, apiID: apiID, path: "/apis/publish/" + url.PathEscape(apiID), key: "api_versions", query: query}
}

// history is all the versions of an API in an environment that the gateway
// holds, and what time it was there.
type history struct {
	versions []Version
	clock    clock
}

// history reads the whole history of an API, in one environment or, if envID is
// empty, in all. It takes no turn: who settles has it.
func (c *Client) history(ctx context.Context, apiID, envID string) (history, error) {
	var h history
	l := versionList("history", apiID, envID)
	l.patient = true
	for p, err := range l.pages(ctx, c) {
		if err != nil {
			return history{}, err
		}
		if p.offset == 0 {
			h.clock = p.clock
		}
		for _, v := range p.rows {
			// The service was asked for just these; a row that says otherwise
			// must not be taken for one of them.
			if (v.APIID == "" || v.APIID == apiID) && (v.EnvID == "" || envID == "" || v.EnvID == envID) {
				h.versions = append(h.versions, v)
			}
		}
	}
	return h, nil
}
