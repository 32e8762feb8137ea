package release

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// newClient returns a client of the gateway, for tests with and without a network.
func newClient(t *testing.T, g *apigtest.Gateway) *apig.Client {
	transport := g.Transport()
	t.Cleanup(transport.CloseIdleConnections)
	client, err := apig.New(apig.Config{
		Endpoint:   g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Auth:       apig.StaticToken(g.Token()),
		HTTPClient: &http.Client{Transport: transport},
	})
	require.NoError(t, err)
	return client
}

// Over real sockets: the gateway applies the request, and the answer is lost.
func TestLostAnswer(t *testing.T) {
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	id := g.AddAPI("orders")
	g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))

	version, err := Publish(t.Context(), newClient(t, g), id, "1.4.2")

	require.NoError(t, err)
	made := g.Journal()
	require.Len(t, made, 1, "published once")
	assert.Equal(t, made[0].VersionID, version)
}

// In virtual time: the gateway does not answer within Patience, and the test takes
// milliseconds. Start and close the gateway inside the bubble, without a network.
func TestGatewayHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := apigtest.NewGateway(apigtest.WithoutNetwork())
		t.Cleanup(g.Close)
		id := g.AddAPI("orders")
		g.Inject(apigtest.Hang().On(apigtest.OpAction))

		begun := time.Now()
		_, err := Publish(t.Context(), newClient(t, g), id, "1.4.2")

		assert.Equal(t, apig.NotApplied, apig.OutcomeOf(err), "Settle has found out: %v", err)
		assert.GreaterOrEqual(t, time.Since(begun), Patience)
		assert.Less(t, time.Since(begun), 2*Patience)
		assert.Empty(t, g.Journal())
	})
}
