package apig

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"
)

// version is the release this source belongs to; it goes into the User-Agent.
const version = "0.1.0"

// defaultAttemptTimeout bounds an attempt when Config.AttemptTimeout is zero,
// so that a server which never answers cannot hold a caller for ever.
const defaultAttemptTimeout = 60 * time.Second

// Config says which gateway a Client talks to and how. Its zero value is not
// usable: Endpoint, ProjectID, InstanceID and Auth are required, everything
// else has a default.
type Config struct {
	// Endpoint is the address of the APIG service, such as
	// https://apig.cn-north-4.myhuaweicloud.com; see the function Endpoint.
	// It must be https: credentials are never sent over plain http, except
	// to a loopback address.
	Endpoint string

	// ProjectID is the project that owns the gateway.
	ProjectID string

	// InstanceID is the dedicated gateway itself.
	InstanceID string

	// Auth puts the credentials on every request; see StaticToken and
	// TokenAuth.
	Auth Authenticator

	// HTTPClient sends the requests. It is copied, never changed: the copy
	// refuses redirects and has no cookie jar. A nil Transport in it means
	// http.DefaultTransport, as everywhere in net/http. A nil HTTPClient
	// means a transport of this Client's own, which honours the proxy
	// variables of the environment and gives up an HTTP/2 connection that has
	// died without a word after 30 s. In a transport of
	// your own set its HTTP2 field for that.
	HTTPClient *http.Client

	// AttemptTimeout bounds one attempt, from connecting to the last byte of
	// the answer. Zero means 60 s. The whole call is bounded by its context.
	AttemptTimeout time.Duration

	// Retry says how often and when an attempt is repeated.
	Retry RetryPolicy

	// Limiter, if there is one, is asked before each attempt.
	Limiter Limiter

	// Logger gets one Debug record an attempt and one Warn record for each
	// retry or settled outcome, never a credential, a header value or a body.
	// Nil means silence.
	Logger *slog.Logger

	// UserAgent is put in front of this library's own product token.
	UserAgent string
}

// Limiter paces the attempts of a Client. Wait blocks until one more attempt
// may be made, or returns an error if ctx ends first. *rate.Limiter of
// golang.org/x/time/rate is one.
type Limiter interface {
	Wait(ctx context.Context) error
}

// Endpoint returns the address of the APIG service in a region of Huawei
// Cloud, such as cn-north-4. Other clouds and private ones have addresses of
// their own.
func Endpoint(region string) string {
	return serviceEndpoint("apig", region)
}

// serviceEndpoint follows the region tables of the official SDK: the European
// site serves its region eu-west-101 from a domain of its own.
func serviceEndpoint(service, region string) string {
	domain := "myhuaweicloud.com"
	if region == "eu-west-101" {
		domain = "myhuaweicloud.eu"
	}
	return "https://" + service + "." + region + "." + domain
}

// Client publishes APIs on one gateway and takes them offline. It is made by
// New or Instance, is safe for concurrent use, and never changes afterwards.
type Client struct {
	rest       *resty.Client
	http       *http.Client
	auth       Authenticator
	endpoint   string // scheme, host and perhaps a path, without a trailing slash
	projectID  string
	instanceID string
	base       string // endpoint and path of the gateway; operations append theirs
	timeout    time.Duration
	retry      RetryPolicy // with its defaults filled in
	limiter    Limiter     // or nil
	log        *slog.Logger
	turns      *turns // shared by all clients that Instance derives
	jitter     func(n int64) int64
}

// New makes a Client from cfg. It does no I/O. Its error matches
// ErrInvalidArgument and names every mistake in cfg at once.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := newClient(cfg)
	c.endpoint = strings.TrimRight(cfg.Endpoint, "/")
	c.pointAt(cfg.InstanceID)
	return c, nil
}

// newClient makes a client that is not pointed at anything yet.
func newClient(cfg Config) *Client {
	c := &Client{
		http:      cfg.httpClient(),
		auth:      cfg.Auth,
		projectID: cfg.ProjectID,
		timeout:   cmp.Or(cfg.AttemptTimeout, defaultAttemptTimeout),
		retry:     cfg.Retry.withDefaults(),
		limiter:   cfg.Limiter,
		log:       cfg.Logger,
		turns:     newTurns(),
		jitter:    fullJitter,
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.rest = newREST(c.http, c.log, cfg.userAgent(), c.authenticate)
	return c
}

// newREST wraps hc in a resty client that keeps its hands off everything apig
// decides itself: it neither retries, decodes, follows redirects nor logs.
func newREST(hc *http.Client, log *slog.Logger, userAgent string, authenticate func(*http.Request) error) *resty.Client {
	transport := hc.Transport
	rest := resty.NewWithClient(hc)
	// Where resty found no transport it has put in one of its own. Taking it
	// out again leaves http.DefaultTransport in force, looked up at each
	// request as net/http does.
	hc.Transport = transport
	return rest.
		SetLogger(restyLog{log}).
		SetHeader("Accept", "application/json").
		SetHeader("User-Agent", userAgent).
		SetDoNotParseResponse(true).
		SetPreRequestHook(func(_ *resty.Client, r *http.Request) error {
			defer follow(r) // last: signing reads the body, and getting credentials may take requests of its own
			return authenticate(r)
		})
}

// Instance returns a client for another gateway of the same project, with the
// same configuration, connections and credentials.
func (c *Client) Instance(id string) (*Client, error) {
	var bad problems
	bad.id("InstanceID", id)
	if err := bad.err(); err != nil {
		return nil, err
	}
	other := *c
	other.pointAt(id)
	return &other, nil
}

func (c *Client) pointAt(instanceID string) {
	c.instanceID = instanceID
	c.base = c.endpoint + "/v2/" + url.PathEscape(c.projectID) + "/apigw/instances/" + url.PathEscape(instanceID)
}

// CloseIdleConnections closes the connections that are idle now, those of the
// caller's own transport included if Config.HTTPClient had one.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Format prints which gateway the client is for, whatever the verb, so that no
// formatting of a Client shows what it holds.
func (c *Client) Format(s fmt.State, _ rune) {
	if c == nil {
		fmt.Fprint(s, "apig.Client(nil)")
		return
	}
	fmt.Fprintf(s, "apig.Client(%s)", c.base)
}

func (cfg Config) userAgent() string {
	own := "apig-go/" + version
	if cfg.UserAgent == "" {
		return own
	}
	return cfg.UserAgent + " " + own
}

// httpClient returns the client that sends the requests: the caller's, copied,
// or one with a transport of its own.
func (cfg Config) httpClient() *http.Client {
	hc := &http.Client{}
	if cfg.HTTPClient != nil {
		*hc = *cfg.HTTPClient
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
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   100,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		// An HTTP/2 connection that has died without a word would otherwise hold
		// every call that shares it until its time runs out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
}
