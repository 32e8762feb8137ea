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

// The two clients beside ours are what one writes with resty and with net/http
// alone: retries on errors, 5xx and 429, with as many attempts and the same
// waits as ours. Both renew a token that was rejected.

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
	a := action{"offline", apig.EnvRelease, c.APIID, remark}
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

// withResty lets resty do what it has methods for.
type withResty struct {
	*resty.Client
	url string
}

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
			return err != nil || r.StatusCode() >= 500 || r.StatusCode() == http.StatusTooManyRequests ||
				renewed(auth, r.StatusCode(), r.Request.RawRequest)
		})
	return withResty{c, s.actionURL()}, nil
}

func (c withResty) act(ctx context.Context, what call) (receipt, error) {
	var v version
	resp, err := c.R().SetContext(ctx).SetBody(what.action()).SetResult(&v).Post(c.url)
	if err != nil {
		return receipt{}, err
	}
	if resp.IsError() {
		return receipt{}, fmt.Errorf("%s: %s", resp.Status(), resp)
	}
	return receipt{versionID: v.VersionID}, nil
}

func (c withResty) close() { c.GetClient().CloseIdleConnections() }

// silent keeps resty from writing to stderr.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

// withNetHTTP is the usual loop.
type withNetHTTP struct {
	*http.Client
	url   string
	auth  apig.Authenticator
	waits waits
}

func openNetHTTP(s site, w waits, over *wire) (client, error) {
	return withNetHTTP{&http.Client{Transport: over, Timeout: w.Attempt}, s.actionURL(), s.auth(w, over), w}, nil
}

func (c withNetHTTP) act(ctx context.Context, what call) (receipt, error) {
	body, err := json.Marshal(what.action())
	if err != nil {
		return receipt{}, err
	}
	wait := c.waits.Min
	for attempt := 1; ; attempt++ {
		v, again, err := c.try(ctx, body)
		if err == nil {
			return receipt{versionID: v.VersionID}, nil
		}
		if !again || attempt == attempts {
			return receipt{}, err
		}
		time.Sleep(wait)
		wait = min(2*wait, c.waits.Max)
	}
}

func (c withNetHTTP) try(ctx context.Context, body []byte) (v version, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return v, false, err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := c.auth.Authenticate(req); err != nil {
		return v, true, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return v, true, err
	}
	defer resp.Body.Close()
	if resp.StatusCode > 299 {
		again := resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests ||
			renewed(c.auth, resp.StatusCode, req)
		return v, again, fmt.Errorf("publishing: %s", resp.Status)
	}
	err = json.NewDecoder(resp.Body).Decode(&v)
	return v, true, err
}

func (c withNetHTTP) close() { c.CloseIdleConnections() }
