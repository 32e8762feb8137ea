package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/examples/internal/demo"
)

func TestAllArePublished(t *testing.T) {
	site := demo.BuiltIn(3)
	t.Cleanup(site.Close)
	site.Inject(apigtest.ApplyThenClose().On(apigtest.OpBatch)) // one request, applied, its answer lost
	require.NoError(t, run(site.Config, site.APIIDs))
	for _, id := range site.APIIDs {
		assert.Len(t, site.Gateway.History(id, apig.EnvRelease), 1)
	}
}

func TestNoneIsPublished(t *testing.T) {
	site := demo.BuiltIn(3)
	t.Cleanup(site.Close)
	g := site.Gateway
	earlier, err := g.Publish(site.APIIDs[0], apig.EnvRelease, "1.4.1")
	require.NoError(t, err)
	g.RemoveAPI(site.APIIDs[2])

	err = run(site.Config, site.APIIDs)
	require.ErrorIs(t, err, apig.ErrNotFound)
	assert.NotContains(t, err.Error(), "not put back")

	current, published := g.Published(site.APIIDs[0], apig.EnvRelease)
	require.True(t, published)
	assert.Equal(t, earlier.ID, current.ID, "the earlier version is in effect again")
	_, published = g.Published(site.APIIDs[1], apig.EnvRelease)
	assert.False(t, published, "an API that was offline is offline again")
}
