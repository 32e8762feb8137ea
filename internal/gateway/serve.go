package gateway

import (
	"net"
	"net/http"
	"strings"
)

// Handler is the gateway without its listener, to be put behind another
// server, such as one with its own TLS or one that shapes the traffic. It
// shares everything else with the listener's, and ends with it: Close breaks
// off the requests that are on their way, by means of deadlines. To cut a
// connection it panics with [http.ErrAbortHandler] where it cannot hijack.
func (g *Gateway) Handler() http.Handler { return http.HandlerFunc(g.serve) }

// serveOwn serves a request that has come through the own listener. It counts
// from the start, since Close can close its connection.
func (g *Gateway) serveOwn(w http.ResponseWriter, r *http.Request) {
	if !g.life.enter() {
		panic(http.ErrAbortHandler)
	}
	defer g.life.leave()
	g.serve(w, r)
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	g.life.watch(control)
	defer g.life.unwatch(control)
	req, err := receive(w, r)
	// Close does not wait for a request before it has come in completely:
	// another server may hand it over slowly, or never.
	if err != nil || !g.life.enter() {
		panic(http.ErrAbortHandler)
	}
	defer g.life.leave()
	req.ID = g.requestIDs.next()
	g.requests.add(req, &g.clock)
	g.observe(req)
	if f := g.faults.next(req); f != nil {
		g.suffer(w, r, req, f)
		return
	}
	g.send(w, req, g.process(req), -1)
}

// process does what the service does with a request: the front gateway looks
// at its size and its path, then come authentication and the instance, and
// last the request itself. IAM looks at credentials in its own way.
func (g *Gateway) process(r *Request) answer {
	a, err := g.judge(r)
	if err != nil {
		a = answerError(err, r.ID)
		if r.allow != "" && r.route == nil {
			a.header = http.Header{"Allow": {r.allow}}
		}
	}
	return a
}

func (g *Gateway) judge(r *Request) (answer, error) {
	if err := checkSize(r); err != nil {
		return answer{}, err
	}
	if strings.HasPrefix(r.Path, "/v2/") {
		if err := g.limit.take(); err != nil {
			return answer{}, err
		}
	}
	if r.route == nil {
		if r.allow != "" {
			return answer{}, refuse(http.StatusMethodNotAllowed, "APIGW.0101", "The API does not exist: method %s", r.Method)
		}
		return answer{}, refuse(http.StatusNotFound, "APIGW.0101", "The API does not exist or has not been published in the environment")
	}
	return r.route.handle(g, r)
}

// within makes a handler of one that serves an instance: it authenticates the
// request, finds the instance, and holds the lock.
func within(handle func(*Instance, *Request) (answer, error)) func(*Gateway, *Request) (answer, error) {
	return func(g *Gateway, r *Request) (answer, error) {
		if err := g.authenticate(r); err != nil {
			return answer{}, err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		i := g.instances[r.InstanceID]
		if i == nil || i.projectID != r.project {
			return answer{}, refuse(http.StatusNotFound, "APIG.3030", "The instance does not exist,id:%s", r.InstanceID)
		}
		if err := i.takeTime(r); err != nil {
			return answer{}, err
		}
		return handle(i, r)
	}
}

// checkSize has the limits of the front gateway; 494 is not in the register
// of HTTP, but in its manual.
func checkSize(r *Request) error {
	if r.tooLarge {
		return refuse(http.StatusRequestEntityTooLarge, "APIGW.0201", "Request entity too large")
	}
	if r.rawSize > 32<<10 {
		return refuse(http.StatusRequestURITooLong, "APIGW.0201", "Request URI too large")
	}
	total := 0
	for name, values := range r.Header {
		for _, v := range values {
			if len(v) > 32<<10 {
				return refuse(494, "APIGW.0201", "Request headers too large")
			}
			total += len(name) + len(v)
		}
	}
	if total > 128<<10 {
		return refuse(494, "APIGW.0201", "Request headers too large")
	}
	return nil
}

// suffer serves a request that a fault has struck.
func (g *Gateway) suffer(w http.ResponseWriter, r *http.Request, req *Request, f *Fault) {
	g.life.pause(r.Context(), f.Delay)
	if f.Delay > 0 && g.life.over() {
		panic(http.ErrAbortHandler)
	}
	if f.Do != nil {
		f.Do(req)
	}
	if f.ExpireToken {
		g.access.expire(req.Header.Get(tokenHeader))
	}
	a, applied := g.answer(req, f)
	if f.Apply == ApplyLater && !applied {
		later := func() { g.life.after(f.After, func() { g.process(req) }) }
		if f.End == EndHang {
			later() // a hang has no end to wait for
		} else {
			defer later()
		}
	}
	switch f.End {
	case EndAnswer:
		g.send(w, req, a, -1)
		flush(w) // what is applied later comes after this
	case EndClose:
		sever(w, false)
	case EndReset:
		sever(w, true)
	case EndHang:
		select {
		case <-r.Context().Done():
		case <-g.life.done:
		}
		panic(http.ErrAbortHandler)
	case EndCut:
		g.send(w, req, a, f.cut(len(a.body)))
		flush(w)
		panic(http.ErrAbortHandler) // without it net/http would see that too little was written
	case EndDrop:
		g.send(w, req, a, -1)
		if r.ProtoMajor == 1 {
			flush(w)
			panic(http.ErrAbortHandler)
		}
	}
}

// answer works out what the client is to be told, and whether that has taken
// the processing of the request.
func (g *Gateway) answer(r *Request, f *Fault) (a answer, applied bool) {
	told := f.End == EndAnswer || f.End == EndCut || f.End == EndDrop
	own := told && f.Status == 0
	if own || f.Apply == ApplyFirst {
		a, applied = g.process(r), true
	}
	if own && f.Rewrite != nil {
		a.status, a.body = f.Rewrite(a.status, a.body)
	}
	if f.Status != 0 {
		body := strings.NewReplacer("${request_id}", r.ID, "${api_id}", r.APIID).Replace(f.Body)
		a = answer{status: f.Status, body: []byte(body)}
	}
	merged := make(http.Header)
	for _, h := range []http.Header{a.header, f.Header} {
		for name, values := range h {
			merged[http.CanonicalHeaderKey(name)] = values
		}
	}
	a.header = merged
	return a, applied
}

func (f *Fault) cut(length int) int {
	switch {
	case f.CutAt == 0:
		return length / 2
	case f.CutAt < 0:
		return 0
	}
	return max(0, min(f.CutAt, length-1)) // a whole body would not be cut
}

func flush(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush() // every writer of net/http can
}

// sever ends the connection without an answer. What cannot be taken over, as
// the streams of HTTP/2, is aborted by net/http, which resets the stream.
func sever(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if reset {
		if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = wrapped.NetConn() // TLS would say goodbye first
		}
		if socket, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
			_ = socket.SetLinger(0)
		}
	}
	_ = conn.Close()
}
