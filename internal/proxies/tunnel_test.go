package proxies

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// apiVariable names the API that a process started by a test is to publish.
const apiVariable = "APIG_TEST_API_ID"

func startedByTest() bool { return os.Getenv(apiVariable) != "" }

// told is what such a process prints.
type told struct {
	Published, Offline *apig.PublishRecord
	Err                string
}

// publishFromEnvironment publishes the API and takes it offline, as a program
// that knows nothing of proxies.
func publishFromEnvironment() {
	var t told
	if err := t.publish(); err != nil {
		t.Err = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(t) // the test misses it
}

func (t *told) publish() error {
	cfg, err := apig.ConfigFromEnv()
	if err != nil {
		return err
	}
	client, err := apig.New(cfg)
	if err != nil {
		return err
	}
	req := apig.ActionRequest{APIID: os.Getenv(apiVariable), EnvID: apig.EnvRelease}
	if t.Published, err = client.Publish(context.Background(), req); err != nil {
		return err
	}
	t.Offline, err = client.Offline(context.Background(), req)
	return err
}

// TestEnvironmentProxy runs a program that finds the proxy and who has signed
// the gateway's certificate in its environment, and tells apig nothing of
// either.
func TestEnvironmentProxy(t *testing.T) {
	t.Parallel()
	o := startOutlet(t, http2, authenticated)
	o.authenticate()
	req := o.addAPI()
	roots := filepath.Join(o.dir, "roots.pem")
	o.write("roots.pem", o.certificate)
	program := exec.Command(os.Args[0])
	program.Env = []string{
		"HTTPS_PROXY=" + o.proxy.String(),
		"SSL_CERT_FILE=" + roots,
		"APIG_ENDPOINT=" + o.endpoint,
		"APIG_INSTANCE_ID=" + o.gateway.InstanceID(),
		"HW_PROJECT_ID=" + o.gateway.ProjectID(),
		"HW_AUTH_TOKEN=" + o.gateway.Token(),
		apiVariable + "=" + req.APIID,
	}
	output, err := program.Output()
	require.NoError(t, err)
	o.end([]string{"200"}) // one tunnel for all requests

	var got told
	require.NoError(t, json.Unmarshal(output, &got), "%s", output)
	require.Empty(t, got.Err)
	journal := o.gateway.Journal()
	require.Len(t, journal, 2)
	assert.Equal(t, journal[0].VersionID, got.Published.VersionID)
	assert.Equal(t, apigtest.ActionOffline, journal[1].Action)
	assert.Equal(t, req.APIID, got.Offline.APIID)
	o.leaksNothing()
}

// TestTunnel has a connection through squid end in each way in which it can:
// the gateway or squid closes it, before or after the request took effect.
func TestTunnel(t *testing.T) {
	t.Parallel()
	const idle = "read_timeout 3 seconds" // squid closes tunnels that have been silent for that long
	tests := []struct {
		name  string
		fault apigtest.Fault
		posts int
		is    func(*testing.T, *apig.PublishRecord, error)
	}{
		{"closed before applying", apigtest.CloseBefore(), 2, requireRepeated},
		{"closed after applying", apigtest.ApplyThenClose(), 1, requireRecovered},
		{"reset after applying", apigtest.Fault{Apply: apigtest.ApplyFirst, End: apigtest.EndReset}, 1, requireRecovered},
		{"broken off", apigtest.Cut(0), 1, requireRecovered},
		{"silent and never applied", apigtest.Hang(), 2, requireRepeated},
		{"silent and applied", apigtest.Fault{Apply: apigtest.ApplyFirst, End: apigtest.EndHang}, 1, requireRecovered},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			everyWay(t, func(t *testing.T, proto protocol, c change) {
				o := startOutlet(t, proto, idle)
				client := o.client(nil)
				req := o.publish(client)

				o.gateway.Inject(test.fault.On(apigtest.OpAction))
				rec, err := o.run(c, client, context.Background(), req)

				o.finish(test.posts, err)
				test.is(t, rec, err)
				assert.Equal(t, 1, o.gateway.Struck())
			})
		})
	}
}

// TestProxyDies kills squid while the gateway is at work on a request. It comes
// back, or does not.
func TestProxyDies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		apply apigtest.Apply
		back  bool
		posts int
		is    func(*testing.T, *apig.PublishRecord, error)
	}{
		{"before applying", apigtest.ApplyNever, true, 2, requireRepeated},
		{"after applying", apigtest.ApplyFirst, true, 1, requireRecovered},
		{"for good before applying", apigtest.ApplyNever, false, 1, requireUnknown},
		{"for good after applying", apigtest.ApplyFirst, false, 1, requireUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			everyWay(t, func(t *testing.T, proto protocol, c change) {
				o := startOutlet(t, proto, "")
				client := o.client(nil)
				req := o.publish(client)

				o.gateway.Inject(apigtest.Fault{Op: apigtest.OpAction, Apply: test.apply, End: apigtest.EndHang})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if !test.back {
					ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
					defer cancel()
				}
				var rec *apig.PublishRecord
				var err error
				meanwhile(func() { rec, err = o.run(c, client, ctx, req) }, func() {
					await(t, "the request", func() bool { return o.gateway.Struck() > 0 })
					o.kill()
					if test.back {
						require.True(t, o.open(), "squid comes back")
					}
				})

				o.finish(test.posts, err)
				test.is(t, rec, err)
			})
		})
	}
}
