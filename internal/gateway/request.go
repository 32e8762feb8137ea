package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Request is a request that the gateway has received completely. Treat it as
// read-only: the journal refers to it too.
type Request struct {
	Seq    int       // 1 for the first
	ID     string    // in X-Request-Id of the answer
	Time   time.Time // on the gateway's clock
	Op     Op
	Method string
	Path   string // unescaped
	Host   string
	Query  url.Values
	Header http.Header // everything that was sent, except Host
	Body   []byte

	InstanceID string // as in the path
	APIID      string // as in the path, or in the body of an OpAction
	RemoteAddr string // of the connection

	scheme   string // of the address that the client used
	project  string
	target   string // the last segment of the path, where it is an id
	route    *route // nil: no such path or method
	allow    string // for a known path: the methods it has
	queryErr error
	rawSize  int // of the request line's target
	tooLarge bool
}

// Request bodies above this are refused, as by the front gateway.
const maxBody = 12 << 20

// receive reads a request. Its error means that the request broke off on its
// way in; such a one is as good as never sent.
func receive(w http.ResponseWriter, r *http.Request) (*Request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	tooLarge := errors.As(err, new(*http.MaxBytesError))
	if err != nil && !tooLarge {
		return nil, err
	}
	query, queryErr := url.ParseQuery(r.URL.RawQuery)
	req := &Request{
		Method:     r.Method,
		Path:       r.URL.Path,
		Host:       r.Host,
		Query:      query,
		Header:     r.Header,
		Body:       body,
		RemoteAddr: r.RemoteAddr,
		scheme:     scheme(r),
		queryErr:   queryErr,
		rawSize:    len(r.RequestURI),
		tooLarge:   tooLarge,
	}
	req.classify(r.URL.EscapedPath())
	return req, nil
}

// scheme is that of the address that the client used.
func scheme(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" { // a proxy has ended the TLS
		return "https"
	}
	return "http"
}

// classify finds out what the request asks for, without judging it yet.
func (r *Request) classify(escapedPath string) {
	r.Op = OpUnknown
	segments := strings.Split(strings.TrimPrefix(escapedPath, "/"), "/")
	for n, s := range segments {
		if plain, err := url.PathUnescape(s); err == nil {
			segments[n] = plain
		}
	}
	if len(segments) > 5 && segments[0] == "v2" && segments[2] == "apigw" && segments[3] == "instances" {
		r.project, r.InstanceID = segments[1], segments[4]
		segments = segments[5:]
	} else {
		segments[0] = "/" + segments[0] // not below an instance
	}
	for n := range routes {
		target, ok := routes[n].match(segments)
		if !ok {
			continue
		}
		if routes[n].method != r.Method {
			r.allow = strings.TrimPrefix(r.allow+", "+routes[n].method, ", ")
			continue
		}
		r.route, r.Op, r.target = &routes[n], routes[n].op, target
		break
	}
	switch r.Op {
	case OpHistory, OpSwitch, OpRuntime, OpAPI:
		r.APIID = r.target
	case OpAction:
		var body struct {
			APIID string `json:"api_id"`
		}
		_ = json.Unmarshal(r.Body, &body) // what is wrong with it is for the handler to say
		r.APIID = body.APIID
	}
}

// recorder keeps the requests.
type recorder struct {
	mu  sync.Mutex
	all []*Request
}

func (l *recorder) add(r *Request, c *clock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Seq = len(l.all) + 1
	r.Time = c.now()
	l.all = append(l.all, r)
}

// Requests returns everything received so far, in order. A request is
// recorded before a fault strikes it and before it is judged.
func (g *Gateway) Requests() []Request { return g.RequestsSince(0) }

// RequestsSince returns the requests with a Seq above that. Whoever looks often
// at a gateway that receives much copies only what is new.
func (g *Gateway) RequestsSince(seq int) []Request {
	g.requests.mu.Lock()
	defer g.requests.mu.Unlock()
	var fresh []Request
	for _, r := range g.requests.all[min(max(seq, 0), len(g.requests.all)):] {
		fresh = append(fresh, *r)
	}
	return fresh
}

// Op is the kind of a request.
type Op string

// The operations of the gateway. Paths are below
// /v2/{project_id}/apigw/instances/{instance_id}.
const (
	OpAction            Op = "action"             // POST apis/action: publish one API or take it offline
	OpBatch             Op = "batch"              // POST apis/publish: the same for many
	OpHistory           Op = "history"            // GET apis/publish/{api_id}
	OpSwitch            Op = "switch"             // PUT apis/publish/{api_id}
	OpVersion           Op = "version"            // GET apis/versions/{version_id}
	OpOfflineVersion    Op = "offline-version"    // DELETE apis/versions/{version_id}
	OpRuntime           Op = "runtime"            // GET apis/runtime/{api_id}
	OpEnvironments      Op = "environments"       // GET envs
	OpCreateEnvironment Op = "create-environment" // POST envs
	OpDeleteEnvironment Op = "delete-environment" // DELETE envs/{env_id}
	OpGroups            Op = "groups"             // GET api-groups, GET env-variables
	OpAPIs              Op = "apis"               // GET apis
	OpAPI               Op = "api"                // GET apis/{api_id}
	OpUnknown           Op = "unknown"            // anything else
)

// The operations of IAM. The paths are whole.
const (
	OpToken           Op = "token"            // POST /v3/auth/tokens
	OpValidateToken   Op = "validate-token"   // GET /v3/auth/tokens
	OpCatalog         Op = "catalog"          // GET /v3/auth/catalog
	OpProjects        Op = "projects"         // GET /v3/projects and /v3/auth/projects
	OpDomains         Op = "domains"          // GET /v3/auth/domains
	OpIdentityVersion Op = "identity-version" // GET /v3
)

// A route is an endpoint.
type route struct {
	method  string
	pattern []string // segments below the instance; "*" is an id
	op      Op
	handle  func(*Gateway, *Request) (answer, error)
}

var routes = []route{
	{"POST", path("apis/action"), OpAction, within((*Instance).serveAction)},
	{"POST", path("apis/publish"), OpBatch, within((*Instance).serveBatch)},
	{"GET", path("apis/publish/*"), OpHistory, within((*Instance).serveHistory)},
	{"PUT", path("apis/publish/*"), OpSwitch, within((*Instance).serveSwitch)},
	{"GET", path("apis/versions/*"), OpVersion, within((*Instance).serveVersion)},
	{"DELETE", path("apis/versions/*"), OpOfflineVersion, within((*Instance).serveOfflineVersion)},
	{"GET", path("apis/runtime/*"), OpRuntime, within((*Instance).serveRuntime)},
	{"GET", path("envs"), OpEnvironments, within((*Instance).serveEnvironments)},
	{"POST", path("envs"), OpCreateEnvironment, within((*Instance).serveCreateEnvironment)},
	{"DELETE", path("envs/*"), OpDeleteEnvironment, within((*Instance).serveDeleteEnvironment)},
	{"GET", path("api-groups"), OpGroups, within((*Instance).serveGroups)},
	{"GET", path("env-variables"), OpGroups, within((*Instance).serveVariables)},
	{"GET", path("apis"), OpAPIs, within((*Instance).serveAPIs)},
	{"GET", path("apis/*"), OpAPI, within((*Instance).serveAPI)},
	{"POST", path("/v3/auth/tokens"), OpToken, (*Gateway).serveToken},
	{"GET", path("/v3/auth/tokens"), OpValidateToken, (*Gateway).serveValidation},
	{"GET", path("/v3/auth/catalog"), OpCatalog, (*Gateway).serveCatalog},
	{"GET", path("/v3/auth/projects"), OpProjects, (*Gateway).serveProjects},
	{"GET", path("/v3/auth/domains"), OpDomains, (*Gateway).serveDomains},
	{"GET", path("/v3/projects"), OpProjects, (*Gateway).serveProjects},
	{"GET", path("/v3"), OpIdentityVersion, (*Gateway).serveIdentityVersion},
	{"GET", path("/v3/"), OpIdentityVersion, (*Gateway).serveIdentityVersion},
}

// Ops are the kinds of requests that there are, for programs whose users choose
// some; OpUnknown is the last.
func Ops() []Op {
	var ops []Op
	for _, t := range routes {
		if !slices.Contains(ops, t.op) {
			ops = append(ops, t.op)
		}
	}
	return append(ops, OpUnknown)
}

// path splits a pattern; a leading slash stays with the first segment and
// marks a path that is not below an instance.
func path(pattern string) []string {
	if rest, ok := strings.CutPrefix(pattern, "/"); ok {
		segments := strings.Split(rest, "/")
		segments[0] = "/" + segments[0]
		return segments
	}
	return strings.Split(pattern, "/")
}

// match compares a path with the pattern and returns the id in it, if any.
func (t *route) match(segments []string) (id string, ok bool) {
	if len(segments) != len(t.pattern) {
		return "", false
	}
	for n, want := range t.pattern {
		switch {
		case want == "*" && segments[n] != "":
			id = segments[n]
		case want != segments[n]:
			return "", false
		}
	}
	return id, true
}
