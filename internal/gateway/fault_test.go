package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// line is a kind of connection.
type line struct {
	*fixture
	bubble, http2 bool
}

// onEveryLine runs a test over HTTP/1.1, with TLS and over HTTP/2: over sockets, and
// without a network in virtual time. A bubble fails by itself if a goroutine is left when
// the gateway has been closed.
func onEveryLine(t *testing.T, test func(t *testing.T, f line)) {
	for name, options := range map[string][]Option{"HTTP/1.1": nil, "TLS": {WithTLS()}, "HTTP/2": {WithTLS()}} {
		run := func(t *testing.T, bubble bool, options ...Option) {
			f := start(t, options...)
			transport := f.client.Transport.(*http.Transport)
			if name == "TLS" {
				transport.ForceAttemptHTTP2 = false
			}
			test(t, line{f, bubble, transport.ForceAttemptHTTP2})
		}
		t.Run("sockets/"+name, func(t *testing.T) { run(t, false, options...) })
		t.Run("bubble/"+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run(t, true, append(options, WithoutNetwork())...) })
		})
	}
}

// wait waits for something that other goroutines bring about.
func (f line) wait(what string, happened func() bool) {
	f.t.Helper()
	if !f.bubble {
		eventually(f.t, what, happened)
		return
	}
	synctest.Wait()
	assert.True(f.t, happened(), what)
}

const (
	own    = "own answer"
	bad    = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
	busy   = `{"error_code":"APIG.3500","error_msg":"Failed to synchronize data to etcd."}`
	failed = `{"error_code":"APIG.9999","error_msg":"System error"}`
)

// effect is what a fault does to a publish.
type effect struct {
	fault   Fault // of named ones: the zero value
	status  int   // 0: no answer
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
	"throttle": {status: 429, body: `{"error_code":"APIGW.0308","error_msg":"The throttling threshold has been reached: ` +
		`policy user over ratelimit,limit:200,time:5 minute","request_id":"${request_id}"}`},
	"unauthorized": {status: 401, body: `{"error_code":"APIG.1002","error_msg":"Incorrect token or token resolution failed"}`},

	"a reset, applied":       {fault: Reset().Applied(), broken: syscall.ECONNRESET, applied: true},
	"an error, applied":      {fault: Busy().Applied(), status: 500, body: busy, applied: true},
	"an error, applied late": {fault: SystemError().AppliedAfter(800 * time.Millisecond), status: 500, body: failed, later: 800 * time.Millisecond},
	"a hang, applied":        {fault: Hang().Applied(), broken: context.DeadlineExceeded, takes: time.Hour, applied: true},
	"a hang, applied after its client has gone": {fault: Hang().AppliedAfter(time.Hour + time.Minute),
		broken: context.DeadlineExceeded, takes: time.Hour, later: time.Minute},
	"applied as soon as the connection is closed": {fault: CloseThenApply(0), broken: io.EOF, later: 1},
	"delayed":       {fault: Busy().Delayed(time.Minute), status: 500, body: busy, takes: time.Minute},
	"plain text":    {fault: Answer(500, "plain"), status: 500, body: "plain"},
	"empty":         {fault: Answer(503, ""), status: 503},
	"changed":       {fault: Fault{Rewrite: func(status int, _ []byte) (int, []byte) { return status + 1, []byte("{}") }}, status: 202, body: "{}", applied: true},
	"before others": {fault: Do(func(*Request) {}), status: 201, body: own, applied: true},
}

// Each fault does what its name says: what the client gets, to the byte, when, and
// what the journal holds. In virtual time all times are exact; over sockets faults that
// take time are left out.
func TestFaults(t *testing.T) {
	for _, name := range FaultNames() {
		assert.Contains(t, effects, name)
	}
	check := func(t *testing.T, f line, name string, want effect) {
		fault := want.fault
		if named, ok := faultsByName[name]; ok {
			fault = named()
		}
		f.client.Timeout = time.Hour
		applied := len(f.Journal())
		f.Inject(fault.On(OpAction))
		begun := time.Now()
		res, err := f.send(f.action("online", ""))
		requests := f.Requests()
		body := strings.NewReplacer("${api_id}", f.api, "${request_id}", requests[len(requests)-1].ID).Replace(want.body)
		switch {
		case want.broken == nil:
			assert.NoError(t, err)
		case f.http2 && !errors.Is(want.broken, context.DeadlineExceeded):
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
		if want.applied {
			applied++
		}
		if f.bubble {
			assert.Equal(t, want.takes, time.Since(begun))
			time.Sleep(max(0, want.later-1))
			f.wait("not too early", func() bool { return len(f.Journal()) == applied || want.later == 1 })
			time.Sleep(time.Nanosecond)
			if want.later > 0 {
				applied++
			}
		}
		f.wait("applied", func() bool { return len(f.Journal()) == applied })
	}
	onEveryLine(t, func(t *testing.T, f line) {
		for name, want := range effects {
			if f.bubble || want.takes == 0 && want.later == 0 {
				check(t, f, name, want)
				f.client.CloseIdleConnections() // one that was dropped may look alive for a moment
			}
			if name == "expire-token" {
				f.withToken(f.Token()).refused(401, "APIG.1001", "expired")
				f.Reset()
			}
			if t.Failed() {
				t.Fatal(name)
			}
		}
	})
}

func TestHeaders(t *testing.T) {
	f := start(t)
	f.Inject(Fault{Header: http.Header{"Date": nil, "x-request-id": nil, "age": {"10"}, "Content-Type": {"text/plain"}}},
		Throttle("7"))
	res := f.publish("")
	assert.NotContains(t, res.header, "Date")
	assert.NotContains(t, res.header, "X-Request-Id")
	assert.Equal(t, "10", res.header.Get("Age"))
	assert.Equal(t, []string{"text/plain"}, res.header.Values("Content-Type"))
	assert.Equal(t, "7", f.publish("").header.Get("Retry-After"))
	f.Inject(Fault{Header: http.Header{"Transfer-Encoding": {"chunked"}}})
	raw, err := f.client.Do(f.action("online", ""))
	require.NoError(t, err)
	defer raw.Body.Close()
	assert.Equal(t, []string{"chunked"}, raw.TransferEncoding)
}

func TestCut(t *testing.T) {
	onEveryLine(t, func(t *testing.T, f line) {
		f.SetClock(func() time.Time { return time.Unix(0, 1) }) // all answers have the same length then
		whole := len(f.publish("cut").body)
		for at, want := range map[int]int{0: whole / 2, 1: 1, 20: 20, -1: 0, 999999: whole - 1} {
			f.Inject(Cut(at))
			res, err := f.client.Do(f.action("online", "cut"))
			require.NoError(t, err)
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			assert.Error(t, err)
			assert.Equal(t, int64(whole), res.ContentLength, "announced whole")
			assert.Len(t, got, want)
		}
		assert.Len(t, f.Journal(), 6)
		f.Inject(Fault{End: EndCut, Status: 500, Body: `{"error_code":"X"}`, CutAt: 5})
		res, err := f.send(f.action("online", ""))
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
		f.Inject(CloseThenApply(0))
		_, err := f.send(f.action("online", ""))
		require.ErrorIs(t, err, io.EOF)
		assert.Zero(t, <-open)
	}
}

func TestWhatIsAppliedLateIsJudgedAsEver(t *testing.T) {
	f := start(t)
	unauthorized := f.action("online", "")
	unauthorized.Header.Set("X-Auth-Token", "wrong")
	for _, r := range []*http.Request{f.action("nonsense", ""), unauthorized} {
		f.Inject(CloseThenApply(0))
		_, err := f.send(r)
		require.ErrorIs(t, err, io.EOF)
	}
	f.Close()
	assert.Empty(t, f.Journal())
}

// A client that goes away ends a hang; a slow request goes on without it.
func TestClientsThatGoAway(t *testing.T) {
	onEveryLine(t, func(t *testing.T, f line) {
		for n, fault := range []Fault{Hang(), Slow(time.Hour)} {
			f.Inject(fault)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error)
			r := f.action("online", "").WithContext(ctx)
			go func() {
				_, err := f.send(r)
				failed <- err
			}()
			f.wait("struck", func() bool { return f.Struck() == n+1 })
			assert.Empty(t, f.Journal())
			cancel()
			assert.ErrorIs(t, <-failed, context.Canceled)
			f.wait("the handler has gone, or the change is applied", func() bool { return (f.http2 || f.Connections() == 0) && len(f.Journal()) == n })
		}
		assert.Equal(t, 201, f.publish("").status)
	})
}

func TestCloseWhileFaultsWait(t *testing.T) {
	onEveryLine(t, func(t *testing.T, f line) {
		f.Inject(Hang(), Slow(time.Hour), CloseThenApply(time.Hour), Hang().Applied(), Hang().AppliedAfter(time.Hour))
		var calls sync.WaitGroup
		for range 5 {
			r := f.action("online", "")
			calls.Go(func() {
				_, err := f.send(r)
				assert.Error(t, err)
			})
		}
		f.wait("all wait", func() bool { return f.Struck() == 5 && len(f.Journal()) == 1 })
		f.Close()
		assert.Len(t, f.Journal(), 3, "one applied before it hung, two brought forward by Close")
		calls.Wait()
		assert.Zero(t, f.Connections())
	})
}

func TestAiming(t *testing.T) {
	f := start(t)
	f.Inject(
		Answer(501, "").On(OpHistory).Skip(1),
		Answer(502, "").On(OpAction).Times(2),
		Answer(503, "").When(func(r *Request) bool { return r.Header.Get("X-Mark") != "" }).Always(),
		Answer(504, ""),
	)
	var got []int
	for _, name := range strings.Fields("history history history publish marked publish publish marked marked") {
		r := map[string]*http.Request{
			"history": f.request("GET", "/apis/publish/"+f.api, ""), "publish": f.action("online", ""), "marked": f.request("GET", "/envs", ""),
		}[name]
		if name == "marked" {
			r.Header.Set("X-Mark", "x")
		}
		got = append(got, f.do(r).status)
	}
	assert.Equal(t, []int{504, 501, 200, 502, 503, 502, 201, 503, 503}, got, "the first is skipped by one, so the last one strikes")
	assert.Equal(t, 7, f.Struck())
	f.ClearFaults()
	assert.Equal(t, 200, f.withToken(f.Token()).status)

	f.Inject(Answer(418, "").Always())
	assert.Equal(t, 418, f.withToken("wrong").status, "before authentication")
	assert.Equal(t, 418, f.call("GET", "/nowhere", "").status)
}

func TestMix(t *testing.T) {
	draw := func(seed uint64, rate float64, faults ...Fault) (statuses []int) {
		source := Mix(seed, rate, faults...)
		for range 2000 {
			if f := source(&Request{Op: OpAction}); f != nil {
				statuses = append(statuses, f.Status)
			}
		}
		return statuses
	}
	a, b, c := Answer(1, ""), Answer(2, ""), Answer(3, "").On(OpBatch)
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

func TestLargeBodiesAndReuse(t *testing.T) {
	onEveryLine(t, func(t *testing.T, f line) {
		body, answer := strings.Repeat("abcdefg", 150<<10), strings.Repeat("0123456789", 200<<10)
		f.Inject(Answer(200, answer).Times(3), Fault{Status: 200, Body: answer, End: EndCut, CutAt: 1 << 20})
		for range 3 {
			assert.Equal(t, answer, f.call("POST", "/apis/action", body).body)
		}
		assert.Equal(t, body, string(f.Requests()[2].Body))
		assert.Equal(t, 1, f.Accepted(), "one connection for all")
		res, err := f.send(f.request("GET", "/envs", ""))
		assert.Error(t, err)
		assert.Equal(t, answer[:1<<20], res.body, "all that was sent arrives")

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

// A request that breaks off is not recorded.
func TestRequestsThatBreakOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, WithoutNetwork())
		conn, err := f.dial(t.Context(), "tcp", strings.TrimPrefix(f.URL(), "http://"))
		require.NoError(t, err)
		_, err = conn.Write([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome"))
		require.NoError(t, err)
		synctest.Wait()
		assert.Equal(t, 1, f.Connections())
		require.NoError(t, conn.Close())
		synctest.Wait()
		assert.Zero(t, f.Connections())
		assert.Empty(t, f.Requests())
		_, err = f.client.Get("http://127.0.0.1:1")
		assert.ErrorContains(t, err, "not the gateway")
	})
}
