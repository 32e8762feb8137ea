package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// controlPath is where a test asks what has happened and chooses what goes
// wrong, in any language. No path of the service begins like that.
const controlPath = "/_apigtest/"

// handler serves the control address itself and leaves all else to the gateway.
func (g *process) handler(own http.Handler) http.Handler {
	control := g.control()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, controlPath) {
			own.ServeHTTP(w, r)
			return
		}
		if err := g.local(r); err != nil {
			answerJSON(w, http.StatusForbidden, map[string]string{"error": err.Error()})
			return
		}
		control.ServeHTTP(w, r)
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

// control serves the control address.
func (g *process) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+controlPath+"{$}", g.showIndex)
	mux.HandleFunc("GET "+controlPath+"journal", g.showJournal)
	mux.HandleFunc("GET "+controlPath+"requests", g.showRequests)
	mux.HandleFunc("GET "+controlPath+"faults", g.showFaults)
	mux.HandleFunc("POST "+controlPath+"faults", g.injectFault)
	mux.HandleFunc("DELETE "+controlPath+"faults", g.clearFaults)
	mux.HandleFunc("GET "+controlPath+"clock", g.showClock)
	mux.HandleFunc("PUT "+controlPath+"clock", g.setClock)
	mux.HandleFunc("POST "+controlPath+"reset", g.reset)
	return mux
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone away misses nothing
}

func badRequest(w http.ResponseWriter, err error) {
	answerJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func (g *process) showIndex(w http.ResponseWriter, _ *http.Request) {
	made := g.made
	made.Variables, made.Unset = nil, nil // they hold the credentials
	answerJSON(w, http.StatusOK, struct {
		Inventory
		Control map[string]string `json:"control"`
	}{made, map[string]string{
		"GET journal":   "every change that was applied, in order; ?api_id=, ?env_id= and ?since= select",
		"GET requests":  "every request that was received, in order; ?op=, ?api_id= and ?since= select",
		"GET faults":    "the names of the faults, and how many requests were struck",
		"POST faults":   `{"name":"busy","times":2,"skip":0,"op":"action","api_id":"...","delay":"1s","applied":true} strikes the next requests that match; "after":"1s" applies them so much later; "status" and "body" replace the answer`,
		"DELETE faults": "ends all faults",
		"GET clock":     "the time on the gateway's clock",
		"PUT clock":     `{"now":"2026-01-02T15:04:05Z"} or {"offset":"25h"} sets it, {"date_skew":"3s"} moves the header Date alone`,
		"POST reset":    "undoes all that clients have done: publications, environments, tokens, journal, requests, chosen faults and clock; the rest stays as the gateway was started",
	}})
}

// journalEntry is a change that was applied.
type journalEntry struct {
	Seq        int       `json:"seq"`
	Time       time.Time `json:"time"` // on the gateway's clock
	Op         string    `json:"op"`   // online, offline, switch or offline-version
	InstanceID string    `json:"instance_id"`
	APIID      string    `json:"api_id"`
	EnvID      string    `json:"env_id"`
	Remark     string    `json:"remark"`
	VersionID  string    `json:"version_id"`
	RequestID  string    `json:"request_id,omitempty"`
}

func (g *process) showJournal(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	since, err := sequence(query)
	if err != nil {
		badRequest(w, err)
		return
	}
	entries := []journalEntry{}
	for _, a := range g.JournalSince(since) {
		if !selects(query.Get("api_id"), a.APIID) || !selects(query.Get("env_id"), a.EnvID) {
			continue
		}
		e := journalEntry{a.Seq, a.Time, string(a.Action), a.InstanceID, a.APIID, a.EnvID, a.Remark, a.VersionID, ""}
		if a.Request != nil {
			e.RequestID = a.Request.ID
		}
		entries = append(entries, e)
	}
	answerJSON(w, http.StatusOK, map[string]any{"journal": entries})
}

// receivedRequest is a request without its headers, which hold credentials.
type receivedRequest struct {
	Seq        int             `json:"seq"`
	RequestID  string          `json:"request_id"`
	Time       time.Time       `json:"time"`
	Op         string          `json:"op"`
	Method     string          `json:"method"`
	Path       string          `json:"path"`
	Query      string          `json:"query,omitempty"`
	InstanceID string          `json:"instance_id,omitempty"`
	APIID      string          `json:"api_id,omitempty"`
	UserAgent  string          `json:"user_agent,omitempty"`
	Body       json.RawMessage `json:"body,omitempty"` // if it is JSON, and not one for IAM
}

func (g *process) showRequests(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	since, err := sequence(query)
	if err != nil {
		badRequest(w, err)
		return
	}
	requests := []receivedRequest{}
	for _, q := range g.RequestsSince(since) {
		if !selects(query.Get("op"), string(q.Op)) || !selects(query.Get("api_id"), q.APIID) {
			continue
		}
		shown := receivedRequest{
			Seq: q.Seq, RequestID: q.ID, Time: q.Time, Op: string(q.Op), Method: q.Method, Path: q.Path,
			Query: q.Query.Encode(), InstanceID: q.InstanceID, APIID: q.APIID, UserAgent: q.Header.Get("User-Agent"),
		}
		if strings.HasPrefix(q.Path, "/v2/") && json.Valid(q.Body) {
			shown.Body = q.Body
		}
		requests = append(requests, shown)
	}
	answerJSON(w, http.StatusOK, map[string]any{"requests": requests})
}

// sequence is the number of the last entry that is known already.
func sequence(query url.Values) (int, error) {
	if !query.Has("since") {
		return 0, nil
	}
	since, err := strconv.Atoi(query.Get("since"))
	if err != nil || since < 0 {
		return 0, fmt.Errorf("since %q is not the seq of an entry", query.Get("since"))
	}
	return since, nil
}

func selects(wanted, is string) bool { return wanted == "" || strings.EqualFold(wanted, is) }

func (g *process) showFaults(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, http.StatusOK, map[string]any{"names": FaultNames(), "struck": g.Struck()})
}

// chosenFault is the body of a request for a fault.
type chosenFault struct {
	Name  string `json:"name"`
	Times *int   `json:"times,omitempty"` // how many matching requests it strikes: 1 if absent, -1 for all
	Skip  int    `json:"skip,omitempty"`  // how many matching requests it lets through first
	Op    string `json:"op,omitempty"`
	APIID string `json:"api_id,omitempty"`
	Delay string `json:"delay,omitempty"` // before anything else, such as 300ms

	Applied bool   `json:"applied,omitempty"` // it takes effect before the client sees the fault
	After   string `json:"after,omitempty"`   // it takes effect that long after the client has seen the fault

	Status int    `json:"status,omitempty"` // of the answer
	Body   string `json:"body,omitempty"`   // of the answer with that status
}

// fault is the one that was chosen.
func (c chosenFault) fault() (Fault, error) {
	fault, ok := NamedFault(c.Name)
	if !ok {
		return fault, fmt.Errorf("there is no fault %q; GET faults lists them", c.Name)
	}
	switch {
	case c.Times == nil:
	case *c.Times == -1:
		fault = fault.Always()
	case *c.Times >= 1:
		fault = fault.Times(*c.Times)
	default:
		return fault, fmt.Errorf("times %d is neither positive nor -1", *c.Times)
	}
	if c.Skip < 0 {
		return fault, fmt.Errorf("skip %d is negative", c.Skip)
	}
	fault = fault.Skip(c.Skip)
	if c.Op != "" {
		if !slices.Contains(Ops(), Op(c.Op)) {
			return fault, fmt.Errorf("there is no op %q; there are %q", c.Op, Ops())
		}
		fault = fault.On(Op(c.Op))
	}
	if c.APIID != "" {
		fault = fault.When(func(r *Request) bool { return strings.EqualFold(r.APIID, c.APIID) })
	}
	if c.Status != 0 && (c.Status < 200 || c.Status > 599) || c.Status == 0 && c.Body != "" {
		return fault, fmt.Errorf("status %d is not between 200 and 599", c.Status)
	}
	if c.Status != 0 {
		fault.Status, fault.Body = c.Status, c.Body
	}
	var delayErr, afterErr error
	if c.Delay != "" {
		fault.Delay, delayErr = time.ParseDuration(c.Delay)
	}
	if c.Applied {
		fault = fault.Applied()
	}
	if c.After != "" {
		var after time.Duration
		after, afterErr = time.ParseDuration(c.After)
		fault = fault.AppliedAfter(after)
	}
	return fault, cmp.Or(delayErr, afterErr)
}

func (g *process) injectFault(w http.ResponseWriter, r *http.Request) {
	var chosen chosenFault
	if err := decodeStrictly(r, &chosen); err != nil {
		badRequest(w, err)
		return
	}
	fault, err := chosen.fault()
	if err != nil {
		badRequest(w, err)
		return
	}
	g.Inject(fault)
	answerJSON(w, http.StatusCreated, chosen)
}

func (g *process) clearFaults(w http.ResponseWriter, _ *http.Request) {
	g.ClearFaults()
	w.WriteHeader(http.StatusNoContent)
}

// controlledClock is how the gateway's clock differs from the system's.
type controlledClock struct {
	mu     sync.Mutex
	offset time.Duration
	skew   time.Duration
}

func (g *process) showClock(w http.ResponseWriter, _ *http.Request) {
	g.clock.mu.Lock()
	defer g.clock.mu.Unlock()
	answerJSON(w, http.StatusOK, map[string]string{
		"now":       time.Now().Add(g.clock.offset).UTC().Format(time.RFC3339Nano),
		"offset":    g.clock.offset.String(),
		"date_skew": g.clock.skew.String(),
	})
}

func (g *process) setClock(w http.ResponseWriter, r *http.Request) {
	var wanted struct {
		Now      *time.Time `json:"now"`
		Offset   *string    `json:"offset"`
		DateSkew *string    `json:"date_skew"`
	}
	if err := decodeStrictly(r, &wanted); err != nil {
		badRequest(w, err)
		return
	}
	if wanted.Now != nil && wanted.Offset != nil {
		badRequest(w, errors.New("now and offset exclude each other"))
		return
	}
	g.clock.mu.Lock()
	offset, skew := g.clock.offset, g.clock.skew
	g.clock.mu.Unlock()
	var err error
	if wanted.Now != nil {
		offset = time.Until(*wanted.Now)
	}
	if wanted.Offset != nil {
		offset, err = time.ParseDuration(*wanted.Offset)
	}
	if wanted.DateSkew != nil && err == nil {
		skew, err = time.ParseDuration(*wanted.DateSkew)
	}
	if err != nil {
		badRequest(w, err)
		return
	}
	g.moveClock(offset, skew)
	g.showClock(w, r)
}

// moveClock sets the gateway's clock, which goes on from there.
func (g *process) moveClock(offset, skew time.Duration) {
	g.clock.mu.Lock()
	defer g.clock.mu.Unlock()
	g.clock.offset, g.clock.skew = offset, skew
	g.SetClock(func() time.Time { return time.Now().Add(offset) })
	g.SetDateSkew(skew)
}

func (g *process) reset(w http.ResponseWriter, _ *http.Request) {
	g.Reset()
	g.moveClock(0, 0)
	g.arm()
	w.WriteHeader(http.StatusNoContent)
}

// decodeStrictly reads a body in which every field must be known: a fault with a
// mistyped field would otherwise strike something else.
func decodeStrictly(r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the body cannot be read: %w", err)
	}
	return nil
}
