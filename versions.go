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
	"time"
)

// VersionQuery says of which API to list the versions.
type VersionQuery struct {
	APIID string // required
	EnvID string // only this environment, if not empty
}

// Versions lists the versions that the gateway holds, the last ten of each
// environment, newest first. It reads them all before it yields the first, and
// yields an error at most once, instead of them: [ErrInvalidArgument], [ErrNotFound]
// if there is no such API, or why it cannot be read. The sequence can be ranged over
// again and then reads anew.
func (c *Client) Versions(ctx context.Context, q VersionQuery) iter.Seq2[Version, error] {
	var bad problems
	bad.id("APIID", q.APIID)
	if q.EnvID != "" {
		bad.id("EnvID", q.EnvID)
	}
	mistake := bad.err()
	return func(yield func(Version, error) bool) {
		h, err := &history{}, mistake
		if err == nil {
			h, err = readHistory(ctx, &c.service, "Versions", q.APIID, q.EnvID)
		}
		if err != nil {
			yield(Version{}, err)
			return
		}
		newestFirst(h.versions)
		for _, v := range h.versions {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// Published returns the version that is in effect in the environment, and an
// error that matches [ErrNotPublished] if there is none.
func (c *Client) Published(ctx context.Context, apiID, envID string) (*Version, error) {
	const op = "Published"
	if err := (ActionRequest{APIID: apiID, EnvID: envID}).check(maxRemark); err != nil {
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

// RuntimeDefinition returns the definition that is served in the environment. The
// error matches [ErrNotPublished] if there is none.
func (c *Client) RuntimeDefinition(ctx context.Context, apiID, envID string) (*Definition, error) {
	if err := (ActionRequest{APIID: apiID, EnvID: envID}).check(maxRemark); err != nil {
		return nil, err
	}
	return readRuntime(ctx, &c.service, apiID, envID)
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

func readRuntime(ctx context.Context, s *service, apiID, envID string) (*Definition, error) {
	return readDefinition(ctx, s, "RuntimeDefinition", apiID,
		"/apis/runtime/"+url.PathEscape(apiID)+"?"+url.Values{"env_id": {envID}}.Encode())
}

func readDefinition(ctx context.Context, s *service, op, apiID, path string) (*Definition, error) {
	return read(ctx, s, operation{name: op, apiID: apiID, request: request{method: http.MethodGet, path: path}},
		func(a *answer) (*Definition, error) {
			d := &Definition{Raw: a.body}
			if err := json.Unmarshal(a.body, d); err != nil {
				return nil, fmt.Errorf("the body is not a definition: %s", a.text(err.Error(), maxMessage))
			}
			if d.APIID == "" || apiID != "" && !strings.EqualFold(d.APIID, apiID) {
				return nil, errors.New("the body is not the definition of this API")
			}
			return d, nil
		})
}

// newestFirst sorts versions by their publish times. Those of the same second
// keep the order of the service, which is the same as far as it is known.
func newestFirst(versions []Version) {
	slices.SortStableFunc(versions, func(a, b Version) int { return b.PublishTime.Compare(a.PublishTime) })
}

// versionList is the list of the versions of an API, in one environment or, if
// envID is empty, in all. A row of another one is a mistake of the service: it
// must not be taken for one of them, nor may one of them be missing for it.
func versionList(op, apiID, envID string) list[Version] {
	query, most := url.Values{}, keptVersions*maxEnvironments
	if envID != "" {
		query.Set("env_id", envID)
		most = pageLimit
	}
	return list[Version]{op: op, apiID: apiID, path: "/apis/publish/" + url.PathEscape(apiID), key: "api_versions", query: query,
		id:   func(v *Version) string { return v.ID },
		most: most, bound: maxHistory,
		check: func(a *answer, v *Version) error {
			if !sameOrEmpty(v.APIID, apiID) || envID != "" && !sameOrEmpty(v.EnvID, envID) {
				return errors.New("the list has a version of another API or environment")
			}
			if v.EnvID == "" {
				return nil
			}
			return a.checkID(v.EnvID)
		}}
}

// readHistory reads all the versions of an API, in one environment or, if envID
// is empty, in all. It takes no turn: whoever settles holds it.
func readHistory(ctx context.Context, s *service, op, apiID, envID string) (*history, error) {
	h := &history{asked: time.Now()}
	for p, err := range versionList(op, apiID, envID).pages(ctx, s) {
		if err != nil {
			return nil, err
		}
		if p.offset == 0 {
			h.asked, h.arrived, h.date = p.asked, p.arrived, p.date
		}
		h.versions = append(h.versions, p.rows...)
	}
	return h, nil
}
