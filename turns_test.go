package apig

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// A group is published while a publication of one of its members is lost. The
// version that the group made is reported to its caller, and to nobody else.
func TestGroupVersionIsNotTakenForAnothers(t *testing.T) {
	t.Parallel()
	g := apigtest.NewGateway()
	defer g.Close()
	group := g.AddGroup("shop")
	member := g.AddAPIIn(group, "orders")
	c, err := New(Config{
		Endpoint: g.URL(), ProjectID: g.ProjectID(), InstanceID: g.InstanceID(), Auth: StaticToken(g.Token()),
		Retry: RetryPolicy{MaxAttempts: 1, SettleWait: 400 * time.Millisecond},
	})
	require.NoError(t, err)
	defer c.CloseIdleConnections()
	ctx := context.Background()

	// The group is sent as soon as the single publication is lost, and applied
	// before that is looked for.
	lost := make(chan struct{})
	g.Inject(apigtest.CloseBefore().On(apigtest.OpAction).When(func(*apigtest.Request) bool { close(lost); return true }))
	var (
		wg     sync.WaitGroup
		result *BatchResult
		failed error
	)
	wg.Add(1)
	go func() {
		defer wg.Done()
		<-lost
		result, failed = c.PublishBatch(ctx, BatchRequest{GroupID: group, EnvID: EnvRelease, Remark: "r"})
	}()
	record, err := c.Publish(ctx, ActionRequest{APIID: member, EnvID: EnvRelease, Remark: "r"})
	wg.Wait()

	require.NoError(t, failed)
	require.Len(t, result.Items, 1)
	require.Len(t, g.Journal(), 1)
	assert.Equal(t, g.Journal()[0].VersionID, result.Items[0].Record.VersionID)
	assert.Nil(t, record, "the version of the group")
	assert.Error(t, err)
	assert.Empty(t, c.turns.groups, "nothing is left of the group")
}

// A group of unknown outcome is remembered for a while.
func TestGroupOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	turns := newTurns()
	now := time.Now()
	g := turns.beginGroup("i", "env", " r ")
	assert.True(t, turns.groupOpen("i", "env", "r", now))
	assert.False(t, turns.groupOpen("other", "env", "r", now))
	assert.False(t, turns.groupOpen("i", "other", "r", now))
	assert.False(t, turns.groupOpen("i", "env", "other", now))
	turns.endGroup(g, false, time.Second)
	assert.True(t, turns.groupOpen("i", "env", "r", now.Add(remembered)))
	assert.False(t, turns.groupOpen("i", "env", "r", now.Add(remembered+2*time.Second)))
	g.end = now.Add(-time.Second)
	next := turns.beginGroup("i", "env", "next")
	assert.Equal(t, []*openGroup{next}, turns.groups)
	turns.endGroup(next, true, time.Second)
	assert.Empty(t, turns.groups)
}
