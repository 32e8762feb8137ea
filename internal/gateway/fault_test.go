package gateway_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// overSockets runs a test over HTTP/1.1, with TLS and over HTTP/2.
func overSockets(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Run("sockets/HTTP/1.1", func(t *testing.T) { test(t, start(t)) })
	t.Run("sockets/TLS", func(t *testing.T) {
		f := start(t, gateway.WithTLS())
		f.client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		test(t, f)
	})
	t.Run("sockets/HTTP/2", func(t *testing.T) { test(t, start(t, gateway.WithTLS())) })
}

// inBubble does the same without a network, in virtual time. The bubble fails by
// itself if a goroutine is left when the gateway has been closed.
func inBubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	for name, options := range map[string][]gateway.Option{
		"HTTP/1.1": nil, "TLS": {gateway.WithTLS()}, "HTTP/2": {gateway.WithTLS()},
	} {
		t.Run("bubble/"+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t, append(options, gateway.WithoutNetwork())...)
				if name == "TLS" {
					f.client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
				}
				test(t, f)
			})
		})
	}
}

func (f *fixture) http2() bool { return f.client.Transport.(*http.Transport).ForceAttemptHTTP2 }

const (
	own     = "own answer"
	bad     = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
	busy    = `{"error_code":"APIG.3500","error_msg":"Failed to synchronize data to etcd."}`
	failed  = `{"error_code":"APIG.9999","error_msg":"System error"}`
	limited = `{"error_code":"APIGW.0308","error_msg":"The throttling threshold has been reached: ` +
		`policy user over ratelimit,limit:200,time:5 minute","request_id":"${request_id}"}`
)

// effect is what a fault does to a publish.
type effect struct {
	fault   gateway.Fault // of named ones: the zero value
	status  int           // 0: no answer
	body    string
	broken  error         // over HTTP/1.1; of HTTP/2 it is a stream error
	applied bool          // when the client is done
	later   time.Duration // applied so long after that
	takes   time.Duration // until the client is done
}

var effects = map[string]effect{
	"answer":            {status: 502, body: bad},
	"apply-then-answer": {status: 502, body: bad, applied: true},
	"apply-then-close":  {broken: io.EOF, applied: true},
	"bad-request": {status: 400, body: `{"error_code":"APIG.2011",` +
		`"error_msg":"Invalid parameter value,parameterName:action. Please refer to the support documentation"}`},
	"busy":             {status: 500, body: busy},
	"close-before":     {broken: io.EOF},
	"close-then-apply": {broken: io.EOF, later: time.Second},
	"conflict":         {status: 409, body: `{"error_code":"APIC.7701","error_msg":"Instance status conflict."}`},
	"cut":              {status: 201, broken: io.ErrUnexpectedEOF, applied: true},
	"drop":             {status: 201, body: own, applied: true},
	"expire-token":     {status: 401, body: `{"error_code":"APIG.1001","error_msg":"Session expired. Please try again later."}`},
	"forbidden":        {status: 403, body: `{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`},
	"hang":             {broken: context.DeadlineExceeded, takes: time.Hour},
	"not-found":        {status: 404, body: `{"error_code":"APIG.3002","error_msg":"API ${api_id} does not exist"}`},
	"refuse-token":     {status: 401, body: `{"error_code":"APIGW.0307","error_msg":"The token must be updated.","request_id":"${request_id}"}`},
	"reset":            {broken: syscall.ECONNRESET},
	"slow":             {status: 201, body: own, applied: true, takes: time.Second},
	"system-error":     {status: 500, body: failed},
	"task-running":     {status: 409, body: `{"error_code":"APIG.3718","error_msg":"An instance task is currently being processed."}`},
	"throttle":         {status: 429, body: limited},
	"unauthorized":     {status: 401, body: `{"error_code":"APIG.1002","error_msg":"Incorrect token or token resolution failed"}`},

	"a reset, applied":       {fault: gateway.Reset().Applied(), broken: syscall.ECONNRESET, applied: true},
	"an error, applied":      {fault: gateway.Busy().Applied(), status: 500, body: busy, applied: true},
	"an error, applied late": {fault: gateway.SystemError().AppliedAfter(800 * time.Millisecond), status: 500, body: failed, later: 800 * time.Millisecond},
	"a hang, applied":        {fault: gateway.Hang().Applied(), broken: context.DeadlineExceeded, takes: time.Hour, applied: true},
	"a hang, applied after its client has gone": {fault: gateway.Hang().AppliedAfter(time.Hour + time.Minute),
		broken: context.DeadlineExceeded, takes: time.Hour, later: time.Minute},
	"applied as soon as the connection is closed": {fault: gateway.CloseThenApply(0), broken: io.EOF, later: 1},
	"delayed":       {fault: gateway.Busy().Delayed(time.Minute), status: 500, body: busy, takes: time.Minute},
	"plain text":    {fault: gateway.Answer(500, "plain"), status: 500, body: "plain"},
	"empty":         {fault: gateway.Answer(503, ""), status: 503},
	"changed":       {fault: gateway.Fault{Rewrite: func(status int, _ []byte) (int, []byte) { return status + 1, []byte("{}") }}, status: 202, body: "{}", applied: true},
	"before others": {fault: gateway.Do(func(*gateway.Request) {}), status: 201, body: own, applied: true},
}

// Each fault does what its name says: what the client gets, to the byte, when, and
// what the journal holds.
func TestFaults(t *testing.T) {
	check := func(t *testing.T, f *fixture, name string, exact bool) {
		want := effects[name]
		fault, named := gateway.NamedFault(name)
		if !named {
			fault = want.fault
		}
		f.client.Timeout = time.Hour
		before := len(f.Journal())
		f.Inject(fault.On(gateway.OpAction))
		begun := time.Now()
		res, err := f.send(f.action("online", f.api, release, ""))
		requests := f.Requests()
		body := strings.NewReplacer("${api_id}", f.api, "${request_id}", requests[len(requests)-1].ID).Replace(want.body)
		switch {
		case want.broken == nil:
			assert.NoError(t, err)
		case f.http2() && !errors.Is(want.broken, context.DeadlineExceeded):
			assert.ErrorContains(t, err, "stream error")
		default:
			assert.ErrorIs(t, err, want.broken)
		}
		assert.Equal(t, want.status, res.status)
		if body == own {
			assert.Contains(t, res.body, `"api_id":"`+f.api+`"`)
		} else if want.broken == nil {
			assert.Equal(t, body, res.body)
			kind := map[string]string{"{": "application/json", "<": "text/html", "p": "text/plain"}[(body + " ")[:1]]
			assert.Equal(t, kind, res.header.Get("Content-Type"))
		}
		applied := before
		if want.applied {
			applied++
		}
		if exact {
			assert.Equal(t, want.takes, time.Since(begun))
			if want.later > 1 {
				time.Sleep(want.later - 1)
				synctest.Wait()
				assert.Len(t, f.Journal(), applied, "too early")
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if want.later > 0 {
				applied++
			}
		}
		assert.Len(t, f.Journal(), applied)
	}
	inBubble(t, func(t *testing.T, f *fixture) {
		for name := range effects {
			check(t, f, name, true)
			if name == "expire-token" {
				f.withToken(f.Token()).refused(401, "APIG.1001", "expired")
				f.Reset()
			}
			if t.Failed() {
				t.Fatal(name)
			}
		}
	})
	overSockets(t, func(t *testing.T, f *fixture) {
		for name, want := range effects {
			if want.takes == 0 && want.later == 0 && name != "expire-token" {
				check(t, f, name, false)
				f.client.CloseIdleConnections() // one that was dropped may look alive for a moment
			}
		}
	})
}

// The names of faults are those of their functions.
func TestFaultNames(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "fault.go", nil, 0)
	require.NoError(t, err)
	var names []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name != "Do" {
			names = append(names, strings.ToLower(regexp.MustCompile(`(.)([A-Z])`).ReplaceAllString(f.Name.Name, "$1-$2")))
		}
	}
	assert.ElementsMatch(t, names, gateway.FaultNames())
	assert.IsIncreasing(t, gateway.FaultNames())
	for _, name := range names {
		assert.Contains(t, effects, name)
	}
	_, ok := gateway.NamedFault("nonsense")
	assert.False(t, ok)
}

func TestHeaders(t *testing.T) {
	f := start(t)
	f.Inject(gateway.Fault{Header: http.Header{"Date": nil, "x-request-id": nil, "age": {"10"}, "Content-Type": {"text/plain"}}},
		gateway.Throttle("7"))
	res := f.publish("")
	assert.NotContains(t, res.header, "Date")
	assert.NotContains(t, res.header, "X-Request-Id")
	assert.Equal(t, "10", res.header.Get("Age"))
	assert.Equal(t, []string{"text/plain"}, res.header.Values("Content-Type"))
	assert.Len(t, f.Journal(), 1)
	assert.Equal(t, "7", f.publish("").header.Get("Retry-After"))
	res = f.publish("")
	assert.NotContains(t, res.header, "Retry-After")
	assert.Contains(t, res.header, "Date")
	f.Inject(gateway.Fault{Header: http.Header{"Transfer-Encoding": {"chunked"}}})
	raw, err := f.client.Do(f.action("online", f.api, release, ""))
	require.NoError(t, err)
	defer raw.Body.Close()
	assert.Equal(t, []string{"chunked"}, raw.TransferEncoding)
}

func TestCut(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.SetClock(func() time.Time { return time.Unix(0, 1) }) // all answers have the same length then
		whole := len(f.publish("cut").body)
		for at, want := range map[int]int{0: whole / 2, 1: 1, 20: 20, -1: 0, 999999: whole - 1} {
			f.Inject(gateway.Cut(at))
			res, err := f.client.Do(f.action("online", f.api, release, "cut"))
			require.NoError(t, err)
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			assert.Error(t, err)
			assert.Equal(t, int64(whole), res.ContentLength, "announced whole")
			assert.Len(t, got, want)
		}
		assert.Len(t, f.Journal(), 6)
		f.Inject(gateway.Fault{End: gateway.EndCut, Status: 500, Body: `{"error_code":"X"}`, CutAt: 5})
		res, err := f.send(f.action("online", f.api, release, ""))
		assert.Error(t, err)
		assert.Equal(t, `{"err`, res.body)
		assert.Len(t, f.Journal(), 6, "an answer from elsewhere needs no application")
	})
}

// A hook that runs when the request is applied looks whether the client has lost its
// connection by then.
func TestCloseThenApplyComesAfterTheClose(t *testing.T) {
	f := start(t)
	open := make(chan int, 1)
	f.ValidateTokens(func(string) bool {
		open <- f.Connections()
		return true
	})
	for range 20 {
		f.Inject(gateway.CloseThenApply(0))
		_, err := f.send(f.action("online", f.api, release, ""))
		require.ErrorIs(t, err, io.EOF)
		assert.Zero(t, <-open)
	}
}

func TestWhatIsAppliedLateIsJudgedAsEver(t *testing.T) {
	f := start(t)
	unauthorized := f.action("online", f.api, release, "")
	unauthorized.Header.Set("X-Auth-Token", "wrong")
	for _, r := range []*http.Request{f.action("nonsense", f.api, release, ""), unauthorized} {
		f.Inject(gateway.CloseThenApply(0))
		_, err := f.send(r)
		require.ErrorIs(t, err, io.EOF)
	}
	f.Close()
	assert.Empty(t, f.Journal())
}

// A client that goes away ends a hang; a slow request goes on without it.
func TestClientsThatGoAway(t *testing.T) {
	run := func(wait func(what string, happened func() bool)) func(t *testing.T, f *fixture) {
		return func(t *testing.T, f *fixture) {
			for n, fault := range []gateway.Fault{gateway.Hang(), gateway.Slow(time.Hour)} {
				f.Inject(fault)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				failed := make(chan error)
				r := f.action("online", f.api, release, "").WithContext(ctx)
				go func() {
					_, err := f.send(r)
					failed <- err
				}()
				wait("struck", func() bool { return f.Struck() == n+1 })
				assert.Empty(t, f.Journal())
				cancel()
				assert.ErrorIs(t, <-failed, context.Canceled)
				wait("the handler has gone, or the change is applied", func() bool { return (f.http2() || f.Connections() == 0) && len(f.Journal()) == n })
			}
			assert.Equal(t, 201, f.publish("").status)
		}
	}
	overSockets(t, run(func(what string, happened func() bool) { eventually(t, what, happened) }))
	inBubble(t, run(func(what string, happened func() bool) {
		synctest.Wait()
		assert.True(t, happened(), what)
	}))
}

func TestCloseWhileFaultsWait(t *testing.T) {
	run := func(wait func(f *fixture)) func(t *testing.T, f *fixture) {
		return func(t *testing.T, f *fixture) {
			f.Inject(gateway.Hang(), gateway.Slow(time.Hour), gateway.CloseThenApply(time.Hour),
				gateway.Hang().Applied(), gateway.Hang().AppliedAfter(time.Hour))
			var calls sync.WaitGroup
			for range 5 {
				r := f.action("online", f.api, release, "")
				calls.Go(func() {
					_, err := f.send(r)
					assert.Error(t, err)
				})
			}
			wait(f)
			f.Close()
			calls.Wait()
			assert.Len(t, f.Journal(), 3, "one applied before it hung, two brought forward by Close")
			assert.Zero(t, f.Connections())
		}
	}
	overSockets(t, run(func(f *fixture) {
		eventually(t, "all wait", func() bool { return f.Struck() == 5 && len(f.Journal()) == 1 })
	}))
	inBubble(t, run(func(*fixture) { synctest.Wait() }))
}

func TestAiming(t *testing.T) {
	f := start(t)
	f.Inject(
		gateway.Answer(501, "").On(gateway.OpHistory).Skip(1),
		gateway.Answer(502, "").On(gateway.OpAction).Times(2),
		gateway.Answer(503, "").When(func(r *gateway.Request) bool { return r.Header.Get("X-Mark") != "" }).Always(),
		gateway.Answer(504, ""),
	)
	send := map[string]func() int{
		"history": func() int { return f.call("GET", "/apis/publish/"+f.api, "").status },
		"publish": func() int { return f.publish("").status },
		"marked": func() int {
			r := f.request("GET", "/envs", "")
			r.Header.Set("X-Mark", "x")
			return f.do(r).status
		},
	}
	var got []int
	for _, name := range strings.Fields("history history history publish marked publish publish marked marked") {
		got = append(got, send[name]())
	}
	assert.Equal(t, []int{504, 501, 200, 502, 503, 502, 201, 503, 503}, got, "the first is skipped by one, so the last one strikes")
	assert.Equal(t, 7, f.Struck())
	f.ClearFaults()
	assert.Equal(t, 200, send["marked"]())
	assert.Equal(t, 7, f.Struck())

	f.Inject(gateway.Answer(418, "").Always())
	assert.Equal(t, 418, f.withToken("wrong").status, "before authentication")
	assert.Equal(t, 418, f.call("GET", "/nowhere", "").status)
}

func TestInjectFunc(t *testing.T) {
	f := start(t)
	calls := 0 // needs no lock: the source is asked one at a time
	f.InjectFunc(func(r *gateway.Request) *gateway.Fault {
		if calls++; calls%2 == 0 {
			return nil
		}
		fault := gateway.Answer(500, r.ID)
		return &fault
	})
	f.Inject(gateway.Answer(502, ""))
	assert.Equal(t, 502, f.publish("").status, "injected faults come first")
	res := f.publish("")
	assert.Equal(t, res.header.Get("X-Request-Id"), res.body)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				_, err := f.send(f.action("online", f.api, release, ""))
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, 22, f.Struck())
	f.InjectFunc(nil)
	assert.Equal(t, 201, f.publish("").status)
	assert.Equal(t, 41, calls)
}

func TestMix(t *testing.T) {
	draw := func(seed uint64, rate float64, faults ...gateway.Fault) (statuses []int) {
		source := gateway.Mix(seed, rate, faults...)
		for range 2000 {
			if f := source(&gateway.Request{Op: gateway.OpAction}); f != nil {
				statuses = append(statuses, f.Status)
			}
		}
		return statuses
	}
	a, b, c := gateway.Answer(1, ""), gateway.Answer(2, ""), gateway.Answer(3, "").On(gateway.OpBatch)
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
	assert.Empty(t, draw(7, 1))
}

// A server of another kind may neither hijack nor flush.
func TestHandlerThatCannotHijack(t *testing.T) {
	f := start(t)
	for _, fault := range []gateway.Fault{gateway.CloseBefore(), gateway.Reset()} {
		f.Inject(fault)
		assert.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
			f.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
	}
}

func TestLargeBodiesAndReuse(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		body := make([]byte, 1<<20)
		_, _ = rand.Read(body)
		answer := strings.Repeat("0123456789", 200<<10)
		f.Inject(gateway.Answer(200, answer).Times(3), gateway.Fault{Status: 200, Body: answer, End: gateway.EndCut, CutAt: 1 << 20})
		for range 3 {
			res := f.call("POST", "/apis/action", string(body))
			assert.Equal(t, sha256.Sum256([]byte(answer)), sha256.Sum256([]byte(res.body)))
		}
		assert.Equal(t, sha256.Sum256(body), sha256.Sum256(f.Requests()[2].Body))
		assert.Equal(t, 1, f.Accepted(), "one connection for all")
		res, err := f.send(f.request("GET", "/envs", ""))
		assert.Error(t, err)
		assert.Equal(t, sha256.Sum256([]byte(answer[:1<<20])), sha256.Sum256([]byte(res.body)), "all that was sent arrives")

		// A request that is answered, and its connection closed, while it is still sent.
		r := f.request("POST", "/apis/action", "")
		r.ContentLength, r.Body = 40<<20, io.NopCloser(io.LimitReader(zeros{}, 40<<20)) // the gateway reads 12 MiB of it
		if res, err = f.send(r); err == nil {
			assert.Equal(t, 413, res.status)
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

// A request that breaks off is not recorded, and the server's own timeout for one that
// never goes on is virtual as well.
func TestRequestsThatBreakOff(t *testing.T) {
	virtual(t, func(t *testing.T, f *fixture) {
		dial := func() net.Conn {
			conn, err := f.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.URL(), "http://"))
			require.NoError(t, err)
			return conn
		}
		conn := dial()
		_, err := conn.Write([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome"))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, conn.Close())
		synctest.Wait()
		assert.Zero(t, f.Connections())

		conn = dial()
		_, err = conn.Write([]byte("POST / HTTP/1.1\r\nHost"))
		require.NoError(t, err)
		begun := time.Now()
		_, err = io.ReadAll(conn)
		assert.NoError(t, err)
		assert.InDelta(t, time.Minute, time.Since(begun), float64(time.Second))
		require.NoError(t, conn.Close())
		assert.Equal(t, 2, f.Accepted())
		assert.Empty(t, f.Requests())
	})
}

func TestWithoutNetwork(t *testing.T) {
	f := start(t, gateway.WithoutNetwork())
	assert.Equal(t, "http://127.0.0.1:0", f.URL())
	_, err := http.Get(f.URL())
	assert.Error(t, err)
	other := start(t, gateway.WithoutNetwork(), gateway.WithTLS(), gateway.WithAddr("localhost:8443"))
	assert.Equal(t, "https://localhost:8443", other.URL())
	assert.Equal(t, 201, other.publish("").status)
	_, err = f.client.Get(other.URL())
	assert.ErrorContains(t, err, "not the gateway")
	for _, addr := range []string{"10.0.0.1:80", "nonsense", "127.0.0.1:nonsense"} {
		assert.Panics(t, func() { gateway.NewGateway(gateway.WithoutNetwork(), gateway.WithAddr(addr)) })
	}
	virtual(t, func(t *testing.T, f *fixture) {
		f.Inject(gateway.Slow(time.Second).Always())
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { _, _ = f.send(f.request("GET", "/envs", "")) })
		}
		wg.Wait()
		seen := map[string]bool{}
		for _, r := range f.Requests() {
			seen[r.RemoteAddr] = true
		}
		assert.Len(t, seen, 10, "each connection has an address of its own")
		assert.Equal(t, 10, f.Accepted())
		f.client.CloseIdleConnections()
		synctest.Wait()
		assert.Zero(t, f.Connections())
	})
}
