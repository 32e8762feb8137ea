package toxiproxy

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	toxics "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDeadConnection silences the connection that the client keeps, while a new
// one would be fine: so it is when a load balancer forgets a connection. Over
// HTTP/1.1 a request that timed out takes its connection with it. Over HTTP/2
// all later requests would go into the dead one, those that settle included,
// if nobody told the transport to make sure that somebody is there.
func TestDeadConnection(t *testing.T) {
	for _, stream := range []string{request, answer} {
		t.Run(stream, func(t *testing.T) {
			each(t, []way{{kept: true}, {kept: true, http2: true}}, func(t *testing.T, w way, c change) {
				s := set(t, w, 2*time.Second)
				s.witness.transport.HTTP2 = &http.HTTP2Config{
					SendPingTimeout: 500 * time.Millisecond,
					PingTimeout:     500 * time.Millisecond,
				}
				_, direct, _ := strings.Cut(s.gateway.URL(), "://")
				var dials atomic.Int32
				s.witness.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if dials.Add(1) > 1 {
						addr = direct
					}
					return new(net.Dialer).DialContext(ctx, network, addr)
				}
				req := s.publish(w)
				s.poison("timeout", stream, toxics.Attributes{"timeout": 0})
				o := s.run(context.Background(), c, req, nil)

				require.Error(t, o.sent[0].err, "the toxic")
				require.GreaterOrEqual(t, o.sent[0].took, 500*time.Millisecond, "the toxic")
				assert.EqualValues(t, 2, dials.Load(), "connections")
				if stream == request {
					o.isRepeated()
				} else {
					o.isRecovered()
				}
			})
		})
	}
}
