package gateway

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tcpConn is what the tests need of either kind of connection.
type tcpConn interface {
	net.Conn
	CloseWrite() error
	SetLinger(seconds int) error
}

// likeSockets runs a test with both ends of a TCP connection, and again with
// both ends of one in memory.
func likeSockets(t *testing.T, test func(t *testing.T, client, server tcpConn)) {
	run := func(t *testing.T, l net.Listener, dial func(context.Context, string, string) (net.Conn, error)) {
		accepted := make(chan net.Conn, 1)
		go func() {
			c, _ := l.Accept()
			accepted <- c
		}()
		client, err := dial(t.Context(), "tcp", l.Addr().String())
		require.NoError(t, err)
		server := <-accepted
		t.Cleanup(func() { client.Close(); server.Close(); l.Close() })
		test(t, client.(tcpConn), server.(tcpConn))
	}
	t.Run("socket", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		run(t, l, (&net.Dialer{}).DialContext)
	})
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			run(t, m, m.dial)
		})
	})
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	n, err := c.Write([]byte(text))
	require.NoError(t, err)
	require.Equal(t, len(text), n)
}

// What the connections of clients meet is the same with and without a network.
func TestLikeSockets(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, client, server tcpConn){
		"close with unread data is a reset": func(t *testing.T, client, server tcpConn) {
			send(t, client, "never read")
			send(t, server, "answer")
			one := make([]byte, 1)
			_, err := io.ReadFull(server, one) // all of it has arrived
			require.NoError(t, err)
			require.NoError(t, server.Close())
			all, err := io.ReadAll(client)
			assert.ErrorIs(t, err, syscall.ECONNRESET)
			assert.Equal(t, "answer", string(all))
		},
		"reset on purpose": func(t *testing.T, client, server tcpConn) {
			require.NoError(t, server.SetLinger(0))
			require.NoError(t, server.Close())
			_ = server.Close() // which does not make it an orderly end
			_, err := client.Read(make([]byte, 1))
			assert.ErrorIs(t, err, syscall.ECONNRESET)
			_, err = client.Write([]byte("x"))
			assert.Error(t, err)
		},
		"writes to a closed connection": func(t *testing.T, client, server tcpConn) {
			require.NoError(t, server.Close())
			_, err := client.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			send(t, client, "the first one is lost, which its writer does not notice")
			require.Eventually(t, func() bool {
				_, err = client.Write([]byte("x"))
				return err != nil
			}, time.Minute, time.Millisecond)
			assert.ErrorIs(t, err, syscall.EPIPE)
		},
		"half close": func(t *testing.T, client, server tcpConn) {
			send(t, client, "question")
			require.NoError(t, client.CloseWrite())
			all, err := io.ReadAll(server)
			assert.NoError(t, err)
			assert.Equal(t, "question", string(all))
			_, err = client.Write([]byte("x"))
			assert.ErrorIs(t, err, syscall.EPIPE)
			send(t, server, "answer")
			require.NoError(t, server.Close())
			all, err = io.ReadAll(client)
			assert.NoError(t, err)
			assert.Equal(t, "answer", string(all))
		},
		"own close": func(t *testing.T, client, server tcpConn) {
			waiting := make(chan error)
			go func() {
				_, err := client.Read(make([]byte, 1))
				waiting <- err
			}()
			require.NoError(t, client.Close())
			assert.ErrorIs(t, <-waiting, net.ErrClosed)
			_, err := client.Write([]byte("x"))
			assert.ErrorIs(t, err, net.ErrClosed)
			_ = client.Close() // once more changes nothing
			_, err = server.Read(make([]byte, 1))
			assert.Equal(t, io.EOF, err)
		},
		"deadlines": func(t *testing.T, client, server tcpConn) {
			require.NoError(t, client.SetDeadline(time.Now().Add(20*time.Millisecond)))
			begun := time.Now()
			_, err := client.Read(make([]byte, 1))
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.GreaterOrEqual(t, time.Since(begun), 20*time.Millisecond)
			send(t, server, "x")
			require.NoError(t, client.SetDeadline(time.Unix(1, 0)))
			_, err = client.Read(make([]byte, 1))
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "before the data")
			require.NoError(t, client.SetDeadline(time.Time{}))
			_, err = client.Read(make([]byte, 1))
			assert.NoError(t, err)
		},
		"a deadline is replaced": func(t *testing.T, client, _ tcpConn) {
			require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Hour)))
			failed := make(chan error)
			go func() {
				_, err := client.Read(make([]byte, 1))
				failed <- err
			}()
			require.NoError(t, client.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
			assert.ErrorIs(t, <-failed, os.ErrDeadlineExceeded)
		},
	} {
		t.Run(name, func(t *testing.T) { likeSockets(t, test) })
	}
}

// The gateway accepts at once, so that only this shows the errors of a dial.
func TestDialThatNobodyAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := m.dial(ctx, "tcp", "127.0.0.1:0")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, m.Close())
		_, err = m.dial(t.Context(), "tcp", "127.0.0.1:0")
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
		_, err = m.Accept()
		assert.ErrorIs(t, err, net.ErrClosed)
	})
}
