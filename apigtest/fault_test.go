package apigtest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// protocols runs a test over plain HTTP/1.1, over TLS, and over HTTP/2, with
// and without a network.
func protocols(t *testing.T, test func(t *testing.T, f *fixture)) {
	for _, network := range []struct {
		name    string
		options []apigtest.Option
	}{
		{"sockets", nil},
		{"memory", []apigtest.Option{apigtest.WithoutNetwork()}},
	} {
		encrypted := append([]apigtest.Option{apigtest.WithTLS()}, network.options...)
		t.Run(network.name+"/HTTP/1.1", func(t *testing.T) { test(t, start(t, network.options...)) })
		t.Run(network.name+"/TLS", func(t *testing.T) {
			f := start(t, encrypted...)
			f.client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
			test(t, f)
		})
		t.Run(network.name+"/HTTP/2", func(t *testing.T) { test(t, start(t, encrypted...)) })
	}
}

func (f *fixture) http2() bool {
	return f.client.Transport.(*http.Transport).ForceAttemptHTTP2
}

// broken sends an action whose connection is to break before an answer.
func (f *fixture) broken(t *testing.T) {
	t.Helper()
	_, err := f.send(f.action("online", f.api, release, "broken"))
	require.Error(t, err)
	if f.http2() {
		assert.ErrorContains(t, err, "stream error")
	} else {
		assert.ErrorIs(t, err, io.EOF)
	}
}

func TestAnswerFault(t *testing.T) {
	f := start(t)
	f.Inject(
		apigtest.Answer(503, `{"error_code":"X"}`),
		apigtest.Answer(502, "<html>bad gateway</html>"),
		apigtest.Answer(500, "plain"),
		apigtest.Answer(500, ""),
		apigtest.Answer(204, "no room for this"),
		apigtest.Answer(201, "{}"),
	)
	for _, want := range []struct {
		status     int
		body, kind string
	}{
		{503, `{"error_code":"X"}`, "application/json"},
		{502, "<html>bad gateway</html>", "text/html"},
		{500, "plain", "text/plain"},
		{500, "", ""},
		{204, "", "text/plain"},
		{201, "{}", "application/json"},
	} {
		res := f.publish("")
		assert.Equal(t, want.status, res.status)
		assert.Equal(t, want.body, res.body)
		assert.Equal(t, want.kind, res.header.Get("Content-Type"))
		assert.NotEmpty(t, res.header.Get("X-Request-Id"))
	}
	assert.Empty(t, f.Journal())
	assert.Equal(t, 6, f.Struck())
	assert.Len(t, f.Requests(), 6)
	assert.Equal(t, 1, f.Accepted(), "the connection is not harmed")
	assert.Equal(t, 201, f.publish("").status)
}

func TestReadyMadeAnswers(t *testing.T) {
	f := start(t)
	f.Inject(apigtest.Throttle("7"), apigtest.Throttle(""), apigtest.Busy(), apigtest.RefuseToken())
	res := f.publish("")
	res.refused(429, "APIGW.0308", "throttling threshold")
	assert.Equal(t, "7", res.header.Get("Retry-After"))
	res = f.publish("")
	res.refused(429, "APIGW.0308", "limit:200,time:5 minute")
	assert.NotContains(t, res.header, "Retry-After")
	f.publish("").refused(500, "APIG.3500", "etcd")
	f.publish("").refused(401, "APIGW.0307", "must be updated")
	assert.Empty(t, f.Journal())
	assert.Equal(t, 201, f.publish("").status)
}

func TestHeaders(t *testing.T) {
	protocols(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.Fault{Header: http.Header{
			"Date":         nil,
			"x-request-id": nil,
			"age":          {"10"},
			"Server":       {"elb"},
			"Content-Type": {"text/plain"},
		}})
		res := f.publish("")
		assert.Equal(t, 201, res.status)
		for _, name := range []string{"Date", "X-Request-Id"} {
			assert.NotContains(t, res.header, name)
		}
		assert.Equal(t, "10", res.header.Get("Age"))
		assert.Equal(t, "elb", res.header.Get("Server"))
		assert.Equal(t, []string{"text/plain"}, res.header.Values("Content-Type"))
		assert.Len(t, f.Journal(), 1)
		assert.Contains(t, f.publish("").header, "Date")
	})
	f := start(t)
	f.Inject(apigtest.Fault{Header: http.Header{"Transfer-Encoding": {"chunked"}}})
	res, err := f.client.Do(f.action("online", f.api, release, ""))
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, []string{"chunked"}, res.TransferEncoding)
	assert.Equal(t, int64(-1), res.ContentLength)
}

func TestRewrite(t *testing.T) {
	f := start(t)
	f.Inject(apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
		return status + 1, []byte(strings.ReplaceAll(string(body), "orders", "altered"))
	}})
	res := f.publish("")
	assert.Equal(t, 202, res.status)
	assert.Equal(t, "altered", res.json()["api_name"])
	assert.Equal(t, fmt.Sprint(len(res.body)), res.header.Get("Content-Length"))
	assert.Len(t, f.Journal(), 1)
}

func TestCloseBefore(t *testing.T) {
	protocols(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.CloseBefore())
		f.broken(t)
		assert.Empty(t, f.Journal())
		assert.Equal(t, 201, f.publish("").status)
	})
}

func TestApplyThenClose(t *testing.T) {
	protocols(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.ApplyThenClose())
		f.broken(t)
		journal := f.Journal()
		require.Len(t, journal, 1)
		assert.Equal(t, "broken", journal[0].Remark)
		assert.Equal(t, 1, journal[0].Request.Seq)
		_, ok := f.Published(f.api, release)
		assert.True(t, ok)
	})
}

// A hook that runs when the request is applied looks whether the client has
// lost its connection by then.
func TestCloseThenApplyComesAfterTheClose(t *testing.T) {
	f := start(t)
	open := make(chan int, 1)
	f.ValidateTokens(func(string) bool {
		open <- f.Connections()
		return true
	})
	for range 20 {
		f.Inject(apigtest.CloseThenApply(0))
		f.broken(t)
		assert.Zero(t, <-open)
	}
}

func TestWhatIsAppliedLateIsJudgedAsEver(t *testing.T) {
	f := start(t)
	invalid := f.action("nonsense", f.api, release, "")
	unauthorized := f.action("online", f.api, release, "")
	unauthorized.Header.Set("X-Auth-Token", "wrong")
	for _, r := range []*http.Request{invalid, unauthorized} {
		f.Inject(apigtest.CloseThenApply(0))
		_, err := f.send(r)
		require.ErrorIs(t, err, io.EOF)
	}
	f.Close()
	assert.Empty(t, f.Journal())
}

func TestApplyWithAnotherAnswer(t *testing.T) {
	f := start(t)
	f.Inject(apigtest.ApplyThenAnswer(500, `{"error_code":"APIG.3500","error_msg":"m"}`))
	f.publish("").refused(500, "APIG.3500", "m")
	assert.Len(t, f.Journal(), 1)

	f.Inject(apigtest.Fault{Status: 504, Body: "<html>", Apply: apigtest.ApplyLater, After: time.Hour})
	assert.Equal(t, 504, f.publish("").status)
	assert.Len(t, f.Journal(), 1)
	f.Close()
	assert.Len(t, f.Journal(), 2, "Close does not wait for an hour, and forgets nothing")
}

func TestConnectionReset(t *testing.T) {
	protocols(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.Fault{End: apigtest.EndReset}, apigtest.Fault{End: apigtest.EndReset, Apply: apigtest.ApplyFirst})
		for n := range 2 {
			_, err := f.send(f.action("online", f.api, release, ""))
			if f.http2() {
				require.ErrorContains(t, err, "stream error")
			} else {
				require.ErrorIs(t, err, syscall.ECONNRESET)
			}
			assert.Len(t, f.Journal(), n)
		}
	})
}

func TestCut(t *testing.T) {
	protocols(t, func(t *testing.T, f *fixture) {
		f.SetClock(func() time.Time { return time.Unix(0, 1) }) // all answers have the same length then
		whole := f.publish("cut").body
		for at, want := range map[int]string{
			0:      whole[:len(whole)/2],
			1:      whole[:1],
			20:     whole[:20],
			-1:     "",
			999999: whole[:len(whole)-1],
		} {
			applied := len(f.Journal())
			f.Inject(apigtest.Cut(at))
			res, err := f.client.Do(f.action("online", f.api, release, "cut"))
			require.NoError(t, err)
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			if f.http2() {
				assert.ErrorContains(t, err, "stream error")
			} else {
				assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
			}
			assert.Equal(t, 201, res.StatusCode)
			assert.Equal(t, int64(len(whole)), res.ContentLength, "announced whole")
			assert.Len(t, got, len(want))
			assert.Len(t, f.Journal(), applied+1)
		}
	})
	f := start(t)
	f.Inject(apigtest.Fault{End: apigtest.EndCut, Status: 500, Body: `{"error_code":"X"}`, CutAt: 5})
	res, err := f.client.Do(f.action("online", f.api, release, ""))
	require.NoError(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, `{"err`, string(got))
	assert.Empty(t, f.Journal(), "an answer from elsewhere needs no application")
}

func TestDrop(t *testing.T) {
	protocols(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.Drop())
		res := f.publish("")
		assert.Equal(t, 201, res.status)
		assert.NotContains(t, res.header, "Connection", "unannounced")
		if !f.http2() {
			eventually(t, "closed", func() bool { return f.Connections() == 0 })
		}
		assert.Len(t, f.Journal(), 1)
	})
}

func TestHangEndsWithTheClient(t *testing.T) {
	protocols(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.Hang())
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		failed := make(chan error)
		r := f.action("online", f.api, release, "").WithContext(ctx)
		go func() {
			_, err := f.send(r)
			failed <- err
		}()
		eventually(t, "hanging", func() bool { return f.Struck() == 1 })
		cancel()
		assert.ErrorIs(t, <-failed, context.Canceled)
		if !f.http2() {
			eventually(t, "handler gone", func() bool { return f.Connections() == 0 })
		}
		assert.Empty(t, f.Journal())
		assert.Equal(t, 201, f.publish("").status)
	})
}

func TestHangEndsAtClose(t *testing.T) {
	protocols(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.Hang(), apigtest.Slow(time.Hour),
			apigtest.Fault{End: apigtest.EndHang, Apply: apigtest.ApplyFirst},
			apigtest.Fault{End: apigtest.EndHang, Apply: apigtest.ApplyLater, After: time.Hour})
		failed := make(chan error)
		for range 4 {
			r := f.action("online", f.api, release, "")
			go func() {
				_, err := f.send(r)
				failed <- err
			}()
		}
		eventually(t, "hanging", func() bool { return f.Struck() == 4 && len(f.Journal()) == 1 })
		f.Close()
		for range 4 {
			assert.Error(t, <-failed)
		}
		assert.Len(t, f.Journal(), 2, "one before it hung, one brought forward by Close")
	})
}

func TestHangThatIsAppliedMeanwhile(t *testing.T) {
	f := start(t)
	f.Inject(apigtest.Fault{End: apigtest.EndHang, Apply: apigtest.ApplyLater})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failed := make(chan error)
	r := f.action("online", f.api, release, "").WithContext(ctx)
	go func() {
		_, err := f.send(r)
		failed <- err
	}()
	eventually(t, "applied", func() bool { return len(f.Journal()) == 1 })
	cancel()
	assert.ErrorIs(t, <-failed, context.Canceled)
}

func TestSlowDoesNotNoticeThatTheClientLeft(t *testing.T) {
	protocols(t, func(t *testing.T, f *fixture) {
		f.Inject(apigtest.Slow(time.Hour))
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		failed := make(chan error)
		r := f.action("online", f.api, release, "").WithContext(ctx)
		go func() {
			_, err := f.send(r)
			failed <- err
		}()
		eventually(t, "waiting", func() bool { return f.Struck() == 1 })
		assert.Empty(t, f.Journal())
		cancel()
		assert.ErrorIs(t, <-failed, context.Canceled)
		eventually(t, "applied", func() bool { return len(f.Journal()) == 1 })
	})
}

func TestAiming(t *testing.T) {
	f := start(t)
	marked := func(r *apigtest.Request) bool { return r.Header.Get("X-Mark") != "" }
	f.Inject(
		apigtest.Answer(501, "").On(apigtest.OpHistory).Skip(1),
		apigtest.Answer(502, "").On(apigtest.OpAction).Times(2),
		apigtest.Answer(503, "").When(marked).Always(),
		apigtest.Answer(504, ""),
	)
	history := "/apis/publish/" + f.api
	mark := func() result {
		r := f.request("GET", "/envs", "")
		r.Header.Set("X-Mark", "x")
		return f.do(r)
	}
	got := []int{
		f.call("GET", history, "").status, // skipped by the first: the last one strikes
		f.call("GET", history, "").status,
		f.call("GET", history, "").status,
		f.publish("").status,
		mark().status,
		f.publish("").status,
		f.publish("").status,
		mark().status,
		mark().status,
	}
	assert.Equal(t, []int{504, 501, 200, 502, 503, 502, 201, 503, 503}, got)
	assert.Equal(t, 7, f.Struck())
	f.ClearFaults()
	assert.Equal(t, 200, mark().status)
	assert.Equal(t, 7, f.Struck())
}

func TestFaultsStrikeBeforeAuthentication(t *testing.T) {
	f := start(t)
	f.Inject(apigtest.Answer(418, "").Always())
	f.withToken("wrong")
	assert.Equal(t, 418, f.withToken("wrong").status)
	assert.Equal(t, 418, f.call("GET", "/nowhere", "").status)
	assert.Equal(t, 418, f.call("POST", f.URL()+"/v3/auth/tokens", "{}").status)
}

func TestInjectFunc(t *testing.T) {
	f := start(t)
	calls := 0 // needs no lock: the source is asked one at a time
	f.InjectFunc(func(r *apigtest.Request) *apigtest.Fault {
		if calls++; calls%2 == 0 {
			return nil
		}
		fault := apigtest.Answer(500, r.ID)
		return &fault
	})
	f.Inject(apigtest.Answer(502, ""))
	assert.Equal(t, 502, f.publish("").status, "injected faults come first")
	res := f.publish("")
	assert.Equal(t, res.header.Get("X-Request-Id"), res.body)
	assert.Equal(t, 201, f.publish("").status)
	assert.Equal(t, 2, f.Struck())

	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 10 {
				_, err := f.send(f.action("online", f.api, release, ""))
				assert.NoError(t, err)
			}
		}()
	}
	wg.Wait()
	assert.Equal(t, 22, f.Struck())
	f.InjectFunc(nil)
	assert.Equal(t, 201, f.publish("").status)
	assert.Equal(t, 42, calls)
}

func TestMix(t *testing.T) {
	request := &apigtest.Request{Op: apigtest.OpAction}
	draw := func(seed uint64, rate float64, faults ...apigtest.Fault) (statuses []int) {
		source := apigtest.Mix(seed, rate, faults...)
		for range 2000 {
			if f := source(request); f != nil {
				statuses = append(statuses, f.Status)
			}
		}
		return statuses
	}
	a, b, c := apigtest.Answer(1, ""), apigtest.Answer(2, ""), apigtest.Answer(3, "").On(apigtest.OpBatch)
	got := draw(7, 0.25, a, b, c)
	assert.InDelta(t, 500, len(got), 100)
	count := map[int]int{}
	for _, status := range got {
		count[status]++
	}
	assert.InDelta(t, 250, count[1], 75)
	assert.InDelta(t, 250, count[2], 75)
	assert.Zero(t, count[3], "for another operation")
	assert.Equal(t, got, draw(7, 0.25, a, b, c), "the seed decides")
	assert.NotEqual(t, got, draw(8, 0.25, a, b, c))
	assert.Empty(t, draw(7, 0, a))
	assert.Len(t, draw(7, 1, a), 2000)
	assert.Empty(t, draw(7, 1, c))
	assert.Empty(t, draw(7, 1))

	f := start(t)
	f.InjectFunc(apigtest.Mix(1, 1, apigtest.Busy()))
	assert.Equal(t, 500, f.publish("").status)
}

// A server of another kind may neither hijack nor flush.
func TestHandlerThatCannotHijack(t *testing.T) {
	f := start(t)
	for _, end := range []apigtest.End{apigtest.EndClose, apigtest.EndReset} {
		f.Inject(apigtest.Fault{End: end})
		assert.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
			f.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
	}
}

func TestResetIsSeenAsSuchByARawConnection(t *testing.T) {
	f := start(t)
	f.Inject(apigtest.Fault{End: apigtest.EndReset})
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL(), "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	assert.ErrorIs(t, err, syscall.ECONNRESET)
}
