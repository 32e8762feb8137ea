package toxiproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	toxics "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a toxic works on.
const (
	request = "upstream"
	answer  = "downstream"
)

// enough is time for an attempt that takes milliseconds on an idle machine.
const enough = 30 * time.Second

// What a broken network looks like from here.

func broken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func cut(err error) bool {
	return broken(err) || err != nil && strings.Contains(err.Error(), "malformed")
}

func silent(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// TestBrokenPath breaks the way of a request or that of its answer. The client
// cannot know which of the two it was, but where the TLS handshake of a new
// connection broke: then it knows that it has sent nothing.
func TestBrokenPath(t *testing.T) {
	tests := []struct {
		name    string
		kind    string
		attrs   toxics.Attributes
		attempt time.Duration
		struck  func(error) bool
	}{
		{"reset", "reset_peer", toxics.Attributes{"timeout": 0}, enough, broken},
		{"closed after 100 ms of silence", "timeout", toxics.Attributes{"timeout": 100}, enough, broken},
		{"silent", "timeout", toxics.Attributes{"timeout": 0}, time.Second, silent},
		{"cut in the header", "limit_data", toxics.Attributes{"bytes": 30}, enough, cut},
	}
	for _, test := range tests {
		for _, stream := range []string{request, answer} {
			t.Run(stream+" "+test.name, func(t *testing.T) {
				each(t, all, func(t *testing.T, w way, c change) {
					s := set(t, w, test.attempt)
					req := s.publish(w)
					heal := s.poison(test.kind, stream, test.attrs)
					o := s.run(context.Background(), c, req, heal)

					require.True(t, test.struck(o.sent[0].err), "the toxic: %v", o.sent[0].err)
					assert.Equal(t, 1, o.received)
					if stream == request || !o.sent[0].conn {
						o.isRepeated()
					} else {
						o.isRecovered()
					}
				})
			})
			t.Run(stream+" "+test.name+" for good", func(t *testing.T) {
				each(t, all, func(t *testing.T, w way, c change) {
					s := set(t, w, test.attempt)
					req := s.publish(w)
					s.poison(test.kind, stream, test.attrs)
					ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
					defer cancel()
					o := s.run(ctx, c, req, nil)

					require.True(t, test.struck(o.sent[0].err), "the toxic: %v", o.sent[0].err)
					switch {
					case !o.sent[0].conn:
						o.isNotApplied()
						assert.Zero(t, o.received)
					case stream == request:
						o.isUnknown()
						assert.Zero(t, o.received)
					default:
						o.isUnknown()
						assert.Equal(t, 1, o.applied)
					}
				})
			})
		}
	}
}

// The first 700 bytes of a request or an answer with the longest remark end in
// its body.
var (
	longest = strings.Repeat("版", 255)
	inBody  = toxics.Attributes{"bytes": 700}
)

// TestCutBody breaks off in the body of an answer: its status says 201 all the
// same.
func TestCutBody(t *testing.T) {
	each(t, plain, func(t *testing.T, w way, c change) {
		s := set(t, w, enough)
		req := s.publish(w)
		req.Remark = longest
		heal := s.poison("limit_data", answer, inBody)
		o := s.run(context.Background(), c, req, heal)

		require.Equal(t, http.StatusCreated, o.sent[0].status, "the toxic")
		require.ErrorIs(t, o.sent[0].err, io.ErrUnexpectedEOF, "the toxic")
		o.isRecovered()
	})
}

// TestCutRequest breaks off in the body of every request that has one, while
// those that only read get through: the client can be sure.
func TestCutRequest(t *testing.T) {
	each(t, plain, func(t *testing.T, w way, c change) {
		s := set(t, w, enough)
		req := s.publish(w)
		req.Remark = longest
		s.poison("limit_data", request, inBody)
		o := s.run(context.Background(), c, req, nil)

		require.True(t, broken(o.sent[0].err), "the toxic: %v", o.sent[0].err)
		assert.Zero(t, o.received)
		assert.Len(t, o.sent, 4, "MaxAttempts")
		o.isNotApplied()
	})
}

// TestSlowPath is slow, but not too slow.
func TestSlowPath(t *testing.T) {
	tests := []struct {
		kind  string
		attrs toxics.Attributes
		least time.Duration
	}{
		{"latency", toxics.Attributes{"latency": 300}, 300 * time.Millisecond},
		{"bandwidth", toxics.Attributes{"rate": 1}, 100 * time.Millisecond},                      // KB a second
		{"slicer", toxics.Attributes{"average_size": 10, "delay": 5000}, 100 * time.Millisecond}, // bytes, µs
	}
	for _, test := range tests {
		for _, stream := range []string{request, answer} {
			t.Run(fmt.Sprintf("%s %s", stream, test.kind), func(t *testing.T) {
				each(t, all, func(t *testing.T, w way, c change) {
					s := set(t, w, enough)
					req := s.publish(w)
					s.poison(test.kind, stream, test.attrs)
					o := s.run(context.Background(), c, req, nil)

					require.GreaterOrEqual(t, o.sent[0].took, test.least, "the toxic")
					require.NoError(t, o.err)
					assert.False(t, o.rec.Recovered)
					assert.Len(t, o.sent, 1)
				})
			})
		}
	}
}

// TestLateRequest delays a request until the client has given up on it. Then it
// arrives.
func TestLateRequest(t *testing.T) {
	each(t, all, func(t *testing.T, w way, c change) {
		s := set(t, w, time.Second)
		req := s.publish(w)
		heal := s.poison("latency", request, toxics.Attributes{"latency": 60_000})
		o := s.run(context.Background(), c, req, heal)

		require.True(t, silent(o.sent[0].err), "the toxic: %v", o.sent[0].err)
		assert.Equal(t, 1, o.received)
		if !o.sent[0].conn {
			o.isRepeated()
		} else {
			o.isRecovered()
		}
	})
}
