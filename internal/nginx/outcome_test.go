package nginx

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
)

// report is what the client is to make of a call that went wrong, and the
// number of requests that it may send for that.
type report struct {
	name  string
	posts int
}

var (
	repeated  = report{"repeated", 2}  // a record, from the answer to the second request
	recovered = report{"recovered", 1} // a record, from the history
	unknown   = report{"unknown", 1}   // ErrOutcomeUnknown
)

// TestOutcome lets the gateway behind nginx fail at each point of a call. All
// the client gets to see is a page of nginx's, or half an answer.
func TestOutcome(t *testing.T) {
	const (
		awhile = 300 * time.Millisecond
		late   = 600 * time.Millisecond // the last look is after a second: twice SettleWait
	)
	const (
		noAnswer = "prematurely closed connection while reading response header"
		cutShort = "prematurely closed connection while reading upstream"
		timeout  = "upstream timed out"
	)
	tests := []struct {
		name   string
		strike func(*upstream)
		logged string // by nginx
		status int
		want   report
	}{
		{"dies before applying", func(u *upstream) { u.dieBefore(awhile) }, noAnswer, 502, repeated},
		{"dies after applying", func(u *upstream) { u.dieAfter(awhile) }, noAnswer, 502, recovered},
		{"dies while answering", func(u *upstream) { u.dieAnswering(awhile) }, cutShort, 201, recovered},
		{"dies for good before applying", func(u *upstream) { u.dieBefore(never) }, noAnswer, 502, unknown},
		{"dies for good after applying", func(u *upstream) { u.dieAfter(never) }, noAnswer, 502, unknown},
		{"hangs and applies soon after", func(u *upstream) { u.hang(awhile) }, timeout, 504, recovered},
		{"hangs and applies late", func(u *upstream) { u.hang(late) }, timeout, 504, recovered},
		{"hangs and never applies", func(u *upstream) { u.hang(never) }, timeout, 504, repeated},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			everyWay(t, func(t *testing.T, proto protocol, c change) {
				s := set(t, proto, "proxy_read_timeout 1s;")
				client := s.client(func(cfg *apig.Config) {
					if test.want == unknown {
						inVain(cfg)
					}
				})
				req := s.publish(client)

				test.strike(s.upstream)
				rec, err := s.run(c, client, req)

				s.finish(test.logged, test.want.posts, err)
				assert.Equal(t, test.status, s.lines()[s.sent].status)
				if test.want != unknown {
					require.NoError(t, err)
					assert.Equal(t, test.want == recovered, rec.Recovered)
					return
				}
				require.ErrorIs(t, err, apig.ErrOutcomeUnknown)
				var page *apig.APIGError
				require.ErrorAs(t, err, &page)
				assert.Equal(t, test.status, page.StatusCode)
			})
		})
	}
}
