package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apig-go/apig"
)

// newClient makes the client that the environment describes, and what notes the
// changes that it sends.
func (p program) newClient(o common, tag bool) (*apig.Client, *sendings, string, error) {
	cfg, err := p.config()
	if err != nil {
		return nil, nil, "", err
	}
	cfg.UserAgent = "apig-command"
	cfg.Retry.TagRemark = tag
	if o.verbose && !o.quiet {
		cfg.Logger = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	hc := http.Client{}
	if cfg.HTTPClient != nil {
		hc = *cfg.HTTPClient
	}
	if hc.Transport == nil {
		hc.Transport = newTransport()
	}
	sent := &sendings{next: hc.Transport, byAPI: map[string]sending{}}
	hc.Transport = sent
	cfg.HTTPClient = &hc
	client, err := apig.New(cfg)
	return client, sent, cfg.InstanceID, err
}

// newTransport keeps as many connections as there may be workers, gives idle
// ones up before a load balancer does, and notices dead HTTP/2 ones.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = maxParallel, maxParallel
	t.IdleConnTimeout = 30 * time.Second
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
	return t
}

// sendings is a transport that notes of each API how often a change was sent and
// with which remark. The record of a success tells neither.
type sendings struct {
	next  http.RoundTripper
	wrote atomic.Bool                    // the headers of any change have left
	first func(apiID string, of sending) // called before a change of an API is first sent; or nil
	mu    sync.Mutex
	byAPI map[string]sending
}

// sending is what was sent for one API.
type sending struct {
	attempts  int
	remark    string
	versionID string // that was to be switched to
	first     time.Time
}

// RoundTrip notes the request and sends it.
func (s *sendings) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && r.GetBody != nil {
		if body, err := r.GetBody(); err == nil {
			s.note(r, body)
			body.Close()
		}
		// A request that was interrupted while it waited for its connection was
		// not sent, which only a trace can tell.
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			WroteHeaders: func() { s.wrote.Store(true) },
		}))
	}
	return s.next.RoundTrip(r)
}

// CloseIdleConnections closes those of the transport below.
func (s *sendings) CloseIdleConnections() {
	if c, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (s *sendings) note(r *http.Request, body io.Reader) {
	var change struct {
		APIID     string   `json:"api_id"`
		APIs      []string `json:"apis"`
		Remark    string   `json:"remark"`
		VersionID string   `json:"version_id"`
	}
	if json.NewDecoder(body).Decode(&change) != nil {
		return
	}
	ids := change.APIs
	switch {
	case change.APIID != "":
		ids = []string{change.APIID}
	case r.Method == http.MethodPut: // a switch has the API in its path
		ids = []string{path.Base(r.URL.Path)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		of := s.byAPI[strings.ToLower(id)]
		if of.attempts++; of.attempts == 1 {
			of.first, of.remark, of.versionID = time.Now(), change.Remark, change.VersionID
			if s.first != nil {
				s.first(id, of)
			}
		}
		s.byAPI[strings.ToLower(id)] = of
	}
}

// of is what was sent for an API so far.
func (s *sendings) of(apiID string) sending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byAPI[strings.ToLower(apiID)]
}

// none reports whether no change was sent yet.
func (s *sendings) none() bool { return !s.wrote.Load() }
