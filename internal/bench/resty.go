package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/go-resty/resty/v2"
)

// connectResty is resty as its documentation shows it.
func connectResty(g gateway) (publish, error) {
	rest := resty.New().SetBaseURL(g.url).SetHeader("X-Auth-Token", token(shortTokenBytes))
	if g.transport != nil {
		rest.SetTransport(g.transport)
	}
	return func(ctx context.Context, apiID string) error {
		var (
			r       record
			refused refusal
		)
		resp, err := rest.R().
			SetContext(ctx).
			SetBody(action{"online", envID, apiID, remark}).
			SetResult(&r).
			SetError(&refused).
			Post(actionPath)
		if err != nil {
			return err
		}
		if resp.IsError() {
			refused.status = resp.StatusCode()
			return &refused
		}
		return nil
	}, nil
}

// connectTuned is resty without what costs: the URL is whole, the headers are the
// client's, the body is bytes already, and the answer is read as connectSafe does.
func connectTuned(tokenBytes int) func(gateway) (publish, error) {
	return func(g gateway) (publish, error) {
		hc := g.httpClient()
		hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		rest := resty.NewWithClient(hc).
			SetDoNotParseResponse(true).
			SetHeader("Accept", "application/json").
			SetHeader("Content-Type", "application/json;charset=UTF-8").
			SetHeader("User-Agent", userAgent).
			SetHeader("X-Auth-Token", token(tokenBytes))
		url, blank := g.url+actionPath, rest.R()
		return func(ctx context.Context, apiID string) error {
			ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
			defer cancel()
			body, err := json.Marshal(action{"online", envID, apiID, remark})
			if err != nil {
				return err
			}
			req := *blank // which saves the maps that R makes
			req.Header = http.Header{}
			resp, err := req.SetContext(ctx).SetBody(bytes.NewReader(body)).Post(url)
			if err != nil {
				return err
			}
			return readRecord(resp.RawResponse, apiID)
		}, nil
	}
}
