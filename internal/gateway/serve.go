package gateway

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
)

// Handler is the gateway without its listener. It shares everything else, and ends with
// it: Close waits for the requests in progress. To cut a connection it panics with
// [http.ErrAbortHandler] where it cannot hijack.
func (g *Gateway) Handler() http.Handler { return http.HandlerFunc(g.serve) }

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	if !g.life.enter() {
		panic(http.ErrAbortHandler)
	}
	defer g.life.leave()
	resets := g.resets.Load()
	req, err := receive(w, r)
	if err != nil || g.life.over() || resets != g.resets.Load() {
		panic(http.ErrAbortHandler)
	}
	req.resets = resets
	g.record(req)
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
	g.resetting.RLock()
	defer g.resetting.RUnlock()
	a := answer{header: make(http.Header)}
	result, err := g.judge(r, a.header)
	if err == nil {
		a.status = r.endpoint.status
		if result != nil {
			a.body, err = json.Marshal(result)
		}
	}
	if err != nil {
		e := systemError
		errors.As(err, &e)
		a.status, a.body = e.status, []byte(e.json(r.ID))
		if e.code == "" && e.status == http.StatusUnauthorized {
			a.header.Set("Www-Authenticate", `Keystone uri="`+g.base(r)+`/v3"`)
		}
	}
	return a
}

func (g *Gateway) judge(r *Request, header http.Header) (any, error) {
	if err := checkSize(r); err != nil {
		return nil, err
	}
	switch {
	case r.resets != g.resets.Load():
		return nil, refuse(http.StatusBadRequest, "APIG.2000", "The gateway was reset after the request began")
	case r.endpoint != nil:
		return r.endpoint.handle(g, r, header)
	case r.allow != "":
		header.Set("Allow", r.allow)
		return nil, refuse(http.StatusMethodNotAllowed, "APIGW.0101", "The API does not exist: method %s", r.Method)
	}
	return nil, refuse(http.StatusNotFound, "APIGW.0101", "The API does not exist or has not been published in the environment")
}

// within makes a handler of one that serves an instance: it authenticates the
// request, finds the instance, holds the lock, and knows the parameters of the query.
func within(handle func(*Instance, *Request) (any, error), query ...string) handler {
	return func(g *Gateway, r *Request, _ http.Header) (any, error) {
		if err := g.authenticate(r); err != nil {
			return nil, err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		i := g.instances[r.InstanceID]
		if i == nil || i.projectID != r.project {
			return nil, refuse(http.StatusNotFound, "APIG.3030", "The instance does not exist,id:%s", r.InstanceID)
		}
		if err := r.checkQuery(query); err != nil {
			return nil, err
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
	if f.ExpireToken && req.resets == g.resets.Load() {
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
		case <-g.life.ctx.Done():
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
	if a.header == nil {
		a.header = make(http.Header)
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
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
