package apigtest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// poster is somebody's own code that is to be tested: it gives an attempt ten
// seconds, and after an answer of 429 waits a minute.
type poster struct {
	client *http.Client
	token  string
}

func (p *poster) post(ctx context.Context, url, body string) (status int, err error) {
	for range 3 {
		status, err = p.attempt(ctx, url, body)
		if err != nil || status != http.StatusTooManyRequests {
			return status, err
		}
		time.Sleep(time.Minute)
	}
	return status, nil
}

func (p *poster) attempt(ctx context.Context, url, body string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", p.token)
	res, err := p.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// The tests of it take no time, however long it waits: inside a bubble of
// testing/synctest the clock moves on as soon as everybody waits. The gateway
// has to be started and closed inside of it, and without a network, since
// waiting for a socket does not count.
func TestRetriesAndTimeouts(t *testing.T) {
	setUp := func(t *testing.T) (g *apigtest.Gateway, p *poster, url, body string) {
		g = apigtest.NewGateway(apigtest.WithoutNetwork())
		t.Cleanup(g.Close)
		transport := g.Transport()
		t.Cleanup(transport.CloseIdleConnections)
		p = &poster{&http.Client{Transport: transport}, g.Token()}
		url = g.URL() + "/v2/" + g.ProjectID() + "/apigw/instances/" + g.InstanceID() + "/apis/action"
		body = `{"action":"online","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"` + g.AddAPI("orders") + `"}`
		return g, p, url, body
	}

	t.Run("throttled twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g, p, url, body := setUp(t)
			g.Inject(apigtest.Throttle("60").Times(2))
			begun := time.Now()
			status, err := p.post(t.Context(), url, body)
			require.NoError(t, err)
			assert.Equal(t, 201, status)
			assert.Equal(t, 2*time.Minute, time.Since(begun))
			assert.Len(t, g.Journal(), 1, "published once")
		})
	})

	t.Run("no answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g, p, url, body := setUp(t)
			g.Inject(apigtest.Hang())
			begun := time.Now()
			_, err := p.post(t.Context(), url, body)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, 10*time.Second, time.Since(begun))
			assert.Empty(t, g.Journal())
		})
	})
}
