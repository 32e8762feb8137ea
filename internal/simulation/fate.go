package simulation

import (
	"fmt"
	"time"
)

// applies says whether and when a request that changes something does so.
type applies int

const (
	never applies = iota
	first         // before its client is answered
	late          // after its client has seen the failure, within the documented time
)

// end is what the client of a request gets to see.
type end int

const (
	endAnswer  end = iota // the gateway's own answer, perhaps edited
	endStatus             // another status and body
	endReset              // the connection breaks
	endHang               // nothing
	endCut                // part of the gateway's answer
	endStall              // the header of the gateway's answer, and then nothing
	endRefused            // no connection
	endDialing            // no connection, and no word of it
	endUnsent             // a connection that breaks while the request is written
)

// fate is what happens to one request.
type fate struct {
	kind string // its name in the table; empty: nothing out of the ordinary

	dial  time.Duration // until there is a connection
	write time.Duration // from there to the last byte of the request
	up    time.Duration // from there to the gateway
	down  time.Duration // from the gateway to the client

	applies applies
	late    float64 // when, as a share of the time that a late request may take
	twice   bool    // that time is SettleWait twice

	end    end
	status int
	code   string // of the service; empty: the body is HTML
	body   string // in place of the one made from the code
	header map[string]string
	edit   func(*answer) // of the gateway's own answer
	cut    float64       // where an answer is cut, as a share of its length
	short  bool          // the body breaks off at its end

	// decisive says that the client can know from what it sees that nothing was
	// applied.
	decisive bool
	conflict bool // another write to the API was under way

	// items are, for a batch, what becomes of each of its APIs.
	items map[string]item
}

// item is what becomes of one API of a batch whose request is answered.
type item int

const (
	itemDone   item = iota
	itemBusy        // not applied, and the code says so
	itemFailed      // applied, and the code does not say so
	itemBroken      // not applied, and the code does not say so
	itemSilent      // applied, and the answer does not name it
	itemLost        // not applied, and the answer does not name it
)

func (i item) applied() bool  { return i == itemDone || i == itemFailed || i == itemSilent }
func (i item) doubtful() bool { return i >= itemFailed }

// calm is the way of a request that nothing happens to.
func calm(d dice) fate {
	return fate{
		dial:  d.usually(0, 20*time.Millisecond),
		write: d.usually(0, 2*time.Millisecond),
		up:    d.usually(time.Millisecond, 60*time.Millisecond),
		down:  d.usually(time.Millisecond, 60*time.Millisecond),
		late:  d.Float64() * 0.999,
		cut:   d.Float64(),
	}
}

var halves = []weighted[applies]{{1, never}, {1, first}}
var thirds = []weighted[applies]{{1, never}, {1, first}, {1, late}}

// writeFaults are what can happen to a request that changes something.
var writeFaults = []weighted[func(dice, *fate)]{
	{6, refused}, {2, dialing}, {2, unsent},
	{10, hang}, {8, broken}, {6, reset},
	{6, cut}, {2, stall}, {8, unreadable},
	{10, serverError}, {6, gatewayTimeout}, {8, serviceError},
	{5, throttled}, {5, busy}, {3, refusedForGood}, {4, unauthorized},
	{8, slow}, {3, slowAnswer}, {2, redirected},
}

// readFaults are what can happen to one that does not.
var readFaults = []weighted[func(dice, *fate)]{
	{4, refused}, {1, dialing}, {4, hang}, {4, reset}, {3, cut}, {2, stall},
	{3, emptyObject}, {5, serverError}, {2, gatewayTimeout}, {4, serviceError}, {4, throttled}, {1, forbidden}, {3, unauthorized},
	{4, slow}, {6, slowAnswer}, {3, shortPage}, {3, headless}, {4, noRows}, {4, noDate}, {4, aged}, {3, timeless}, {3, nonAuthoritative}, {2, strangeRow},
}

func refused(d dice, f *fate) {
	f.kind, f.end, f.decisive = "connection refused", endRefused, true
	f.dial = d.usually(0, 3*time.Second)
}

func dialing(_ dice, f *fate) { f.kind, f.end, f.decisive = "no connection", endDialing, true }

func unsent(d dice, f *fate) {
	f.kind, f.end = "broken while written", endUnsent
	f.write = d.usually(0, time.Second)
}

func hang(d dice, f *fate) {
	f.kind, f.end, f.applies, f.twice = "hang", endHang, pick(d, thirds), true
}

func broken(d dice, f *fate) {
	f.kind, f.end, f.applies = "closed", endReset, pick(d, thirds)
	f.down = d.usually(time.Millisecond, 10*time.Second)
}

func reset(d dice, f *fate) {
	f.kind, f.end, f.applies = "reset", endReset, pick(d, thirds)
}

func cut(d dice, f *fate) { f.kind, f.end, f.applies = "answer cut", endCut, first }

func stall(d dice, f *fate) { f.kind, f.end, f.applies = "answer stalls", endStall, first }

func unreadable(d dice, f *fate) {
	f.kind, f.end, f.applies = "2xx unreadable", endStatus, pick(d, thirds)
	f.status = pick(d, []weighted[int]{{4, 200}, {4, 201}, {1, 202}, {1, 203}, {1, 206}})
	f.body = pick(d, []weighted[string]{
		{3, ""}, {2, "{}"}, {2, "<html><body>Welcome</body></html>"}, {1, `{"error_code":"APIG.9999","error_msg":"System error"}`},
		{1, `{"api_id":"`}, {1, "null"},
		{1, `{"publish_id":"1","api_id":"another","env_id":"another","version_id":"2"}`},
	})
	f.short = d.chance(0.2)
}

func serverError(d dice, f *fate) {
	f.kind, f.end, f.applies = "5xx", endStatus, pick(d, thirds)
	f.status = pick(d, []weighted[int]{{3, 500}, {3, 502}, {3, 503}, {1, 520}})
	if f.status == 503 && d.chance(0.3) {
		f.header = map[string]string{"Retry-After": fmt.Sprint(d.within(1, 30))}
	}
	if d.chance(0.2) { // the front gateway's code is no word of the service
		f.code = pick(d, []weighted[string]{{1, "APIGW.0201"}, {1, "APIG.0201"}, {1, "APIGW.0613"}})
	}
	f.down = d.usually(time.Millisecond, 20*time.Second)
}

func gatewayTimeout(d dice, f *fate) {
	f.kind, f.end, f.applies, f.twice = "504 and 408", endStatus, pick(d, thirds), true
	f.status = pick(d, []weighted[int]{{4, 504}, {1, 408}})
	f.down = d.between(time.Second, 55*time.Second)
}

// serviceError is an answer of the service itself, part of which may still be at
// work on the request.
func serviceError(d dice, f *fate) {
	f.kind, f.end, f.applies = "5xx of the service", endStatus, pick(d, thirds)
	f.status = 500
	f.code = pick(d, []weighted[string]{{1, "APIG.3500"}, {1, "APIG.9999"}})
}

func throttled(d dice, f *fate) {
	f.kind, f.end, f.decisive, f.status, f.code = "429", endStatus, true, 429, "APIGW.0308"
	switch d.IntN(4) {
	case 0:
		f.header = map[string]string{"Retry-After": fmt.Sprint(d.within(1, 20))}
	case 1:
		f.header = map[string]string{"Retry-After": fmt.Sprint(d.within(21, 300))}
	}
}

func busy(d dice, f *fate) {
	f.kind, f.end, f.decisive = "busy", endStatus, true
	type answer struct {
		status int
		code   string
	}
	a := pick(d, []weighted[answer]{
		{2, answer{500, "APIG.9008"}}, {1, answer{409, "APIG.3711"}}, {1, answer{409, "APIG.3718"}},
		{1, answer{409, "APIC.7701"}}, {1, answer{409, "APIC.7712"}}, {1, answer{400, "APIC.9222"}},
	})
	f.status, f.code = a.status, a.code
}

func refusedForGood(d dice, f *fate) {
	f.kind, f.end, f.decisive = "4xx", endStatus, true
	f.status = pick(d, []weighted[int]{{2, 403}, {1, 400}, {1, 404}, {1, 413}, {1, 501}, {1, 505}})
	f.code = map[int]string{403: "APIG.1005", 400: "APIG.2011", 404: "APIGW.0101", 413: "APIGW.0201"}[f.status]
}

func forbidden(_ dice, f *fate) {
	f.kind, f.end, f.decisive, f.status, f.code = "4xx", endStatus, true, 403, "APIG.1005"
}

func redirected(_ dice, f *fate) {
	f.kind, f.end, f.decisive, f.status = "3xx", endStatus, true, 302
	f.header = map[string]string{"Location": "https://elsewhere.invalid/"}
}

func unauthorized(d dice, f *fate) {
	f.kind, f.end, f.decisive, f.status = "401", endStatus, true, 401
	f.code = pick(d, []weighted[string]{{2, "APIGW.0307"}, {2, "APIG.1001"}, {1, "APIGW.0301"}, {1, "APIG.1013"}})
}

// slow is a request that takes its time on the way to the gateway, perhaps
// longer than the client waits.
func slow(d dice, f *fate) {
	f.kind, f.applies, f.twice = "slow request", first, true
	f.up = d.usually(100*time.Millisecond, 80*time.Second)
}

func slowAnswer(d dice, f *fate) {
	f.kind, f.applies = "slow answer", first
	f.down = d.usually(100*time.Millisecond, 80*time.Second)
}

func emptyObject(d dice, f *fate) {
	f.kind, f.end, f.status = "200 without a list", endStatus, 200
	f.body = pick(d, []weighted[string]{{2, "{}"}, {1, ""}, {1, "<html></html>"}, {1, `{"total":null}`}, {1, `{"api_versions":[]}`}})
}

func shortPage(d dice, f *fate) {
	f.kind = "short page"
	drop := d.within(1, 4)
	f.edit = func(a *answer) { a.editRows(func(rows []any) []any { return rows[:max(0, len(rows)-drop)] }, 0) }
}

// headless is a page without its first rows, which are the newest. What follows
// it repeats the last ones.
func headless(d dice, f *fate) {
	f.kind = "page without its first rows"
	drop := d.within(1, 4)
	f.edit = func(a *answer) { a.editRows(func(rows []any) []any { return rows[min(drop, len(rows)):] }, 0) }
}

func noRows(_ dice, f *fate) {
	f.kind = "total without rows"
	f.edit = func(a *answer) { a.editRows(func([]any) []any { return []any{} }, 0) }
}

func noDate(_ dice, f *fate) {
	f.kind = "no Date"
	f.edit = func(a *answer) { a.header.Del("Date") }
}

// aged is an answer whose Date is that of an earlier one, as its Age tells.
func aged(d dice, f *fate) {
	f.kind = "Age"
	age := d.within(1, 300)
	f.edit = func(a *answer) {
		a.header.Set("Age", fmt.Sprint(age))
		a.moveDate(-time.Duration(age) * time.Second)
	}
}

func timeless(d dice, f *fate) {
	f.kind = "row without a time"
	n := d.IntN(10)
	f.edit = func(a *answer) {
		a.editRows(func(rows []any) []any {
			if row, ok := rowAt(rows, n); ok {
				row["publish_time"] = "0001-01-01T00:00:00Z"
			}
			return rows
		}, 0)
	}
}

// strangeRow is a row of another API in a list that is not of APIs.
func strangeRow(d dice, f *fate) {
	f.kind = "row of another API"
	n := d.IntN(10)
	f.edit = func(a *answer) {
		a.editRows(func(rows []any) []any {
			if row, ok := rowAt(rows, n); ok && row["api_id"] != nil {
				row["api_id"] = "00000000000000000000000000000000"
			}
			return rows
		}, 0)
	}
}

func nonAuthoritative(_ dice, f *fate) {
	f.kind = "203"
	f.edit = func(a *answer) {
		if a.status == 200 {
			a.status = 203
		}
	}
}

// conflicting is what the gateway makes of a write to APIs to which others are in
// progress: it refuses, or loses its way.
func conflicting(d dice, f *fate, apis []string, batch bool) {
	f.kind, f.conflict, f.applies = "conflict", true, pick(d, halves)
	if !batch {
		f.end, f.status, f.code = endStatus, 500, "APIG.3500"
		if d.chance(0.5) {
			f.status, f.code, f.decisive, f.applies = 409, "APIG.3718", true, never
		}
		return
	}
	f.applies, f.items = first, map[string]item{}
	one := pick(d, []weighted[item]{{2, itemBusy}, {1, itemFailed}, {1, itemBroken}})
	for _, id := range apis {
		f.items[id] = one
	}
}

// splitBatch is a batch that is answered, and has failed for some of its APIs.
func splitBatch(d dice, f *fate, apis []string) {
	f.kind, f.applies, f.items = "batch failed in part", first, map[string]item{}
	one := pick(d, []weighted[item]{{2, itemBusy}, {2, itemFailed}, {2, itemBroken}, {1, itemSilent}, {1, itemLost}})
	share := d.Float64()
	for _, id := range apis {
		if d.chance(share) {
			f.items[id] = one
		}
	}
}

// The kinds of outages.
var outageKinds = []weighted[string]{
	{2, "refused"}, {2, "hang"}, {3, "5xx"}, {2, "429"}, {2, "504"}, {1, "reads fail"}, {1, "mixed"},
}

// suffer makes f the fate of a request in an outage.
func suffer(d dice, kind string, write bool, f *fate) {
	switch {
	case kind == "refused":
		refused(d, f)
	case kind == "hang":
		hang(d, f)
	case kind == "5xx":
		serverError(d, f)
	case kind == "429":
		throttled(d, f)
	case kind == "504":
		gatewayTimeout(d, f)
	case kind == "reads fail" && !write:
		pick(d, readFaults)(d, f)
	case kind == "mixed":
		if write {
			pick(d, writeFaults)(d, f)
		} else {
			pick(d, readFaults)(d, f)
		}
	}
}
