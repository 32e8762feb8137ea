package apig

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
)

// SwitchVersion puts an earlier version of the API into effect again, in the
// environment it was published in. See [Client.Rollback] for the version before.
// The error matches [ErrNotFound] if the gateway does not hold the version, and
// otherwise means the same as that of [Client.Publish].
func (c *Client) SwitchVersion(ctx context.Context, apiID, versionID string) (*PublishRecord, error) {
	var bad problems
	bad.id("APIID", apiID)
	bad.id("VersionID", versionID)
	if err := bad.err(); err != nil {
		return nil, err
	}
	return c.apply(ctx, newSwitch("SwitchVersion", apiID, "", versionID))
}

// Rollback puts the version into effect again that was published in the
// environment before the one that is in effect now. The error matches
// [ErrNotPublished] if none is in effect, and [ErrNotFound] if there is none before
// it. Otherwise it means the same as that of Publish.
//
// What somebody else switches to leaves no time in the history: a lost Rollback may
// be taken for not applied because of it and undo it. A repetition may also undo what
// somebody else has changed in the second before. The same goes for SwitchVersion,
// OfflineVersion and Offline.
func (c *Client) Rollback(ctx context.Context, apiID, envID string) (*PublishRecord, error) {
	const op = "Rollback"
	if err := (ActionRequest{APIID: apiID, EnvID: envID}).check(maxRemark); err != nil {
		return nil, err
	}
	// The turn is held from before the history is read, so that no other call of
	// this client can change what is in effect meanwhile.
	t, err := c.take(ctx, op, apiID)
	if err != nil {
		return nil, err
	}
	var change *single
	defer func() {
		if change == nil { // which would have given it back itself
			c.turns.release(t)
		}
	}()
	before, err := c.versionBefore(ctx, op, apiID, envID)
	if err != nil {
		return nil, err
	}
	change = newSwitch(op, apiID, envID, before.ID)
	return c.applyInTurn(ctx, change, t)
}

// versionBefore is the version that was published before the one in effect. It
// reads the history within SettleTimeout.
func (c *Client) versionBefore(ctx context.Context, op, apiID, envID string) (*Version, error) {
	reading, cancel := context.WithTimeout(ctx, c.retry.SettleTimeout)
	defer cancel()
	h, err := readHistory(reading, &c.service, op, apiID, envID)
	if err != nil {
		return nil, err
	}
	newestFirst(h.versions)
	current := slices.IndexFunc(h.versions, Version.InEffect)
	switch {
	case current < 0:
		return nil, &CallError{Op: op, APIID: apiID, why: "not published", tree: []error{ErrNotPublished}}
	case current == len(h.versions)-1:
		return nil, &CallError{Op: op, APIID: apiID, why: "the gateway holds no version before the one in effect", tree: []error{ErrNotFound}}
	}
	return &h.versions[current+1], nil
}

// newSwitch is the change that puts a version into effect.
func newSwitch(op, apiID, envID, versionID string) *single {
	body, _ := json.Marshal(map[string]string{"version_id": versionID}) // strings always marshal
	return newSingle(change{op: op, action: switchVersion, envID: envID, versionID: versionID}, apiID,
		request{method: http.MethodPut, path: "/apis/publish/" + url.PathEscape(apiID), body: body})
}

// OfflineVersion takes a version of the API offline, which must be the one in
// effect. The gateway goes by versionID alone: apiID must be the API it belongs to,
// or another API is taken offline and reported under this one.
//
// The record has the APIID, and the RequestID of the answer or, if that was lost,
// Recovered. The gateway says nothing else. The error matches [ErrNotFound] if there
// is no such version, or it is not in effect, and otherwise means the same as that
// of [Client.Offline].
func (c *Client) OfflineVersion(ctx context.Context, apiID, versionID string) (*PublishRecord, error) {
	var bad problems
	bad.id("APIID", apiID)
	bad.id("VersionID", versionID)
	if err := bad.err(); err != nil {
		return nil, err
	}
	return c.apply(ctx, newSingle(change{op: "OfflineVersion", action: offlineVersion, versionID: versionID}, apiID,
		request{method: http.MethodDelete, path: "/apis/versions/" + url.PathEscape(versionID)}))
}
