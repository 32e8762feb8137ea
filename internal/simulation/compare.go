package simulation

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/apig-go/apig"
)

// Change is a publication, or an API to take offline, for a client of another library.
type Change struct {
	Publish                     bool
	APIID, EnvID, Remark        string
	Endpoint, Project, Instance string
	Token, AccessKey, SecretKey string            // credentials that are valid
	Transport                   http.RoundTripper // of this change alone
}

// Client makes a change and returns the ID of the version. It returns an error if it
// has not made it.
type Client func(context.Context, Change) (versionID string, err error)

// Compare has a client make changes, of which each API sees one in ten seconds at
// most, while faults strike three requests in ten. A nil client is the one of this
// library, with tags or without. It counts the changes, the requests, each outcome
// and, by their names, the findings.
func Compare(t *testing.T, client Client, tags bool, changes int) (count map[string]int, findings []string) {
	count = map[string]int{}
	for seed := uint64(1); count["changes"] < changes; seed++ {
		j := inBubble(t, comparison(seed, client, tags))
		for _, r := range j.world.calls {
			count["changes"]++
			count["requests"] += len(r.sent)
			for _, report := range r.reports {
				count[apig.OutcomeOf(report.err).String()]++
			}
		}
		for _, f := range j.findings {
			count[string(f.verdict)]++
			findings = append(findings, fmt.Sprintf("seed %d: %v", seed, f))
		}
	}
	return count, findings
}

// comparison is a world of ten APIs, each of which is changed ten times.
func comparison(seed uint64, client Client, tags bool) *plan {
	const apis = 10
	d := newDice(seed, "comparison")
	p := &plan{scenario: "comparison", seed: seed, apis: apis, groups: make([]int, apis), envs: 1, history: 3, lifetime: 24 * time.Hour,
		client: client, processes: []process{{workers: apis, tagged: tags}}}
	for i := range apis * 10 {
		c := call{id: i, op: opPublish, apis: []int{i % apis}, worker: i % apis, remark: "release 1.4.2", writes: 0.3, reads: 0.3,
			after: d.between(10*time.Second, 20*time.Second)}
		if i > apis && p.calls[i-apis].op == opPublish && d.chance(0.2) {
			c.op = opOffline
		}
		p.calls = append(p.calls, c)
	}
	return p
}

// byOther makes a call with a client of another library.
func (c *running) byOther(ctx context.Context, given, env string) {
	g := c.world.gateway
	version, err := c.world.client(ctx, Change{
		Publish: c.op == opPublish, APIID: given, EnvID: env, Remark: c.remark,
		Endpoint: "https://gateway.invalid", Project: "project", Instance: "instance",
		Token: g.Token(), AccessKey: otherAccessKey, SecretKey: otherSecretKey,
		Transport: &bound{&transport{c.world, c.process}, c},
	})
	if err != nil {
		c.single(nil, fmt.Errorf("not applied, says the client: %w", err))
		return
	}
	c.single(&apig.PublishRecord{APIID: given, EnvID: env, VersionID: version, Remark: c.remark}, nil)
}

const otherAccessKey, otherSecretKey = "publisher", "correct horse"

// bound is a transport of one call, for clients that take no context.
type bound struct {
	*transport
	call *running
}

func (b *bound) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.transport.RoundTrip(r.WithContext(context.WithValue(r.Context(), callKey{}, b.call)))
}
