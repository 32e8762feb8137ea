package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// Request is a request that the gateway has received completely. Treat it as
// read-only: the journal refers to it too. The JSON is the one of the control address,
// without the headers, which hold credentials.
type Request struct {
	Seq    int         `json:"seq"`        // 1 for the first
	ID     string      `json:"request_id"` // in X-Request-Id of the answer
	Time   time.Time   `json:"time"`       // on the gateway's clock
	Op     Op          `json:"op"`
	Method string      `json:"method"`
	Path   string      `json:"path"` // unescaped
	Host   string      `json:"-"`
	Query  url.Values  `json:"-"`
	Header http.Header `json:"-"` // everything that was sent, except Host
	Body   []byte      `json:"-"`

	InstanceID string `json:"instance_id,omitempty"` // as in the path
	APIID      string `json:"api_id,omitempty"`      // as in the path, or in the body of an OpAction

	resets   int64  // of the gateway, before the request
	scheme   string // of the address that the client used
	project  string
	target   string    // the last segment of the path, where it is an id
	endpoint *endpoint // nil: no such path or method
	allow    string    // for a known path: the methods it has
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
		Op:       OpUnknown,
		Method:   r.Method,
		Path:     r.URL.Path,
		Host:     r.Host,
		Query:    query,
		Header:   r.Header,
		Body:     body,
		scheme:   scheme(r),
		queryErr: queryErr,
		rawSize:  len(r.RequestURI),
		tooLarge: tooLarge,
	}
	req.classify(r.URL.EscapedPath())
	return req, nil
}

// scheme is the one of the address that the client used.
func scheme(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" { // a proxy has ended the TLS
		return "https"
	}
	return "http"
}

// classify finds out what the request asks for, without judging it yet.
func (r *Request) classify(escapedPath string) {
	below := escapedPath
	if s := strings.SplitN(escapedPath, "/", 7); len(s) == 7 && s[1] == "v2" && s[3] == "apigw" && s[4] == "instances" {
		r.project, r.InstanceID, below = unescape(s[2]), unescape(s[5]), s[6]
	}
	var allowed []string
	for n := range endpoints {
		if ok, _ := path.Match(endpoints[n].path, below); !ok {
			continue
		}
		allowed = append(allowed, endpoints[n].method)
		if endpoints[n].method == r.Method {
			r.endpoint, r.Op, r.target = &endpoints[n], endpoints[n].op, unescape(path.Base(below))
			break
		}
	}
	r.allow = strings.Join(allowed, ", ")
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

func unescape(segment string) string {
	if plain, err := url.PathUnescape(segment); err == nil {
		return plain
	}
	return segment
}

// Requests returns everything received so far, in order. A request is
// recorded before a fault strikes it and before it is judged.
func (g *Gateway) Requests() []Request { return g.requestsSince(0) }

// requestsSince returns the requests with a Seq above that. Whoever looks often
// at a gateway that receives much copies only what is new.
func (g *Gateway) requestsSince(seq int) []Request {
	g.requests.mu.Lock()
	defer g.requests.mu.Unlock()
	var fresh []Request
	for _, r := range g.requests.all[min(max(seq, 0), len(g.requests.all)):] {
		fresh = append(fresh, *r)
	}
	return fresh
}

func (g *Gateway) record(r *Request) {
	r.ID = g.requestIDs.next()
	g.requests.mu.Lock()
	defer g.requests.mu.Unlock()
	r.Seq, r.Time = len(g.requests.all)+1, g.clock.now()
	g.requests.all = append(g.requests.all, r)
}

// Op is the kind of a request.
type Op string

// The operations that tests name. Paths are below
// /v2/{project_id}/apigw/instances/{instance_id}, but for OpToken.
const (
	OpAction         Op = "action"          // POST apis/action: publish one API or take it offline
	OpBatch          Op = "batch"           // POST apis/publish: the same for many
	OpHistory        Op = "history"         // GET apis/publish/{api_id}
	OpSwitch         Op = "switch"          // PUT apis/publish/{api_id}
	OpVersion        Op = "version"         // GET apis/versions/{version_id}
	OpOfflineVersion Op = "offline-version" // DELETE apis/versions/{version_id}
	OpRuntime        Op = "runtime"         // GET apis/runtime/{api_id}
	OpEnvironments   Op = "environments"    // GET envs
	OpGroups         Op = "groups"          // GET api-groups, GET env-variables
	OpAPIs           Op = "apis"            // GET apis
	OpAPI            Op = "api"             // GET apis/{api_id}
	OpToken          Op = "token"           // POST /v3/auth/tokens: IAM issues a token
	OpUnknown        Op = "unknown"         // anything else
)

// An endpoint is a method of a path.
type endpoint struct {
	method string
	path   string // below the instance, or whole; "?*" is an id
	op     Op
	status int // of its success
	handle handler
}

// A handler returns the body of a success; the headers of IAM's answers go into header.
type handler func(g *Gateway, r *Request, header http.Header) (any, error)

var endpoints = []endpoint{
	{"POST", "apis/action", OpAction, 201, within((*Instance).serveAction)},
	{"POST", "apis/publish", OpBatch, 200, within((*Instance).serveBatch, "action")},
	{"GET", "apis/publish/?*", OpHistory, 200, within((*Instance).serveHistory, "env_id", "env_name", "offset", "limit")},
	{"PUT", "apis/publish/?*", OpSwitch, 200, within((*Instance).serveSwitch)},
	{"GET", "apis/versions/?*", OpVersion, 200, within((*Instance).serveVersion)},
	{"DELETE", "apis/versions/?*", OpOfflineVersion, 204, within((*Instance).serveOfflineVersion)},
	{"GET", "apis/runtime/?*", OpRuntime, 200, within((*Instance).serveRuntime, "env_id")},
	{"GET", "envs", OpEnvironments, 200, within((*Instance).serveEnvironments, "name", "offset", "limit")},
	{"GET", "api-groups", OpGroups, 200, within((*Instance).serveGroups, "id", "name", "precise_search", "offset", "limit")},
	{"GET", "env-variables", OpGroups, 200, within((*Instance).serveVariables,
		"group_id", "env_id", "variable_name", "precise_search", "offset", "limit")},
	{"GET", "apis", OpAPIs, 200, within((*Instance).serveAPIs, "id", "name", "group_id", "req_protocol", "req_method",
		"req_uri", "auth_type", "env_id", "type", "precise_search", "vpc_channel_name", "return_data_mode", "tags",
		"offset", "limit")},
	{"GET", "apis/?*", OpAPI, 200, within((*Instance).serveAPI)},
	{"POST", "/v3/auth/tokens", OpToken, 201, (*Gateway).serveToken},
	{"GET", "/v3/auth/tokens", "validate-token", 200, (*Gateway).serveValidation},
	{"GET", "/v3/auth/catalog", "catalog", 200, (*Gateway).serveCatalog},
	{"GET", "/v3/auth/projects", "projects", 200, (*Gateway).serveProjects},
	{"GET", "/v3/auth/domains", "domains", 200, (*Gateway).serveDomains},
	{"GET", "/v3/projects", "projects", 200, (*Gateway).serveProjects},
	{"GET", "/v3", "identity-version", 200, (*Gateway).serveIdentityVersion},
	{"GET", "/v3/", "identity-version", 200, (*Gateway).serveIdentityVersion},
}

// Ops are the kinds of requests that there are, for programs whose users choose
// some; OpUnknown is the last.
func Ops() []Op {
	var ops []Op
	for _, e := range endpoints {
		if !slices.Contains(ops, e.op) {
			ops = append(ops, e.op)
		}
	}
	return append(ops, OpUnknown)
}
