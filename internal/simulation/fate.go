package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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

// fault is a kind of fate. A write that it strikes is applied before the answer.
type fault struct {
	write, read int // how often it strikes a request that changes something, and another
	kind        string
	end         end
	decisive    bool // a write is never applied, and its client can know it
	open        bool // a write is never applied, or before the answer, or late
	twice       bool // what is late may take SettleWait twice
	more        func(dice, *fate)
}

var faults = []fault{
	{write: 6, read: 4, kind: "connection refused", end: endRefused, decisive: true, more: func(d dice, f *fate) { f.dial = d.usually(0, 3*time.Second) }},
	{write: 2, read: 1, kind: "no connection", end: endDialing, decisive: true},
	{write: 2, kind: "broken while written", end: endUnsent, more: func(d dice, f *fate) { f.write = d.usually(0, time.Second) }},
	{write: 10, read: 4, kind: "hang", end: endHang, open: true, twice: true},
	{write: 8, kind: "closed", end: endReset, open: true, more: func(d dice, f *fate) { f.down = d.usually(time.Millisecond, 10*time.Second) }},
	{write: 6, read: 4, kind: "reset", end: endReset, open: true},
	{write: 6, read: 3, kind: "answer cut", end: endCut},
	{write: 2, read: 2, kind: "answer stalls", end: endStall},
	{write: 8, read: 4, kind: "slow request", twice: true, more: func(d dice, f *fate) { f.up = d.usually(100*time.Millisecond, 80*time.Second) }},
	{write: 3, read: 6, kind: "slow answer", more: func(d dice, f *fate) { f.down = d.usually(100*time.Millisecond, 80*time.Second) }},

	{write: 8, kind: "2xx unreadable", end: endStatus, open: true, more: func(d dice, f *fate) {
		f.status = pick(d, []weighted[int]{{4, 200}, {4, 201}, {1, 202}, {1, 203}, {1, 206}})
		f.body = pick(d, []weighted[string]{
			{3, ""}, {2, "{}"}, {2, "<html><body>Welcome</body></html>"}, {1, `{"error_code":"APIG.9999","error_msg":"System error"}`},
			{1, `{"api_id":"`}, {1, "null"},
			{1, `{"publish_id":"1","api_id":"another","env_id":"another","version_id":"2"}`},
		})
		f.short = d.chance(0.2)
	}},
	{read: 3, kind: "200 without a list", end: endStatus, more: func(d dice, f *fate) {
		f.status = 200
		f.body = pick(d, []weighted[string]{{2, "{}"}, {1, ""}, {1, "<html></html>"}, {1, `{"total":null}`}, {1, `{"api_versions":[]}`}})
	}},
	{write: 10, read: 5, kind: "5xx", end: endStatus, open: true, more: func(d dice, f *fate) {
		f.status = pick(d, []weighted[int]{{3, 500}, {3, 502}, {3, 503}, {1, 520}})
		if f.status == 503 && d.chance(0.3) {
			f.header = map[string]string{"Retry-After": fmt.Sprint(d.within(1, 30))}
		}
		if d.chance(0.2) { // the front gateway's code is no word of the service
			f.code = pick(d, []weighted[string]{{1, "APIGW.0201"}, {1, "APIG.0201"}, {1, "APIGW.0613"}})
		}
		f.down = d.usually(time.Millisecond, 20*time.Second)
	}},
	{write: 6, read: 2, kind: "504 and 408", end: endStatus, open: true, twice: true, more: func(d dice, f *fate) {
		f.status = pick(d, []weighted[int]{{4, 504}, {1, 408}})
		f.down = d.between(time.Second, 55*time.Second)
	}},
	// Part of the service may still be at work on the request.
	{write: 8, read: 4, kind: "5xx of the service", end: endStatus, open: true, more: func(d dice, f *fate) {
		f.status, f.code = 500, pick(d, []weighted[string]{{1, "APIG.3500"}, {1, "APIG.9999"}})
	}},
	{write: 5, read: 4, kind: "429", end: endStatus, decisive: true, more: func(d dice, f *fate) {
		f.status, f.code = 429, "APIGW.0308"
		if longest := pick(d, []weighted[int]{{2, 0}, {1, 20}, {1, 300}}); longest > 0 {
			f.header = map[string]string{"Retry-After": fmt.Sprint(d.within(1, longest))}
		}
	}},
	{write: 5, kind: "busy", end: endStatus, decisive: true, more: func(d dice, f *fate) {
		f.code = pick(d, []weighted[string]{{2, "APIG.9008"}, {1, "APIG.3711"}, {1, "APIG.3718"}, {1, "APIC.7701"}, {1, "APIC.7712"}, {1, "APIC.9222"}})
		f.status = cmp.Or(map[string]int{"APIG.9008": 500, "APIC.9222": 400}[f.code], 409)
	}},
	{write: 3, kind: "4xx", end: endStatus, decisive: true, more: func(d dice, f *fate) {
		f.status = pick(d, []weighted[int]{{2, 403}, {1, 400}, {1, 404}, {1, 413}, {1, 501}, {1, 505}})
		f.code = map[int]string{403: "APIG.1005", 400: "APIG.2011", 404: "APIGW.0101", 413: "APIGW.0201"}[f.status]
	}},
	{read: 1, kind: "403", end: endStatus, decisive: true, more: func(_ dice, f *fate) { f.status, f.code = 403, "APIG.1005" }},
	{write: 4, read: 3, kind: "401", end: endStatus, decisive: true, more: func(d dice, f *fate) {
		f.status = 401
		f.code = pick(d, []weighted[string]{{2, "APIGW.0307"}, {2, "APIG.1001"}, {1, "APIGW.0301"}, {1, "APIG.1013"}})
	}},
	{write: 2, kind: "3xx", end: endStatus, decisive: true, more: func(_ dice, f *fate) {
		f.status, f.header = 302, map[string]string{"Location": "https://elsewhere.invalid/"}
	}},

	{read: 3, kind: "short page", more: func(d dice, f *fate) {
		drop := d.within(1, 4)
		f.rows(func(rows []any) []any { return rows[:max(0, len(rows)-drop)] })
	}},
	// The first rows are the newest.
	{read: 3, kind: "page without its first rows", more: func(d dice, f *fate) {
		drop := d.within(1, 4)
		f.rows(func(rows []any) []any { return rows[min(drop, len(rows)):] })
	}},
	{read: 4, kind: "total without rows", more: func(_ dice, f *fate) {
		f.rows(func([]any) []any { return []any{} })
	}},
	{read: 3, kind: "row without a time", more: func(d dice, f *fate) {
		f.row(d, func(row map[string]any) { row["publish_time"] = "0001-01-01T00:00:00Z" })
	}},
	{read: 2, kind: "row of another API", more: func(d dice, f *fate) {
		f.row(d, func(row map[string]any) {
			if row["api_id"] != nil { // else it is a list of APIs
				row["api_id"] = strings.Repeat("0", idLength)
			}
		})
	}},
	{read: 4, kind: "no Date", more: func(_ dice, f *fate) {
		f.edit = func(a *answer) { a.header.Del("Date") }
	}},
	// The Date is that of an earlier answer, as the Age tells.
	{read: 4, kind: "Age", more: func(d dice, f *fate) {
		age := d.within(1, 300)
		f.edit = func(a *answer) {
			a.header.Set("Age", fmt.Sprint(age))
			a.moveDate(-time.Duration(age) * time.Second)
		}
	}},
	{read: 3, kind: "203", more: func(_ dice, f *fate) {
		f.edit = func(a *answer) {
			if a.status == 200 {
				a.status = 203
			}
		}
	}},
}

// strike makes one of the faults the fate of a request: the one of this kind or, if
// that is empty, any.
func (f *fate) strike(d dice, kind string, write bool) {
	var of []weighted[fault]
	for _, one := range faults {
		switch {
		case one.kind == kind:
			of = append(of, weighted[fault]{1, one})
		case kind == "" && write:
			of = append(of, weighted[fault]{one.write, one})
		case kind == "":
			of = append(of, weighted[fault]{one.read, one})
		}
	}
	one := pick(d, of)
	f.kind, f.end, f.twice, f.decisive, f.applies = one.kind, one.end, one.twice, one.decisive, first
	switch {
	case f.decisive || f.end == endUnsent:
		f.applies = never
	case one.open:
		f.applies = pick(d, []weighted[applies]{{1, never}, {1, first}, {1, late}})
	}
	if one.more != nil {
		one.more(d, f)
	}
}

// rows edits the rows of a list, and row one of them.
func (f *fate) rows(edit func(rows []any) []any) {
	f.edit = func(a *answer) { a.editRows(edit) }
}

func (f *fate) row(d dice, edit func(row map[string]any)) {
	n := d.IntN(10)
	f.rows(func(rows []any) []any {
		if len(rows) > 0 {
			edit(rows[n%len(rows)].(map[string]any))
		}
		return rows
	})
}

// conflicting is what the gateway makes of a write to APIs to which others are in
// progress: it refuses, or loses its way.
func conflicting(d dice, f *fate, apis []string, batch bool) {
	f.kind, f.conflict, f.applies = "conflict", true, pick(d, []weighted[applies]{{1, never}, {1, first}})
	if !batch {
		f.end, f.status, f.code = endStatus, 500, "APIG.3500"
		if d.chance(0.5) {
			f.status, f.code, f.decisive, f.applies = 409, "APIG.3718", true, never
		}
		return
	}
	f.split(apis, pick(d, []weighted[item]{{2, itemBusy}, {1, itemFailed}, {1, itemBroken}}))
}

// splitBatch is a batch that is answered, and has failed for some of its APIs.
func splitBatch(d dice, f *fate, apis []string) {
	f.kind = "batch failed in part"
	share := d.Float64()
	apis = slices.DeleteFunc(slices.Clone(apis), func(string) bool { return !d.chance(share) })
	f.split(apis, pick(d, []weighted[item]{{2, itemBusy}, {2, itemFailed}, {2, itemBroken}, {1, itemSilent}, {1, itemLost}}))
}

func (f *fate) split(apis []string, one item) {
	f.applies, f.items = first, map[string]item{}
	for _, id := range apis {
		f.items[id] = one
	}
}

// outageKinds are the faults that every request meets in an outage; empty: any.
var outageKinds = []weighted[string]{
	{2, "connection refused"}, {2, "hang"}, {3, "5xx"}, {2, "429"}, {2, "504 and 408"}, {2, ""},
}
