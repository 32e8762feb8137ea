// Package wire follows one HTTP request through net/http, to prove that nothing of
// it was sent.
package wire

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
)

// Watch follows one request. It proves that nothing was sent: a request that has
// asked for a connection and got none cannot have been. With a connection the
// request may have been sent, whatever the error says and whatever came after. A
// transport that does not report its progress, such as a mock, proves nothing.
//
// That headers were written would be a later mark, but another goroutine writes
// them: a request can be written after its context has ended and net/http has
// returned.
type Watch struct {
	asked, got atomic.Bool // a connection
	answered   atomic.Bool
	trace      httptrace.ClientTrace
}

// Follow has net/http report the progress of the complete request r to w, and keeps
// net/http from sending it a second time: over HTTP/2 it may do so where the server
// has reset the stream, which does not prove that nothing was applied. So between
// the connection and the answer there is no second body. Before that a transport may
// read the body as often as it likes, and after that net/http asks for it when the
// answer is a redirect, which it then does not follow.
func (w *Watch) Follow(r *http.Request) {
	w.trace = httptrace.ClientTrace{
		GetConn: func(string) { w.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.got.Store(true) },

		GotFirstResponseByte: func() { w.answered.Store(true) },
		Got1xxResponse: func(int, textproto.MIMEHeader) error { // only announces an answer
			w.answered.Store(false)
			return nil
		},
	}
	*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &w.trace))
	body := r.GetBody
	if body == nil {
		return
	}
	r.GetBody = func() (io.ReadCloser, error) {
		if w.got.Load() && !w.answered.Load() {
			return nil, errSent
		}
		return body()
	}
}

// errSent is what net/http may report in place of the reason of a failure.
var errSent = errors.New("the request may have been sent and is not sent again")

// MaySend reports whether the request may have been sent, or may still be.
func (w *Watch) MaySend() bool { return w.got.Load() || !w.asked.Load() }
