package apig

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A dead HTTP/2 connection is given up well within the time of one attempt.
func TestOwnTransportPings(t *testing.T) {
	h2 := newTransport().HTTP2
	require.NotNil(t, h2)
	assert.NotZero(t, h2.SendPingTimeout)
	assert.NotZero(t, h2.PingTimeout)
	assert.LessOrEqual(t, h2.SendPingTimeout+h2.PingTimeout, defaultAttemptTimeout/2+time.Second)
}
