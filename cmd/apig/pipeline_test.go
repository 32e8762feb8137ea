package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// A pipeline whose requests fail in every way is interrupted at some moment, and
// settled afterwards. Then each API has one report, and the gateway's journal
// says the same.
func TestPipeline(t *testing.T) {
	const apis = 60
	interrupted := 0
	for seed := range uint64(12) {
		for _, how := range []string{"-parallel=8", "-batch"} {
			t.Run(fmt.Sprint(seed, how), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t)
					defer s.Close()
					s.retry = apig.RetryPolicy{}
					s.stdin = ""
					for i := range apis {
						s.stdin += s.AddAPI(fmt.Sprintf("api-%02d", i)) + "\n"
					}
					s.InjectFunc(apigtest.Mix(seed, 0.3, mixedFaults()...))
					ctx, interrupt := context.WithCancel(context.Background())
					defer interrupt()
					time.AfterFunc(time.Duration(seed)*300*time.Millisecond, interrupt)
					was := s.runUntil(ctx, "publish", "-file", "-", how, "-json=journal", "-remark", "1.4.2")
					if was.code == exitInterrupted {
						assert.Empty(t, s.Journal())
					}
					if was.code == exitUnknown {
						interrupted++
					}
					s.ClearFaults()
					time.Sleep(time.Minute) // what is lost arrives by then
					s.stdin = was.stdout
					settled := s.run("settle", "-json=lines")
					reports := settled.report(t).Results
					require.Len(t, reports, apis)

					versions := map[string]int{}
					for _, change := range s.Journal() {
						versions[change.APIID]++
					}
					for _, to := range reports {
						id := to.APIID
						want := map[string]int{outcomeApplied: 1, outcomeNotApplied: 0}
						require.Contains(t, want, to.Outcome, to.Error)
						assert.Equal(t, want[to.Outcome], versions[id], "%s: %s", to.Outcome, to.Error)
						if v, _ := s.Published(id, release); to.Outcome == outcomeApplied {
							assert.Equal(t, v.ID, to.Record.VersionID)
							assert.True(t, strings.HasPrefix(v.Remark, "1.4.2 #"))
							assert.Equal(t, v.Remark, to.Remark)
						}
					}
				})
			})
		}
	}
	assert.Greater(t, interrupted, 5, "most of the runs are to leave something to settle")
}
