package apig

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"
)

// version is the release this source belongs to; it goes into the User-Agent.
const version = "0.1.0"

// defaultAttemptTimeout bounds an attempt when Config.AttemptTimeout is zero,
// so that a server which never answers cannot hold a caller for ever.
const defaultAttemptTimeout = 60 * time.Second

// The longest bodies that are read, in bytes: maxBody of most answers and of every
// refusal, maxHistory of a page of a history, maxList of a page of APIs or of a batch.
// Up to maxDrain more are read and dropped, so that the connection can be used again.
const (
	maxBody    = 1 << 20
	maxHistory = 2 << 20
	maxList    = 8 << 20
	maxDrain   = 64 << 10
)

// service is one HTTP service and the way to it: all that a call needs. APIG is
// one, and so are IAM and the metadata service of a server.
type service struct {
	base     string         // scheme, host and path; operations append theirs
	blank    *resty.Request // to be copied: making one takes six maps and slices that apig does not use
	sending  http.Header    // of requests with a body, and
	reading  http.Header    // of those without; resty copies them, and changes nothing in them
	http     *http.Client
	auth     Authenticator
	timeout  time.Duration // of one attempt
	retry    RetryPolicy   // with its defaults filled in
	renewals int           // how many rejections of credentials one call tries to cure
	limiter  Limiter       // or nil
	throttle *throttle     // of the requests of a Client; nil: of none
	log      *slog.Logger
}

// newService makes the service at cfg.Endpoint.
func newService(cfg Config) service {
	s := service{
		base:     strings.TrimRight(cfg.Endpoint, "/"),
		http:     newHTTPClient(cfg.HTTPClient),
		auth:     cfg.Auth,
		timeout:  cmp.Or(cfg.AttemptTimeout, defaultAttemptTimeout),
		retry:    cfg.Retry.withDefaults(),
		renewals: 1,
		limiter:  cfg.Limiter,
		log:      cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
	}
	s.blank = newREST(s.http, s.log, newSigner(s.auth, cfg.ProjectID)).R()
	usual := http.Header{"Accept": {"application/json"}, "User-Agent": {strings.TrimLeft(cfg.UserAgent+" apig-go/"+version, " ")}}
	s.sending, s.reading = usual.Clone(), usual
	s.sending.Set("Content-Type", "application/json;charset=UTF-8")
	s.reading.Set("Cache-Control", "no-cache")
	return s
}

// newHTTPClient returns the client that sends the requests: the caller's,
// copied, or one with a transport of its own.
func newHTTPClient(callers *http.Client) *http.Client {
	hc := &http.Client{}
	if callers != nil {
		*hc = *callers
	} else {
		hc.Transport = newTransport()
	}
	// On a redirect Go strips Authorization but not X-Auth-Token, so following
	// one could hand the token to another host.
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	hc.Jar = nil
	return hc
}

// newTransport is http.DefaultTransport as the standard library makes it, but
// idle connections go after 30 s, before the usual 60 s of a load balancer closes
// them under a request, all of them may stay with the one host there is, and
// silent ones are checked.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: proxyAnswered,
		DialContext:            (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    100,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxBody,
		// An HTTP/2 connection that has died without a word would otherwise hold
		// every call that shares it until its time runs out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// proxyError is a proxy that has refused the tunnel (CONNECT) to the service, so
// nothing was sent. A transport of the caller's does not report it; its error then
// has the text of the proxy's status line.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return strings.TrimSpace("the proxy refused the connection: " + strconv.Itoa(e.status) + " " + http.StatusText(e.status))
}

// forGood reports whether a retry would get the same answer: the proxy forbids the
// way, or does not know the user.
func (e *proxyError) forGood() bool {
	return e.status == http.StatusForbidden || e.status == http.StatusProxyAuthRequired
}

// proxyAnswered is Transport.OnProxyConnectResponse of our own transport.
func proxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{answer.StatusCode}
}

// newREST wraps hc in a resty client that keeps its hands off everything apig
// decides itself: it neither retries, decodes, follows redirects nor logs.
func newREST(hc *http.Client, log *slog.Logger, auth signer) *resty.Client {
	transport := hc.Transport
	rest := resty.NewWithClient(hc)
	// Where resty found no transport it has put in one of its own. Taking it
	// out again leaves http.DefaultTransport in force, looked up at each
	// request as net/http does.
	hc.Transport = transport
	return rest.
		SetLogger(restyLog{log}).
		SetDoNotParseResponse(true).
		SetPreRequestHook(func(_ *resty.Client, r *http.Request) error { return auth.authenticate(r) })
}

// signer puts credentials on finished requests. All clients of an Instance share
// it, so it depends on nothing but the project.
type signer struct {
	auth    Authenticator
	project string // the value of X-Project-Id, which signed requests need; or empty
}

func newSigner(auth Authenticator, projectID string) signer {
	if _, signs := auth.(guarded); !signs {
		projectID = ""
	}
	return signer{auth, projectID}
}

func (s signer) authenticate(r *http.Request) error {
	if s.project != "" {
		r.Header["X-Project-Id"] = []string{s.project} // signed, so before the signature
	}
	now, _ := r.Context().Value(attemptKey{}).(*attempt)
	var err error
	if keys, ok := s.auth.(guarded); ok && now != nil {
		now.keys, err = keys.authenticate(r)
	} else {
		err = s.auth.Authenticate(r)
	}
	// The Authenticator may have taken all the time there was. Here it still is
	// certain that nothing was sent.
	ended := r.Context().Err()
	if err = cmp.Or(err, ended); err != nil {
		return &authError{err, ended != nil}
	}
	// Last: the Authenticator may send requests of its own in this context, and reads
	// the body of this one.
	if now != nil {
		now.watch.Follow(r)
	}
	return nil
}

// refresh asks the authenticator for new credentials in place of those on a
// request that was rejected.
func (s *service) refresh(rejected *http.Request) bool {
	r, ok := s.auth.(Refresher)
	return ok && rejected != nil && r.Refresh(rejected)
}

// restyLog keeps resty, which writes to stderr by default, within the caller's
// logger.
type restyLog struct{ log *slog.Logger }

func (l restyLog) Errorf(format string, v ...any) { l.log.Error("apig: " + fmt.Sprintf(format, v...)) }
func (l restyLog) Warnf(format string, v ...any)  { l.log.Warn("apig: " + fmt.Sprintf(format, v...)) }
func (l restyLog) Debugf(format string, v ...any) { l.log.Debug("apig: " + fmt.Sprintf(format, v...)) }
