package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// controlPath is where a test asks what has happened and chooses what goes
// wrong, in any language. No path of the service begins like that.
const controlPath = "/_apigtest/"

// controls are the requests to the control address. Their errors are the fault of the
// client.
var controls = []struct {
	method, path string
	status       int // of a success
	serve        func(*process, *http.Request) (any, error)
	help         string
}{
	{"GET", "journal", 200, (*process).showJournal, "every change that was applied, in order; ?api_id=, ?env_id= and ?since= select"},
	{"GET", "requests", 200, (*process).showRequests, "every request that was received, in order; ?op=, ?api_id= and ?since= select"},
	{"GET", "faults", 200, (*process).showFaults, "the names of the faults, and how many requests were struck"},
	{"POST", "faults", 201, (*process).injectFault, `{"name":"busy","times":2,"skip":0,"op":"action","api_id":"...","delay":"1s","applied":true} strikes the next requests that match; "after":"1s" applies them so much later; "status" and "body" replace the answer`},
	{"DELETE", "faults", 204, (*process).clearFaults, "ends all faults"},
	{"GET", "clock", 200, (*process).showClock, "the time on the gateway's clock"},
	{"PUT", "clock", 200, (*process).setClock, `{"now":"2026-01-02T15:04:05Z"} or {"offset":"25h"} sets it, {"date_skew":"3s"} moves the header Date alone`},
	{"POST", "reset", 204, (*process).reset, "undoes all that clients have done: publications, tokens, journal, requests, chosen faults and clock; the rest stays as the gateway was started"},
}

// handler serves the control address itself and leaves all else to the gateway.
func (g *process) handler(own http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+controlPath+"{$}", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, g.index())
	})
	for _, c := range controls {
		mux.HandleFunc(c.method+" "+controlPath+c.path, func(w http.ResponseWriter, r *http.Request) {
			body, err := c.serve(g, r)
			if err != nil {
				answerJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
			answerJSON(w, c.status, body)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, controlPath) {
			own.ServeHTTP(w, r)
			return
		}
		if err := g.local(r); err != nil {
			answerJSON(w, http.StatusForbidden, map[string]string{"error": err.Error()})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// local refuses requests that the page of another site makes in somebody's browser:
// those with a foreign Origin, and those by a name that is not the gateway's (its
// owner can let it resolve to 127.0.0.1).
func (g *process) local(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	ip := net.ParseIP(host) // a browser shows an address only for a page of that address
	switch {
	case host == "localhost", ip.IsLoopback(), ip != nil && (g.listening.IsUnspecified() || ip.Equal(g.listening)):
	case slices.ContainsFunc(g.settings.Hosts, func(name string) bool { return strings.EqualFold(name, host) }):
	default:
		return fmt.Errorf("%q is not a name of this gateway", host)
	}
	if origin, ok := r.Header["Origin"]; ok && !slices.Equal(origin, []string{g.base(&Request{Host: r.Host, scheme: scheme(r)})}) {
		return fmt.Errorf("the origin %q is another site", origin)
	}
	return nil
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	if v == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone away misses nothing
}

// decodeControl reads a body in which every field must be known: a fault with a
// mistyped field would otherwise strike something else.
func decodeControl(r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 1<<20))
	if err != nil {
		return err
	}
	wrong, err := decode(body, into)
	if err == nil && wrong != "" {
		err = fmt.Errorf("%q is unknown or has a wrong value", wrong)
	}
	return err
}

// duration is a time.Duration that is "1m30s" in JSON.
type duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

func (g *process) index() any {
	made := g.made
	made.Variables, made.Unset = nil, nil // they hold the credentials
	help := make(map[string]string)
	for _, c := range controls {
		help[c.method+" "+c.path] = c.help
	}
	return struct {
		Inventory
		Control map[string]string `json:"control"`
	}{made, help}
}

// journalEntry is a change that was applied.
type journalEntry struct {
	Applied
	RequestID string `json:"request_id,omitempty"`
}

func (g *process) showJournal(r *http.Request) (any, error) {
	query := r.URL.Query()
	since, err := sequence(query)
	entries := []journalEntry{}
	for _, a := range g.JournalSince(int(since)) {
		if selects(query.Get("api_id"), a.APIID) && selects(query.Get("env_id"), a.EnvID) {
			e := journalEntry{Applied: a}
			if a.Request != nil {
				e.RequestID = a.Request.ID
			}
			entries = append(entries, e)
		}
	}
	return map[string]any{"journal": entries}, err
}

// receivedRequest is a request without its headers, which hold credentials.
type receivedRequest struct {
	Request
	Query     string          `json:"query,omitempty"`
	UserAgent string          `json:"user_agent,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"` // if it is JSON, and not one for IAM
}

func (g *process) showRequests(r *http.Request) (any, error) {
	query := r.URL.Query()
	since, err := sequence(query)
	requests := []receivedRequest{}
	for _, q := range g.requestsSince(int(since)) {
		if selects(query.Get("op"), string(q.Op)) && selects(query.Get("api_id"), q.APIID) {
			shown := receivedRequest{Request: q, Query: q.Query.Encode(), UserAgent: q.Header.Get("User-Agent")}
			if strings.HasPrefix(q.Path, "/v2/") && json.Valid(q.Body) {
				shown.Body = q.Body
			}
			requests = append(requests, shown)
		}
	}
	return map[string]any{"requests": requests}, err
}

// sequence is the number of the last entry that is known already.
func sequence(query url.Values) (uint64, error) {
	return strconv.ParseUint(cmp.Or(query.Get("since"), "0"), 10, 32)
}

func selects(wanted, is string) bool { return wanted == "" || strings.EqualFold(wanted, is) }

func (g *process) showFaults(*http.Request) (any, error) {
	return map[string]any{"names": FaultNames(), "struck": g.Struck()}, nil
}

func (g *process) clearFaults(*http.Request) (any, error) {
	g.ClearFaults()
	return nil, nil
}

// chosenFault is the body of a request for a fault.
type chosenFault struct {
	Name  string   `json:"name"`
	Times *int     `json:"times,omitempty"` // how many matching requests it strikes: 1 if absent, -1 for all
	Skip  int      `json:"skip,omitempty"`  // how many matching requests it lets through first
	Op    Op       `json:"op,omitempty"`
	APIID string   `json:"api_id,omitempty"`
	Delay duration `json:"delay,omitempty"` // before anything else, such as 300ms

	Applied bool      `json:"applied,omitempty"` // it takes effect before the client sees the fault
	After   *duration `json:"after,omitempty"`   // it takes effect that long after the client has seen the fault

	Status int    `json:"status,omitempty"` // of the answer
	Body   string `json:"body,omitempty"`   // of the answer with that status
}

func (g *process) injectFault(r *http.Request) (any, error) {
	var c chosenFault
	if err := decodeControl(r, &c); err != nil {
		return nil, err
	}
	named, ok := faultsByName[c.Name]
	switch {
	case !ok:
		return nil, fmt.Errorf("there is no fault %q; GET faults lists them", c.Name)
	case c.Times != nil && *c.Times < 1 && *c.Times != -1:
		return nil, fmt.Errorf("times %d is neither positive nor -1", *c.Times)
	case c.Skip < 0:
		return nil, fmt.Errorf("skip %d is negative", c.Skip)
	case c.Op != "" && !slices.Contains(Ops(), c.Op):
		return nil, fmt.Errorf("there is no op %q; there are %q", c.Op, Ops())
	case c.Status != 0 && (c.Status < 200 || c.Status > 599) || c.Status == 0 && c.Body != "":
		return nil, fmt.Errorf("status %d is not between 200 and 599", c.Status)
	}
	fault := named().On(c.Op).Skip(c.Skip)
	if c.Times != nil {
		fault = fault.Times(*c.Times)
	}
	if c.APIID != "" {
		fault = fault.When(func(r *Request) bool { return strings.EqualFold(r.APIID, c.APIID) })
	}
	if c.Status != 0 {
		fault.Status, fault.Body = c.Status, c.Body
	}
	fault.Delay = cmp.Or(time.Duration(c.Delay), fault.Delay)
	if c.Applied {
		fault = fault.Applied()
	}
	if c.After != nil {
		fault = fault.AppliedAfter(time.Duration(*c.After))
	}
	g.Inject(fault)
	return c, nil
}

// controlledClock is how the gateway's clock differs from the system's.
type controlledClock struct {
	Now      time.Time `json:"now"`
	Offset   duration  `json:"offset"`
	DateSkew duration  `json:"date_skew"`
}

func (g *process) showClock(*http.Request) (any, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	shown := g.clock
	shown.Now = time.Now().Add(time.Duration(g.clock.Offset)).UTC()
	return shown, nil
}

func (g *process) setClock(r *http.Request) (any, error) {
	var wanted struct {
		Now      *time.Time `json:"now"`
		Offset   *duration  `json:"offset"`
		DateSkew *duration  `json:"date_skew"`
	}
	if err := decodeControl(r, &wanted); err != nil {
		return nil, err
	}
	if wanted.Now != nil {
		if wanted.Offset != nil {
			return nil, errors.New("now and offset exclude each other")
		}
		offset := duration(time.Until(*wanted.Now))
		wanted.Offset = &offset
	}
	g.moveClock(wanted.Offset, wanted.DateSkew)
	return g.showClock(r)
}

// moveClock sets the gateway's clock, which goes on from there. What is nil stays.
func (g *process) moveClock(offset, skew *duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if offset != nil {
		g.clock.Offset = *offset
		g.SetClock(func() time.Time { return time.Now().Add(time.Duration(*offset)) })
	}
	if skew != nil {
		g.clock.DateSkew = *skew
		g.SetDateSkew(time.Duration(*skew))
	}
}

func (g *process) reset(*http.Request) (any, error) {
	g.Reset()
	g.moveClock(new(duration), new(duration))
	g.arm()
	return nil, nil
}
