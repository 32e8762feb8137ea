package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// newTransport is net/http's own, apart from the one that others in this process use.
func newTransport() *http.Transport { return http.DefaultTransport.(*http.Transport).Clone() }

func (g gateway) httpClient() *http.Client {
	if g.transport == nil {
		return &http.Client{Transport: newTransport()}
	}
	return &http.Client{Transport: g.transport}
}

// connectPlain is the code that one writes first: it follows redirects, waits for
// ever, and takes any 201 that is JSON for a success.
func connectPlain(g gateway) (publish, error) {
	hc := g.httpClient()
	url, token := g.url+actionPath, token(shortTokenBytes)
	return func(ctx context.Context, apiID string) error {
		body, err := json.Marshal(action{"online", envID, apiID, remark})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Auth-Token", token)
		resp, err := hc.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			refused := &refusal{status: resp.StatusCode}
			if err := json.NewDecoder(resp.Body).Decode(refused); err != nil {
				return err
			}
			return refused
		}
		var r record
		return json.NewDecoder(resp.Body).Decode(&r)
	}, nil
}

// connectSafe is hand-written code with the safety that this library has around
// one attempt: no redirects, a bounded time, a bounded and drained body, and a
// record that is checked. All others are compared with it.
func connectSafe(tokenBytes int) func(gateway) (publish, error) {
	return func(g gateway) (publish, error) {
		hc := g.httpClient()
		hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		url := g.url + actionPath
		header := http.Header{ // nobody changes it, so all requests share it
			"Accept":       {"application/json"},
			"Content-Type": {"application/json;charset=UTF-8"},
			"User-Agent":   {userAgent},
			"X-Auth-Token": {token(tokenBytes)},
		}
		return func(ctx context.Context, apiID string) error {
			ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
			defer cancel()
			body, err := json.Marshal(action{"online", envID, apiID, remark})
			if err != nil {
				return err
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
			if err != nil {
				return err
			}
			req.Header = header
			resp, err := hc.Do(req)
			if err != nil {
				return err
			}
			return readRecord(resp, apiID)
		}, nil
	}
}

// Bounds of what a careful client reads, as this library has them.
const (
	maxBody  = 1 << 20
	maxDrain = 64 << 10
)

// readRecord reads an answer and says whether it is a record of the API.
func readRecord(resp *http.Response, apiID string) error {
	body, err := readBody(resp)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		refused := &refusal{status: resp.StatusCode}
		if err := json.Unmarshal(body, refused); err != nil {
			return fmt.Errorf("status %d: %w", resp.StatusCode, err)
		}
		return refused
	}
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	if r.APIID != apiID || r.EnvID != envID || r.VersionID == "" {
		return errors.New("the body is not a record of this API")
	}
	return nil
}

// readBody reads a body up to maxBody, and drops a little more so that the
// connection can be used again.
func readBody(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	if n := resp.ContentLength; n > 0 && n <= maxDrain {
		body := make([]byte, n)
		_, err := io.ReadFull(resp.Body, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err == nil && len(body) == maxBody {
		_, err = io.CopyN(io.Discard, resp.Body, maxDrain)
	}
	return body, err
}
