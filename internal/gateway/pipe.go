package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// memory is a listener without a network: dial makes both ends of a
// connection.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

func newMemory() *memory {
	return &memory{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.close.Do(func() { close(m.done) })
	return nil
}

// nowhere is the address of everything in memory.
var nowhere = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}

func (m *memory) Addr() net.Addr { return nowhere }

// dial refuses every address but its own: a client that has been led elsewhere
// must not end up here.
func (m *memory) dial(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: nowhere, Err: err}
	}
	if address != nowhere.String() {
		return fail(&net.AddrError{Err: "not the gateway, and there is no network", Addr: address})
	}
	request, answer := newStream(), newStream()
	select {
	case m.conns <- &pipe{in: request, out: answer}:
		return &pipe{in: answer, out: request}, nil
	case <-m.done:
		return fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case <-ctx.Done():
		return fail(ctx.Err())
	}
}

// pipe is one end of a connection in memory. It behaves like a TCP socket,
// not like net.Pipe: what is sent waits in a buffer, so that a side that
// closes early leaves its answer to be read. The buffer has no limit, so that only
// reads wait. They wait for a sync.Cond, so that inside a testing/synctest bubble time
// passes while a connection is idle.
type pipe struct {
	in, out *stream
	abrupt  atomic.Bool // Close resets the connection
}

func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.in.read(b)
	return n, p.failed("read", err)
}

func (p *pipe) Write(b []byte) (int, error) {
	n, err := p.out.write(b)
	return n, p.failed("write", err)
}

func (p *pipe) failed(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if errors.As(err, new(syscall.Errno)) {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: nowhere, Addr: nowhere, Err: err}
}

// Close leaves to the other side what was sent already. Like TCP it is a
// reset if something was received that nobody has read.
func (p *pipe) Close() error {
	if p.in.drop(p.abrupt.Load()) {
		p.out.end(net.ErrClosed, syscall.ECONNRESET)
	} else {
		p.out.end(net.ErrClosed, io.EOF)
	}
	return nil
}

// CloseWrite says that nothing more will be sent, as net/http does when it
// answers before it has read the whole request.
func (p *pipe) CloseWrite() error {
	p.out.end(syscall.EPIPE, io.EOF)
	return nil
}

// SetLinger makes Close a reset, with 0 as for a TCP socket.
func (p *pipe) SetLinger(seconds int) error {
	p.abrupt.Store(seconds == 0)
	return nil
}

func (p *pipe) LocalAddr() net.Addr  { return nowhere }
func (p *pipe) RemoteAddr() net.Addr { return nowhere }

func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

func (p *pipe) SetReadDeadline(t time.Time) error {
	p.in.setDeadline(t)
	return nil
}

// SetWriteDeadline does nothing: writes do not wait.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// stream is one direction of a connection.
type stream struct {
	mu      sync.Mutex
	changed sync.Cond
	data    bytes.Buffer // sent and not read yet

	ended   error // what a read gets after the data; nil: there may be more
	dropped error // what a read gets at once: its own side has closed
	refused error // what a write gets
	lost    bool  // the next write is lost in silence, the ones after it are refused

	deadline time.Time   // of reads
	timer    *time.Timer // wakes them at the deadline; nil: there is none
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.dropped != nil:
			return 0, s.dropped
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case s.data.Len() > 0:
			return s.data.Read(b)
		case s.ended != nil:
			return 0, s.ended
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.refused != nil:
		return 0, s.refused
	case s.lost:
		// The other side answers with a reset, which the next one sees.
		s.lost, s.refused = false, syscall.EPIPE
		return len(b), nil
	}
	s.changed.Broadcast()
	return s.data.Write(b)
}

// end closes the stream on the writer's side: writes get refused, and reads,
// once they have got the data, ended.
func (s *stream) end(refused, ended error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = refused
	if s.ended == nil || !errors.Is(ended, io.EOF) {
		s.ended = ended
	}
	s.changed.Broadcast()
}

// drop closes the stream on the reader's side, and reports whether that is a
// reset: because it was asked for, or because of unread data.
func (s *stream) drop(reset bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped != nil {
		return false // once is enough
	}
	reset = reset || s.data.Len() > 0
	s.data = bytes.Buffer{}
	s.dropped = net.ErrClosed
	if s.refused == nil {
		s.lost = !reset
		if reset {
			s.refused = syscall.ECONNRESET
		}
	}
	s.stop()
	s.changed.Broadcast()
	return reset
}

func (s *stream) setDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	s.deadline = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		s.timer = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
}

// stop ends the timer. The caller holds the mutex.
func (s *stream) stop() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}
