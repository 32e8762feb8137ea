package worlds

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/apig-go/apig"
)

// api is one API of the gateway in its only environment.
type api struct {
	id     string
	states []state // all it ever had, oldest first
}

// state is what the gateway holds of an API from a moment on.
type state struct {
	n       int // the order of events
	since   time.Time
	by      string    // a request of the call, "killed", "theirs" or "before"
	what    string    // was done
	rows    []version // oldest first
	current string    // the ID of the version in effect; empty: the API is offline
}

// event is the number of an event in their order.
func (w *world) event() int {
	w.events++
	return w.events
}

type version struct {
	id, remark string
	at         time.Time // the history shows whole seconds
}

func (v version) second() time.Time { return v.at.Truncate(time.Second) }

func (v version) tagged() bool { return strings.Contains(v.remark, "apig:") }

func (s *state) row(id string) *version {
	if i := slices.IndexFunc(s.rows, func(v version) bool { return v.id == id }); i >= 0 {
		return &s.rows[i]
	}
	return nil
}

// newest reports whether no other version has the same or a later publish time.
func (s *state) newest(id string) bool {
	v := s.row(id)
	return v != nil && !slices.ContainsFunc(s.rows, func(o version) bool { return o.id != id && !o.second().Before(v.second()) })
}

// before is the version before the one in effect; else the newest.
func (s *state) before() string {
	if i := slices.IndexFunc(s.rows, func(v version) bool { return v.id == s.current }); i > 0 {
		return s.rows[i-1].id
	}
	if len(s.rows) == 0 {
		return "none"
	}
	return s.rows[len(s.rows)-1].id
}

func (a *api) now() *state { return &a.states[len(a.states)-1] }

// shown is the state that a history shows which lags behind.
func (a *api) shown(lag time.Duration) *state {
	i := len(a.states) - 1
	for i > 0 && a.states[i].since.After(time.Now().Add(-lag)) {
		i--
	}
	return &a.states[i]
}

// request is a request to change APIs.
type request struct {
	by, what, version, remark string
	apis                      []*api
}

// change changes an API, or returns the code with which the service refuses it.
func (w *world) change(a *api, at time.Time, r request) (code string) {
	s := *a.now()
	s.since, s.by, s.what, s.rows = at, r.by, r.what, slices.Clone(s.rows)
	switch {
	case r.what == "online":
		w.versions++
		s.current = fmt.Sprintf("v%d", w.versions)
		s.rows = append(s.rows, version{s.current, r.remark, at})
		s.rows = s.rows[max(0, len(s.rows)-10):]
	case r.what == "switch" && s.row(r.version) == nil, r.what == "offline-version" && s.current != r.version:
		return "APIG.3022"
	case r.what == "switch" && s.current == r.version:
		return "" // nothing changes
	case r.what == "switch":
		s.current = r.version
	case s.current == "":
		return "APIG.3015"
	default:
		s.current = ""
	}
	w.tell("%s: %s of %s, now %s in effect", r.by, r.what, a.id, cmp.Or(s.current, "nothing"))
	s.n = w.event()
	a.states = append(a.states, s)
	return ""
}

// theirs lets another client do something to the last API.
func (w *world) theirs(place string) {
	a := w.subject()
	r := request{by: "theirs", what: "online"}
	switch w.choose(place, "nothing", "publish", "plain", "offline", "switch", "ten") {
	case "nothing":
		return
	case "ten": // displaces all that was there
		for range 9 {
			r.remark = fmt.Sprintf("theirs apig:%010d", w.versions)
			w.change(a, time.Now(), r)
		}
		fallthrough
	case "publish":
		r.remark = fmt.Sprintf("theirs apig:%010d", w.versions)
	case "plain":
		r.remark = "theirs"
	case "offline":
		r.what = "offline"
	case "switch":
		r.what, r.version = "switch", a.now().before()
	}
	w.change(a, time.Now(), r)
}

// advance applies what is due.
func (w *world) advance() {
	for len(w.late) > 0 && !w.late[0].at.After(time.Now()) {
		w.late[0].apply(w.late[0].at)
		w.late = w.late[1:]
	}
}

// outcome is what can happen to a request.
type outcome struct {
	name    string
	applied bool // before its answer
	status  int  // of the answer; 0: there is none
	code    string
	late    time.Duration // applied so long after the failure
	timeout bool
	final   bool
	certain bool   // the answer, or its absence, says that nothing was applied
	only    int    // -1, 1: applied to the first API only, or to the last
	item    string // the code in the answer for the last API
}

const (
	latency = 10 * time.Millisecond
	tick    = time.Millisecond
)

var outcomes = []outcome{
	{name: "answered", applied: true, certain: true},
	{name: "busy", status: 429, code: "APIGW.0308", certain: true},
	{name: "refused", status: 403, code: "APIG.1005", final: true, certain: true},
	{name: "unsent", certain: true},
	{name: "conflict", status: 500, code: "APIG.3500"},
	{name: "conflict-applied", status: 500, code: "APIG.3500", applied: true},
	{name: "error-late", status: 500, code: "APIG.9999", late: settleWait - tick},
	{name: "lost"},
	{name: "lost-applied", applied: true},
	{name: "late", late: settleWait / 2},
	{name: "latest", late: settleWait - tick},
	{name: "timeout", timeout: true},
	{name: "timeout-applied", timeout: true, applied: true},
	{name: "timeout-latest", timeout: true, late: 2*settleWait - tick},
	// Of two APIs:
	{name: "lost-first", applied: true, only: -1},
	{name: "lost-last", applied: true, only: 1},
	{name: "part", applied: true, only: -1, item: "APIG.3500"},
	{name: "part-applied", applied: true, item: "APIG.3500"},
	{name: "part-busy", applied: true, only: -1, item: "APIG.3711"},
	{name: "part-silent", applied: true, item: "none"},
}

const ofOne = 14 // outcomes of a request about one API

// kills are the outcomes of the request of a process that is killed when it has sent it.
var kills = []outcome{
	{name: "applied", applied: true},
	{name: "not-applied"},
	{name: "late", late: settleWait / 2},
	{name: "latest", late: 2*settleWait - tick},
}

// sent is a request of the call, and what became of it.
type sent struct {
	outcome
	n          int // the order of events
	by         string
	at, failed time.Time
	window     time.Duration // after its failure it can no longer arrive
	applies    time.Time     // zero: never
	request
}

// doubt reports whether the outcome of the request is open for an API.
func (s *sent) doubt(a *api) bool {
	if s.item != "" {
		return len(s.apis) == 2 && a == s.apis[1] && s.name != "part-busy"
	}
	return !s.certain && slices.Contains(s.apis, a)
}

// read is a history that the call was given.
type read struct {
	a  *api
	n  int // the order of events
	at time.Time
	state
}

// transport is the network between one process and the gateway.
type transport struct {
	*world
	who  string
	kill func()
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance()
	if r.Method == http.MethodGet {
		return t.look(t.byID(path.Base(r.URL.Path))), nil
	}
	return t.send(t.understand(r), r)
}

func (w *world) byID(id string) *api {
	return w.apis[slices.IndexFunc(w.apis, func(a *api) bool { return a.id == id })]
}

// understand reads a request.
func (w *world) understand(r *http.Request) request {
	var body struct {
		Action, Remark string
		APIID          string `json:"api_id"`
		VersionID      string `json:"version_id"`
		APIs           []string
	}
	if r.Body != nil {
		json.NewDecoder(r.Body).Decode(&body)
		r.Body.Close()
	}
	asked := request{what: body.Action, remark: body.Remark, version: body.VersionID}
	switch {
	case r.Method == http.MethodDelete:
		asked.what, asked.version, body.APIID = "offline-version", path.Base(r.URL.Path), w.apis[0].id
	case r.Method == http.MethodPut:
		asked.what, body.APIID = "switch", path.Base(r.URL.Path)
	case body.Action == "":
		asked.what = r.URL.Query().Get("action")
	default:
		body.APIs = []string{body.APIID}
	}
	if body.APIs == nil {
		body.APIs = []string{body.APIID}
	}
	for _, id := range body.APIs {
		asked.apis = append(asked.apis, w.byID(id))
	}
	return asked
}

// send is a request to change something.
func (t *transport) send(asked request, r *http.Request) (*http.Response, error) {
	w, of := t.world, outcomes
	asked.by = fmt.Sprintf("send%d", len(w.sends)+1)
	if t.who == "killed" {
		asked.by, of = t.who, kills
	} else if len(asked.apis) == 1 {
		of = outcomes[:ofOne]
	}
	names := make([]string, len(of))
	for i := range of {
		names[i] = of[i].name
	}
	name := w.choose(asked.by, names...)
	s := &sent{outcome: of[slices.Index(names, name)], by: asked.by, at: time.Now(), window: settleWait, request: asked, n: w.event()}
	if w.last = s; t.who != "killed" {
		w.sends = append(w.sends, s)
	}
	w.tell("%s of %v is %s", s.by, s.what, s.name)
	codes := map[*api]string{}
	apply := func(at time.Time) {
		for _, a := range asked.apis {
			if s.only == 0 || (s.only > 0) == (a == asked.apis[1]) {
				codes[a] = w.change(a, at, asked)
			}
		}
	}
	if s.applied {
		s.applies = s.at
		apply(s.at)
	}
	w.theirs(s.by + ".then")
	if t.who == "killed" {
		t.kill()
	}
	wait := latency
	if s.timeout {
		wait = time.Hour
	}
	if s.name == "unsent" {
		httptrace.ContextClientTrace(r.Context()).GetConn(r.URL.Host)
		wait = 0
	}
	w.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-r.Context().Done():
	}
	w.mu.Lock()
	s.failed = time.Now()
	err := r.Context().Err()
	if err != nil { // it has left without an answer
		s.window = 2 * settleWait
		s.certain = s.name == "unsent"
	}
	if s.late > 0 {
		s.applies = s.failed.Add(s.late)
		w.late = append(w.late, pending{s.applies, apply})
	}
	switch {
	case err != nil:
		return nil, err
	case s.name == "unsent":
		return nil, errors.New("connection refused")
	case s.status > 0:
		return w.answer(s.status, errorBody(s.code)), nil
	case s.name == "answered" || s.item != "":
		return w.success(s, codes), nil
	}
	return nil, errors.New("connection reset")
}

func errorBody(code string) string { return fmt.Sprintf(`{"error_code":%q,"error_msg":"-"}`, code) }

// success is the answer to a request that was applied, or that the state of the
// APIs does not allow.
func (w *world) success(s *sent, codes map[*api]string) *http.Response {
	var success, failure []string
	for _, a := range s.apis {
		code := codes[a]
		if s.item != "" && a == s.apis[1] {
			code = s.item
		}
		made := s.version
		for _, st := range a.states { // which may not be the latest any more
			if st.by == s.by && s.what == "online" {
				made = st.current
			}
		}
		row := fmt.Sprintf(`{"api_id":%q,"env_id":%q,"publish_id":"p1","version_id":%q,"publish_time":%q,"remark":%q}`,
			a.id, apig.EnvRelease, made, s.at.UTC().Format(time.RFC3339Nano), s.remark)
		switch {
		case code == "none":
		case code != "":
			failure = append(failure, fmt.Sprintf(`{"api_id":%q,"error_code":%q,"error_msg":"-"}`, a.id, code))
		default:
			success = append(success, row)
		}
	}
	switch {
	case w.method.apis > 0:
		return w.answer(200, fmt.Sprintf(`{"success":[%s],"failure":[%s]}`, strings.Join(success, ","), strings.Join(failure, ",")))
	case len(failure) > 0:
		s.final = true
		return w.answer(404, errorBody(codes[s.apis[0]]))
	case s.what == "offline-version":
		return w.answer(204, "")
	case s.what == "switch":
		return w.answer(200, success[0])
	}
	return w.answer(201, success[0])
}

// look is a request for the history of an API.
func (t *transport) look(a *api) *http.Response {
	w, lag := t.world, time.Duration(0)
	calls := t.who == "call" && !w.over
	if calls && a == w.subject() {
		if w.broken > 0 {
			return w.answer(w.broken, errorBody("APIG.9999"))
		}
		w.looks++
		place := fmt.Sprintf("look%d", w.looks)
		w.theirs(place + ".before")
		defer w.theirs(place + ".after")
		most := settleWait - tick
		if s := w.last; s != nil && !s.applies.IsZero() {
			most = min(most, s.failed.Add(s.window-tick).Sub(s.applies))
		}
		options := []string{"good", "500", "429", "broken", "404", "403", "lag"}
		if most <= 0 {
			options = options[:6]
		}
		switch kind := w.choose(place, options...); kind {
		case "500":
			return w.answer(500, errorBody("APIG.9999"))
		case "429":
			return w.answer(429, errorBody("APIGW.0308"))
		case "404", "403", "broken":
			w.broken = map[string]int{"404": 404, "403": 403, "broken": 500}[kind]
			return w.answer(w.broken, errorBody("APIG.9999"))
		case "lag":
			lag = most
		}
	}
	s := *a.shown(lag)
	if calls {
		w.reads = append(w.reads, read{a, w.event(), time.Now(), s})
		w.tell("look at %s as of %v ago: %v, %s in effect", a.id, lag, len(s.rows), cmp.Or(s.current, "nothing"))
	}
	rows := make([]string, len(s.rows))
	for i, v := range s.rows {
		status := 2
		if v.id == s.current {
			status = 1
		}
		rows[len(rows)-1-i] = fmt.Sprintf(`{"version_id":%q,"version_no":"1","api_id":%q,"env_id":%q,"remark":%q,"publish_time":%q,"status":%d}`,
			v.id, a.id, apig.EnvRelease, v.remark, v.at.UTC().Format(time.RFC3339), status)
	}
	return w.answer(200, fmt.Sprintf(`{"total":%d,"size":%[1]d,"api_versions":[%s]}`, len(rows), strings.Join(rows, ",")))
}

func (w *world) answer(status int, text string) *http.Response {
	header := http.Header{}
	if w.clock != "no-date" {
		header.Set("Date", time.Now().Add(w.ahead).UTC().Format(http.TimeFormat))
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), ProtoMajor: 1, ProtoMinor: 1}
}
