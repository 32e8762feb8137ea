package apigtest_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// inBubble runs a test in virtual time, once for each protocol. The bubble
// fails by itself if a goroutine is left when the gateway has been closed.
func inBubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	for name, options := range map[string][]apigtest.Option{
		"HTTP/1.1": {apigtest.WithoutNetwork()},
		"TLS":      {apigtest.WithoutNetwork(), apigtest.WithTLS()},
		"HTTP/2":   {apigtest.WithoutNetwork(), apigtest.WithTLS()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t, options...)
				if name == "TLS" {
					f.client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
				}
				test(t, f)
			})
		})
	}
}

func TestWaitsOfFaultsAreExact(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		begun := time.Now()
		f.Inject(apigtest.Slow(time.Hour), apigtest.Busy().Delayed(time.Minute))
		assert.Equal(t, 201, f.publish("").status)
		assert.Equal(t, time.Hour, time.Since(begun))
		assert.Equal(t, 500, f.publish("").status)
		assert.Equal(t, time.Hour+time.Minute, time.Since(begun))
		assert.Equal(t, begun.Add(time.Hour), f.Journal()[0].Time.Local())
	})
}

func TestCloseThenApplyIsExact(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.CloseThenApply(5*time.Minute), apigtest.CloseThenApply(0))
		begun := time.Now()
		f.broken(t)
		assert.Zero(t, time.Since(begun))
		time.Sleep(5*time.Minute - 1)
		synctest.Wait()
		assert.Empty(t, f.Journal())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Len(t, f.Journal(), 1)
		assert.Equal(t, "broken", f.Journal()[0].Remark)

		f.broken(t)
		synctest.Wait()
		assert.Len(t, f.Journal(), 2, "applied at once")
	})
}

func TestHangTakesNoTimeOfItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.Hang())
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := f.send(f.action("online", f.api, release, "").WithContext(ctx))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 30*time.Second, time.Since(begun))
		synctest.Wait()
		if !f.http2() {
			assert.Zero(t, f.Connections(), "the client has closed it")
		}
		assert.Empty(t, f.Journal())
		assert.Equal(t, 201, f.publish("").status)
	})
}

func TestCloseInABubble(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.Hang(), apigtest.Slow(time.Hour), apigtest.Slow(time.Hour),
			apigtest.CloseThenApply(time.Hour), apigtest.Fault{End: apigtest.EndHang, Apply: apigtest.ApplyLater, After: time.Hour})
		begun := time.Now()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				_, err := f.send(f.action("online", f.api, release, ""))
				assert.Error(t, err)
			})
		}
		synctest.Wait()
		assert.Equal(t, 5, f.Struck())
		f.Close()
		assert.Len(t, f.Journal(), 2, "brought forward")
		wg.Wait()
		assert.Zero(t, time.Since(begun))
		assert.Zero(t, f.Connections())

		_, err := f.send(f.action("online", f.api, release, ""))
		var dial *net.OpError
		require.ErrorAs(t, err, &dial)
		assert.Equal(t, "dial", dial.Op)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestLargeBodiesAndReuseInABubble(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		body := make([]byte, 1<<20)
		_, _ = rand.Read(body)
		answer := strings.Repeat("0123456789", 200<<10)
		f.Inject(apigtest.Answer(200, answer).Always())
		for range 3 {
			res := f.call("POST", "/apis/action", string(body))
			assert.Equal(t, 200, res.status)
			assert.Equal(t, sha256.Sum256([]byte(answer)), sha256.Sum256([]byte(res.body)))
		}
		requests := f.Requests()
		require.Len(t, requests, 3)
		assert.Equal(t, sha256.Sum256(body), sha256.Sum256(requests[2].Body))
		assert.Equal(t, 1, f.Accepted(), "one connection for all")

		f.ClearFaults()
		f.Inject(apigtest.Fault{Status: 200, Body: answer, End: apigtest.EndCut, CutAt: 1 << 20})
		res, err := f.client.Do(f.action("online", f.api, release, ""))
		require.NoError(t, err)
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		assert.Error(t, err)
		assert.Equal(t, sha256.Sum256([]byte(answer[:1<<20])), sha256.Sum256(got), "all that was sent arrives")
	})
}

// What a client meets whose request is answered, and its connection closed,
// while it still sends.
func TestAnswerInTheMiddleOfABody(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		send := func(size int64) (*http.Response, error) {
			r := f.request("POST", "/apis/action", "")
			r.ContentLength = size
			r.Body = io.NopCloser(io.LimitReader(zeros{}, size))
			return f.client.Do(r)
		}
		res, err := send(40 << 20) // the gateway reads 12 MiB of it
		if err == nil {
			assert.Equal(t, 413, res.StatusCode)
			res.Body.Close()
		} else {
			assert.True(t, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE), "%v", err)
		}
		assert.Equal(t, 201, f.publish("").status)
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestHalfABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, apigtest.WithoutNetwork())
		conn := f.rawConn(t)
		_, err := conn.Write([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome"))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, conn.Close())
		synctest.Wait()
		assert.Equal(t, 1, f.Accepted())
		assert.Zero(t, f.Connections())
		assert.Empty(t, f.Requests())
	})
}

// The server's own timeout is virtual as well.
func TestHeaderThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, apigtest.WithoutNetwork())
		conn := f.rawConn(t)
		_, err := conn.Write([]byte("POST / HTTP/1.1\r\nHost"))
		require.NoError(t, err)
		begun := time.Now()
		_, err = io.ReadAll(conn)
		assert.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(begun), time.Minute)
		assert.LessOrEqual(t, time.Since(begun), time.Minute+time.Second)
		require.NoError(t, conn.Close())
	})
}

// rawConn is a connection to the gateway without a client.
func (f *fixture) rawConn(t *testing.T) net.Conn {
	t.Helper()
	_, address, _ := strings.Cut(f.URL(), "://")
	conn, err := f.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	return conn
}

func TestOnlyTheTransportReachesAGatewayWithoutNetwork(t *testing.T) {
	f := start(t, apigtest.WithoutNetwork())
	assert.Equal(t, "http://127.0.0.1:0", f.URL())
	_, err := http.Get(f.URL())
	assert.Error(t, err)
	assert.Equal(t, 201, f.publish("").status)
	assert.Regexp(t, `^127\.0\.0\.1:\d+$`, f.Requests()[0].RemoteAddr)

	other := start(t, apigtest.WithoutNetwork(), apigtest.WithTLS(), apigtest.WithAddr("localhost:8443"))
	assert.Equal(t, "https://localhost:8443", other.URL())
	assert.Equal(t, 201, other.publish("").status)
	_, err = f.client.Get(other.URL())
	assert.ErrorContains(t, err, "not the gateway")

	for _, addr := range []string{"10.0.0.1:80", "nonsense", "127.0.0.1:nonsense"} {
		assert.Panics(t, func() { apigtest.NewGateway(apigtest.WithoutNetwork(), apigtest.WithAddr(addr)) })
	}
}

// Each connection has an address of its own.
func TestConnectionsWithoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, apigtest.WithoutNetwork())
		f.Inject(apigtest.Slow(time.Second).Always())
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { _, _ = f.send(f.request("GET", "/envs", "")) })
		}
		wg.Wait()
		seen := map[string]bool{}
		for _, r := range f.Requests() {
			seen[r.RemoteAddr] = true
		}
		assert.Len(t, seen, 10)
		assert.Equal(t, 10, f.Accepted())
		f.client.CloseIdleConnections()
		synctest.Wait()
		assert.Zero(t, f.Connections())
	})
}
