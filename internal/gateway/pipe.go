package gateway

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// pipe is one end of a connection in memory. It behaves like a TCP socket,
// not like net.Pipe: what is sent waits in a buffer, so that a side that
// closes early leaves its answer to be read. All waits are for a sync.Cond, so
// that inside a testing/synctest bubble time passes while a connection is idle.
type pipe struct {
	in, out       *stream
	local, remote *net.TCPAddr
	abrupt        atomic.Bool // Close resets the connection
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
	return &net.OpError{Op: op, Net: "tcp", Source: p.local, Addr: p.remote, Err: err}
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

func (p *pipe) LocalAddr() net.Addr  { return p.local }
func (p *pipe) RemoteAddr() net.Addr { return p.remote }

func (p *pipe) SetDeadline(t time.Time) error {
	_ = p.SetReadDeadline(t)
	return p.SetWriteDeadline(t)
}

func (p *pipe) SetReadDeadline(t time.Time) error {
	p.in.setDeadline(&p.in.readBy, t)
	return nil
}

func (p *pipe) SetWriteDeadline(t time.Time) error {
	p.out.setDeadline(&p.out.writeBy, t)
	return nil
}

// window is how many bytes may be on their way. A writer that is ahead of its
// reader by more has to wait.
const window = 64 << 10

// stream is one direction of a connection.
type stream struct {
	mu      sync.Mutex
	changed sync.Cond
	data    bytes.Buffer // sent and not read yet

	ended   error // what a read gets after the data; nil: there may be more
	dropped error // what a read gets at once: its own side has closed
	refused error // what a write gets
	lost    bool  // the next write is lost in silence, the ones after it are refused

	readBy, writeBy deadline
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
		case s.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case s.data.Len() > 0:
			s.changed.Broadcast() // there is room now
			return s.data.Read(b)
		case s.ended != nil:
			return 0, s.ended
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch room := window - s.data.Len(); {
		case s.refused != nil:
			return n, s.refused
		case s.writeBy.passed:
			return n, os.ErrDeadlineExceeded
		case s.lost:
			// The other side answers with a reset, which the next one sees.
			s.lost, s.refused = false, syscall.EPIPE
			return len(b), nil
		case n == len(b):
			return n, nil
		case room > 0:
			sent, _ := s.data.Write(b[n:min(len(b), n+room)])
			n += sent
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
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
	s.writeBy.stop()
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
	s.readBy.stop()
	s.changed.Broadcast()
	return reset
}

func (s *stream) setDeadline(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.stop()
	d.passed = false
	if wait := time.Until(t); t.IsZero() {
		// none
	} else if wait <= 0 {
		d.passed = true
	} else {
		var timer *time.Timer
		timer = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.timer == timer { // not replaced meanwhile
				d.passed = true
				s.changed.Broadcast()
			}
		})
		d.timer = timer
	}
	s.changed.Broadcast()
}

// deadline is guarded by the mutex of its stream.
type deadline struct {
	timer  *time.Timer
	passed bool
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
