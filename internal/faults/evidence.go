package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// founded has the calls of which a change reached the gateway and got no clean
// answer there or on its way back. It also has those whose request was written to
// a connection that the gateway had closed just then: it never arrived, but its
// client cannot know. The same goes for one that had got its connection, or had
// not yet asked for one, when its time was up: its caller was in a hurry, or a
// busy machine slow.
func (m *mix) founded(received []apigtest.Request, over *wire) map[int]bool {
	over.mu.Lock() // a body that its client has given up may still be read
	defer over.mu.Unlock()
	founded, closed := map[int]bool{}, map[string]bool{}
	m.each(received, func(r *apigtest.Request, kind int) {
		call := callOf(r)
		if kind >= 0 && kinds[kind].closes {
			closed[r.RemoteAddr] = true
		}
		if isChange(r) && (kind >= 0 && kinds[kind].doubt || len(over.broken[call]) > 0) {
			founded[call] = true
		}
	})
	for call, conns := range over.broken {
		if over.late[call] || slices.ContainsFunc(conns, func(c string) bool { return closed[c] }) {
			founded[call] = true
		}
	}
	return founded
}

// each goes through all requests, with the kind of fault that struck each, or -1.
func (m *mix) each(received []apigtest.Request, f func(r *apigtest.Request, kind int)) {
	made := map[origin]int{}
	for i := range received {
		r := &received[i]
		from := originOf(r)
		made[from]++
		kind, _ := m.fate(r, from, made[from])
		f(r, kind)
	}
}

// trace tells what the gateway saw of a call, and of everything that changed the
// API in question meanwhile.
func (m *mix) trace(of key, received []apigtest.Request, journal []apigtest.Applied) []string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	m.each(received, func(r *apigtest.Request, kind int) {
		if callOf(r) != of.call || r.APIID != "" && r.APIID != of.apiID {
			return
		}
		struck := ""
		if kind >= 0 {
			struck = ", struck by: " + kinds[kind].name
		}
		lines = append(lines, line{r.Time, fmt.Sprintf("request %s %s%s", r.ID[:8], r.Op, struck)})
	})
	if lines == nil {
		return nil
	}
	from, to := lines[0].at.Add(-3*time.Second), lines[len(lines)-1].at.Add(4*time.Second)
	for _, a := range journal {
		if a.APIID == of.apiID && a.Time.After(from) && a.Time.Before(to) {
			lines = append(lines, line{a.Time, fmt.Sprintf("applied: %s by call %d, version %s", a.Action, keyOf(a).call, a.VersionID)})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var text []string
	for _, l := range lines {
		text = append(text, l.at.Format("15:04:05.000")+" "+l.text)
	}
	return text
}
