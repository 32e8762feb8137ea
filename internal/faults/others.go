package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/apig-go/apig"
	"github.com/go-resty/resty/v2"
)

// The clients beside ours are what one writes with the official SDK, with resty
// and with net/http alone: retries on broken connections, 5xx and 429, with as
// many attempts and the same waits as ours.

// single is a client that changes one API with a call, and returns its version.
type single struct {
	do   func(context.Context, call) (versionID string, err error)
	shut func()
}

func (s single) act(ctx context.Context, c call) []answer {
	version, err := s.do(ctx, c)
	if err != nil {
		return []answer{{err: err}}
	}
	return []answer{{record: &apig.PublishRecord{APIID: c.APIIDs[0], EnvID: apig.EnvRelease, VersionID: version}}}
}

func (s single) close() { s.shut() }

// usualLoop tries until it goes well, or until trying again is of no use.
func usualLoop(w waits, try func() (versionID string, again bool, err error)) (string, error) {
	wait := w.Min
	for attempt := 1; ; attempt++ {
		version, again, err := try()
		if err == nil || !again || attempt == attempts {
			return version, err
		}
		time.Sleep(wait)
		wait = min(2*wait, w.Max)
	}
}

// worthAnother reports whether a status is one after which clients try again.
func worthAnother(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests
}

// action is the body of a publish or an offline, and version what they read of
// the answer.
type (
	action struct {
		Action string `json:"action"`
		EnvID  string `json:"env_id"`
		APIID  string `json:"api_id"`
		Remark string `json:"remark"`
	}
	version struct {
		VersionID string `json:"version_id"`
	}
)

func (c call) action() action {
	a := action{"offline", apig.EnvRelease, c.APIIDs[0], remark}
	if c.Publish {
		a.Action = "online"
	}
	return a
}

func (s site) actionURL() string {
	return s.URL + "/v2/" + s.ProjectID + "/apigw/instances/" + s.InstanceID + "/apis/action"
}

// renewed reports whether an answer was a 401, for which the token has been
// dropped now.
func renewed(auth apig.Authenticator, status int, r *http.Request) bool {
	refresher, ok := auth.(apig.Refresher)
	return ok && status == http.StatusUnauthorized && refresher.Refresh(r)
}

// openResty lets resty do what it has methods for.
func openResty(s site, w waits, over *wire) (client, error) {
	auth := s.auth(w, over)
	c := resty.New().
		SetTransport(over).
		SetTimeout(w.Attempt).
		SetLogger(silent{}).
		SetRetryCount(attempts - 1).
		SetRetryWaitTime(w.Min).
		SetRetryMaxWaitTime(w.Max).
		SetPreRequestHook(func(_ *resty.Client, r *http.Request) error { return auth.Authenticate(r) }).
		AddRetryCondition(func(r *resty.Response, err error) bool {
			return err != nil || worthAnother(r.StatusCode()) || renewed(auth, r.StatusCode(), r.Request.RawRequest)
		})
	publish := func(ctx context.Context, what call) (string, error) {
		var v version
		resp, err := c.R().SetContext(ctx).SetBody(what.action()).SetResult(&v).Post(s.actionURL())
		if err == nil && resp.IsError() {
			err = fmt.Errorf("%s: %s", resp.Status(), resp)
		}
		return v.VersionID, err
	}
	return single{publish, over.CloseIdleConnections}, nil
}

// silent keeps resty from writing to stderr.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

// withNetHTTP is net/http alone.
type withNetHTTP struct {
	http.Client
	url  string
	auth apig.Authenticator
}

func openNetHTTP(s site, w waits, over *wire) (client, error) {
	c := &withNetHTTP{http.Client{Transport: over, Timeout: w.Attempt}, s.actionURL(), s.auth(w, over)}
	publish := func(ctx context.Context, what call) (string, error) {
		body, err := json.Marshal(what.action())
		if err != nil {
			return "", err
		}
		return usualLoop(w, func() (string, bool, error) { return c.try(ctx, body) })
	}
	return single{publish, c.CloseIdleConnections}, nil
}

func (c *withNetHTTP) try(ctx context.Context, body []byte) (versionID string, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return "", false, err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := c.auth.Authenticate(req); err != nil {
		return "", true, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", true, err
	}
	defer resp.Body.Close()
	if resp.StatusCode > 299 {
		again := worthAnother(resp.StatusCode) || renewed(c.auth, resp.StatusCode, req)
		return "", again, fmt.Errorf("publishing: %s", resp.Status)
	}
	var v version
	err = json.NewDecoder(resp.Body).Decode(&v)
	return v.VersionID, true, err
}
