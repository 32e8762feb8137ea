package apigtest

import (
	"net"
	"net/http"
	"strings"
)

// suffer serves a request that a fault has struck.
func (g *Gateway) suffer(w http.ResponseWriter, r *http.Request, req *Request, f *Fault) {
	g.life.pause(r.Context(), f.Delay)
	if f.Delay > 0 && g.life.over() {
		panic(http.ErrAbortHandler)
	}
	if f.ExpireToken {
		g.access.expire(req.Header.Get(tokenHeader), g.clock.now())
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
		a = answer{status: f.Status, body: []byte(strings.ReplaceAll(f.Body, "${request_id}", r.ID))}
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
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	_ = conn.Close()
}
