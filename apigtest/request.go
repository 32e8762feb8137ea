package apigtest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Request is a request that the gateway has received completely. Treat it as
// read-only: the journal refers to it too.
type Request struct {
	Seq    int       // 1 for the first
	ID     string    // what X-Request-Id of the answer says
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
	Conn       string // remote address of the connection

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

// receive reads and records a request. Its error means that the request broke
// off on its way in; such a one is as good as never sent.
func (g *Gateway) receive(w http.ResponseWriter, r *http.Request) (*Request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	tooLarge := errors.As(err, new(*http.MaxBytesError))
	if err != nil && !tooLarge {
		return nil, err
	}
	query, queryErr := url.ParseQuery(r.URL.RawQuery)
	req := &Request{
		ID:       g.requestIDs.next(),
		Method:   r.Method,
		Path:     r.URL.Path,
		Host:     r.Host,
		Query:    query,
		Header:   r.Header,
		Body:     body,
		Conn:     r.RemoteAddr,
		queryErr: queryErr,
		rawSize:  len(r.RequestURI),
		tooLarge: tooLarge,
	}
	req.classify(r.URL.EscapedPath())
	g.requests.add(req, &g.clock)
	return req, nil
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
	case OpHistory, OpSwitch, OpRuntime:
		r.APIID = r.target
	case OpAction:
		var body struct {
			APIID string `json:"api_id"`
		}
		_ = json.Unmarshal(r.Body, &body) // what is wrong with it is for the handler to say
		r.APIID = body.APIID
	}
}

// recorder keeps all requests.
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
func (g *Gateway) Requests() []Request {
	g.requests.mu.Lock()
	defer g.requests.mu.Unlock()
	all := make([]Request, len(g.requests.all))
	for n, r := range g.requests.all {
		all[n] = *r
	}
	return all
}
