package main

import (
	"math"
	"net/http"
	"strconv"
	"testing"

	"github.com/apig-go/apig/apigtest"
)

func requestOf(call int, op apigtest.Op) *apigtest.Request {
	return &apigtest.Request{Op: op, Header: http.Header{callHeader: {strconv.Itoa(call)}}}
}

// The mix has to strike as many requests as it says, with every kind, and to
// strike the same ones for the same seed, in whatever order calls come.
func TestMix(t *testing.T) {
	const calls, each = 20000, 2
	forth, back := newMix(1, 0.3, scaled, false), newMix(1, 0.3, scaled, false)
	other := newMix(2, 0.3, scaled, false)
	differ := 0
	for call := 1; call <= calls; call++ {
		for n := 1; n <= each; n++ {
			r := requestOf(call, apigtest.OpAction)
			forth.strike(r)
			back.strike(requestOf(calls+1-call, apigtest.OpAction))
			kind, _ := forth.fate(r, originOf(r), n)
			if k, _ := other.fate(r, originOf(r), n); k != kind {
				differ++
			}
		}
	}
	total := 0
	for n, k := range kinds {
		total += forth.struck[n]
		if forth.struck[n] == 0 && k.name != historyRefused {
			t.Errorf("no request was struck by %q", k.name)
		}
		if forth.struck[n] != back.struck[n] && !k.expires { // which goes by the time too
			t.Errorf("%q: %d one way, %d the other", k.name, forth.struck[n], back.struck[n])
		}
	}
	if share := float64(total) / (calls * each); math.Abs(share-0.3) > 0.01 {
		t.Errorf("%.3f of the requests were struck, not 0.3", share)
	}
	if differ < calls*each/3 {
		t.Errorf("another seed changes the fate of %d requests only", differ)
	}
}

func TestMixAims(t *testing.T) {
	refused := newMix(1, 0.3, scaled, true)
	for call := 1; call <= 1000; call++ {
		if n, _ := refused.fate(requestOf(call, apigtest.OpHistory), origin{call, fromOther}, 1); kinds[n].name != historyRefused {
			t.Fatalf("the history was not refused")
		}
		for n := 1; n <= 5; n++ {
			kind, _ := refused.fate(requestOf(call, apigtest.OpToken), origin{0, fromToken}, call*10+n)
			if kind >= 0 && kinds[kind].only != nil {
				t.Fatalf("a token request was struck by %q", kinds[kind].name)
			}
		}
	}
}

func TestPlan(t *testing.T) {
	apis := []string{"a", "b", "c"}
	plan := newPlan(1, 3000, apis, true)
	seen := map[int]bool{}
	publishes, pairs := 0, 0
	for n, s := range plan {
		published := false
		for _, st := range s {
			if len(st) == 2 {
				pairs++
			}
			for _, c := range st {
				if seen[c.ID] || c.ID < 1 || c.ID > 3000 || c.APIID != apis[n] {
					t.Fatalf("call %+v", c)
				}
				seen[c.ID] = true
				if c.Publish {
					publishes++
				} else if !published || len(st) > 1 {
					t.Fatalf("call %d takes offline what is not published, or not alone", c.ID)
				}
			}
			published = st[0].Publish
		}
	}
	if len(seen) != 3000 || publishes < 2500 || publishes > 2600 || pairs < 150 {
		t.Errorf("%d calls, %d publishes, %d pairs", len(seen), publishes, pairs)
	}
	for _, s := range newPlan(1, 100, apis, false) {
		for _, st := range s {
			if !st[0].Publish {
				t.Fatal("an offline where none was wanted")
			}
		}
	}
}
