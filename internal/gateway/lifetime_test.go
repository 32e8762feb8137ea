package gateway_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

func TestConcurrentWritersAreSerialized(t *testing.T) {
	f := start(t)
	apis := []string{f.api, f.AddAPI("customers")}
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				res, err := f.send(f.action("online", apis[w%2], release, fmt.Sprintf("%d/%d", w, n)))
				if assert.NoError(t, err) {
					assert.Equal(t, 201, res.status)
				}
				_, _ = f.Publish(apis[w%2], release, "by hand")
				_, _, _ = f.Requests(), f.Journal(), f.History(apis[w%2], release)
			}
		})
	}
	wg.Wait()
	journal := f.Journal()
	require.Len(t, journal, 2*writers*each)
	last := map[string]gateway.Applied{}
	next := map[int]int{}
	for n, a := range journal {
		assert.Equal(t, n+1, a.Seq)
		assert.False(t, n > 0 && a.Time.Before(journal[n-1].Time), "journal out of order")
		last[a.APIID] = a
		if a.Request == nil {
			continue
		}
		var writer, index int
		_, err := fmt.Sscanf(a.Remark, "%d/%d", &writer, &index)
		require.NoError(t, err)
		assert.Equal(t, next[writer], index, "one writer's requests are applied in its order")
		next[writer]++
	}
	for _, api := range apis {
		v, ok := f.Published(api, release)
		require.True(t, ok)
		assert.Equal(t, last[api].VersionID, v.ID, "the last one applied is in effect")
		assert.Len(t, f.History(api, release), 10)
	}
	for n, r := range f.Requests() {
		assert.Equal(t, n+1, r.Seq)
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, opts := range [][]gateway.Option{nil, {gateway.WithTLS()}} {
		f := start(t, opts...)
		f.SetWriteTime(time.Hour, gateway.Busy())
		f.Inject(gateway.Hang().Times(3), gateway.CloseThenApply(time.Hour).Times(3), gateway.Slow(time.Hour).Times(3))
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() { _, _ = f.send(f.action("online", f.api, release, "")) })
		}
		eventually(t, "all struck", func() bool { return f.Struck() == 9 && len(f.Requests()) == 12 })
		f.Close()
		wg.Wait()
		assert.Zero(t, f.Connections())
		f.Close() // once more does no harm
		f.client.CloseIdleConnections()
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("goroutines left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

func TestCloseWaitsForLateApplications(t *testing.T) {
	f := start(t)
	closed := make(chan struct{})
	early := make(chan bool, 1)
	f.ValidateTokens(func(string) bool {
		select {
		case <-closed:
			early <- true
		case <-time.After(50 * time.Millisecond):
			early <- false
		}
		return true
	})
	f.Inject(gateway.CloseThenApply(time.Hour))
	_, err := f.send(f.action("online", f.api, release, ""))
	require.ErrorIs(t, err, io.EOF)
	f.Close()
	close(closed)
	assert.False(t, <-early, "Close returned before the application had ended")
	assert.Len(t, f.Journal(), 1)
}

func TestCloseClosesIdleConnections(t *testing.T) {
	f := start(t)
	f.publish("kept")
	const many = 50
	for range many {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL(), "http://"))
		require.NoError(t, err)
		defer conn.Close()
	}
	eventually(t, "accepted", func() bool { return f.Connections() == many+1 })
	f.Close()
	assert.Zero(t, f.Connections())
	_, err := f.send(f.action("online", f.api, release, ""))
	require.Error(t, err)
	v, ok := f.Published(f.api, release)
	assert.True(t, ok, "it can still be read")
	assert.Equal(t, "kept", v.Remark)
	assert.Len(t, f.Journal(), 1)
}
