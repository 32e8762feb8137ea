package main

import (
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apig-go/apig/apigtest"
)

func requestOf(call int, op apigtest.Op) *apigtest.Request {
	r := &apigtest.Request{Op: op, Header: http.Header{callHeader: {strconv.Itoa(call)}}}
	if op != apigtest.OpToken {
		r.Header.Set("X-Auth-Token", "token")
	}
	return r
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
		if forth.struck[n] == 0 && k.strikes(requestOf(1, apigtest.OpAction)) {
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

// Nothing of a fault but times of day may come from anywhere else than the seed.
func TestSameSeedSameFault(t *testing.T) {
	r := requestOf(1, apigtest.OpBatch)
	r.Body = []byte(`{"apis":["a","b","c"]}`)
	for _, k := range kinds {
		for seed := range uint64(20) {
			make := func() apigtest.Fault {
				f := k.make(draw{rand.New(rand.NewPCG(seed, 0)), scaled, r})
				f.Header = nil
				if f.Rewrite != nil {
					_, body := f.Rewrite(http.StatusOK, []byte(`{"success":[{"api_id":"a"},{"api_id":"b"},{"api_id":"c"}]}`))
					f.Body, f.Rewrite = string(body), nil
				}
				return f
			}
			if a, b := make(), make(); !reflect.DeepEqual(a, b) {
				t.Errorf("%s: %+v and then %+v", k.name, a, b)
			}
		}
	}
}

func TestMixAims(t *testing.T) {
	refused := newMix(1, 0.3, scaled, true)
	kindOf := func(call int, op apigtest.Op) string {
		r := requestOf(call, op)
		n, _ := refused.fate(r, originOf(r), call)
		if n < 0 {
			return ""
		}
		return kinds[n].name
	}
	batches, partial := 0, 0
	for call := 1; call <= 3000; call++ {
		if kind := kindOf(call, apigtest.OpHistory); kind != historyRefused {
			t.Fatalf("the history was not refused, but %q", kind)
		}
		for _, op := range []apigtest.Op{apigtest.OpToken, apigtest.OpAction, apigtest.OpRuntime} {
			if kind := kindOf(call, op); strings.HasPrefix(kind, "batch") || strings.HasPrefix(kind, "history") {
				t.Fatalf("a request to %s was struck by %q", op, kind)
			}
		}
		if kind := kindOf(call, apigtest.OpToken); strings.HasPrefix(kind, "token") || strings.HasPrefix(kind, "429, Retry") {
			t.Fatalf("a request for a token was struck by %q", kind)
		}
		if kind := kindOf(call, apigtest.OpBatch); kind != "" {
			batches++
			if strings.HasPrefix(kind, "batch") {
				partial++
			}
		}
	}
	if share := float64(partial) / float64(batches); share < 0.4 || share > 0.6 {
		t.Errorf("%.2f of the struck batches were struck in part, not about half", share)
	}
}

func TestPlan(t *testing.T) {
	apis := []string{"a", "b", "c"}
	plan := newPlan(1, 3000, oneEach(apis), true)
	seen := map[int]bool{}
	publishes, pairs := 0, 0
	for n, s := range plan {
		published := false
		for _, st := range s {
			if len(st) == 2 {
				pairs++
			}
			for _, c := range st {
				if seen[c.ID] || c.ID < 1 || c.ID > 3000 || !slices.Equal(c.APIIDs, apis[n:n+1]) {
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
	for _, s := range newPlan(1, 100, oneEach(apis), false) {
		for _, st := range s {
			if !st[0].Publish {
				t.Fatal("an offline where none was wanted")
			}
		}
	}
}

func TestPlanOfBatches(t *testing.T) {
	apis := make([]string, 200)
	for i := range apis {
		apis[i] = strconv.Itoa(i)
	}
	sets := batches(1, apis, 30)
	if !slices.Equal(slices.Concat(sets...), apis) {
		t.Fatalf("not every API is in one set: %v", sets)
	}
	seen, changes, largest := map[key]bool{}, 0, 0
	for _, s := range newPlan(1, 3000, sets, true) {
		for _, st := range s {
			for _, c := range st {
				largest = max(largest, len(c.APIIDs))
				for _, id := range c.APIIDs {
					seen[key{c.ID, id}] = true
					changes++
				}
			}
		}
	}
	if changes != 3000 || len(seen) != 3000 || largest < 20 || largest > 30 {
		t.Errorf("%d changes, %d of them different, batches of up to %d", changes, len(seen), largest)
	}
}
