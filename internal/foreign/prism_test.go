package foreign

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// validator is a running Prism in front of the gateway.
type validator struct {
	*site
	url   string
	log   logBuffer
	hold  io.Closer // it runs until this is closed
	ended chan struct{}
}

// logBuffer may be read while it is written to.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// pass makes a request with curl that Prism must have no fault to find with.
func (v *validator) pass(method, path, body string, status int) answer {
	v.t.Helper()
	base := strings.Replace(v.base(), v.URL(), v.url, 1)
	got := v.curl(method, base+path, v.Token(), body)
	require.Equal(v.t, status, got.status, "%s", got.body)
	assert.Empty(v.t, got.header.Get("sl-violations"), "%s %s", method, path)
	return got
}

// startValidator starts a gateway, and Prism in front of it. Both end with the
// test.
func startValidator(t *testing.T) *validator {
	t.Helper()
	need(t, "curl")
	v := &validator{site: newSite(t, "prism")}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Prism says:\n%s", v.log.String())
		}
	})
	// Between finding a free port and listening on it, somebody else may take
	// it.
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := l.Addr().String()
		l.Close()
		v.url = "http://" + address
		if v.start(address) {
			return v
		}
	}
	t.Fatal("Prism does not start")
	return nil
}

func (v *validator) start(address string) bool {
	_, port, err := net.SplitHostPort(address)
	require.NoError(v.t, err)
	prism := exec.Command("./clients.sh", "prism", "openapi.yaml", port, v.URL())
	prism.Stdout, prism.Stderr = &v.log, &v.log
	v.hold, err = prism.StdinPipe()
	require.NoError(v.t, err)
	require.NoError(v.t, prism.Start())
	ended := make(chan struct{})
	v.ended = ended
	go func() {
		defer close(ended)
		_ = prism.Wait() // its log says how it ended
	}()
	v.t.Cleanup(func() {
		v.hold.Close()
		<-ended
	})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if strings.Contains(v.log.String(), "Prism is listening on "+v.url) {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

// client makes a client of the gateway behind Prism.
func (v *validator) client() *apig.Client {
	v.t.Helper()
	transport := &http.Transport{}
	v.t.Cleanup(transport.CloseIdleConnections)
	c, err := apig.New(apig.Config{
		Endpoint:   v.url,
		ProjectID:  v.ProjectID(),
		InstanceID: v.InstanceID(),
		Auth:       apig.StaticToken(v.Token()),
		HTTPClient: &http.Client{Transport: &strict{transport, v.t}},
		Retry:      apig.RetryPolicy{MaxAttempts: 1, SettleWait: time.Millisecond},
	})
	require.NoError(v.t, err)
	return c
}

// strict is a transport that fails the test when Prism finds fault with a
// request or an answer.
type strict struct {
	http.RoundTripper
	t *testing.T
}

func (s *strict) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		assert.Empty(s.t, resp.Header.Get("sl-violations"), "%s %s", r.Method, r.URL.Path)
		assert.NotEqual(s.t, "application/problem+json", resp.Header.Get("Content-Type"), "%s %s", r.Method, r.URL.Path)
	}
	return resp, err
}

// faultFound is what Prism logs of a violation.
var faultFound = regexp.MustCompile(`(?i)violation|terminated with error|unable to match`)

// TestPrism takes the lifecycle of a publication through Prism with apig: each
// request and each answer is held against the documentation. The errors that
// the gateway answers with are, too.
func TestPrism(t *testing.T) {
	t.Parallel()
	v := startValidator(t)
	c := v.client()
	ctx := context.Background()
	var changes []change
	note := func(op, apiID, versionID string) { changes = append(changes, change{op, apiID, versionID}) }
	request := apig.ActionRequest{APIID: v.orders, EnvID: apig.EnvRelease, Remark: "Веб 版 1.4.2"}
	publish := func() string {
		t.Helper()
		rec, err := c.Publish(ctx, request)
		require.NoError(t, err)
		note("online", rec.APIID, rec.VersionID)
		return rec.VersionID
	}
	offline := func() {
		t.Helper()
		rec, err := c.Offline(ctx, request)
		require.NoError(t, err)
		note("offline", rec.APIID, "")
	}
	batch := func(op string, call func(context.Context, apig.BatchRequest) (*apig.BatchResult, error)) (versions []string) {
		t.Helper()
		const missing = "abd9c4b2ff974888b0ba79be7e6b2762"
		result, err := call(ctx, apig.BatchRequest{APIIDs: []string{v.orders, v.users, missing}, EnvID: apig.EnvRelease})
		require.ErrorIs(t, err, apig.ErrNotFound)
		require.Len(t, result.Items, 3)
		for _, item := range result.Items[:2] {
			require.NoError(t, item.Err)
			note(op, item.APIID, item.Record.VersionID)
			versions = append(versions, item.Record.VersionID)
		}
		return versions
	}

	first := publish()
	publish()
	_, err := c.SwitchVersion(ctx, v.orders, first)
	require.NoError(t, err)
	note("switch", v.orders, first)
	kept := 0
	for version, err := range c.Versions(ctx, apig.VersionQuery{APIID: v.orders}) {
		require.NoError(t, err)
		assert.Equal(t, request.Remark, version.Remark)
		kept++
	}
	assert.Equal(t, 2, kept)
	published, err := c.Published(ctx, v.orders, apig.EnvRelease)
	require.NoError(t, err)
	assert.Equal(t, first, published.ID)
	_, err = c.RuntimeDefinition(ctx, v.orders, apig.EnvRelease)
	require.NoError(t, err)
	_, err = c.VersionDefinition(ctx, first)
	require.NoError(t, err)
	for _, err := range c.Environments(ctx, apig.EnvironmentQuery{}) {
		require.NoError(t, err)
	}
	for _, err := range c.APIs(ctx, apig.APIQuery{}) {
		require.NoError(t, err)
	}

	third := batch("online", c.PublishBatch)[0]
	_, err = c.OfflineVersion(ctx, v.orders, third)
	require.NoError(t, err)
	note("offline-version", v.orders, third)
	publish()
	batch("offline", c.OfflineBatch)
	publish()
	offline()
	v.requireLifecycle(changes)

	// What apig has no method for.
	v.pass("GET", "/apis/"+v.orders, "", 200)
	v.pass("GET", "/apis/abd9c4b2ff974888b0ba79be7e6b2762", "", 404)
	var environment struct{ ID string }
	require.NoError(t, json.Unmarshal(v.pass("POST", "/envs", `{"name":"DEV"}`, 201).body, &environment))
	v.pass("DELETE", "/envs/"+environment.ID, "", 204)
	v.pass("DELETE", "/envs/"+environment.ID, "", 404)

	for _, wrong := range []struct {
		want error
		call func() error
	}{
		{apig.ErrNotFound, func() error {
			_, err := c.Publish(ctx, apig.ActionRequest{APIID: "abd9c4b2ff974888b0ba79be7e6b2762", EnvID: apig.EnvRelease})
			return err
		}},
		{apig.ErrNotFound, func() error {
			_, err := c.Publish(ctx, apig.ActionRequest{APIID: v.orders, EnvID: "nowhere"})
			return err
		}},
		{apig.ErrNotPublished, func() error { _, err := c.RuntimeDefinition(ctx, v.orders, apig.EnvRelease); return err }},
		{apig.ErrNotFound, func() error { _, err := c.SwitchVersion(ctx, v.orders, "abd9c4b2ff974888b0ba79be7e6b2762"); return err }},
		{apig.ErrNotFound, func() error { _, err := c.VersionDefinition(ctx, "abd9c4b2ff974888b0ba79be7e6b2762"); return err }},
		{apig.ErrUnauthorized, func() error {
			v.Inject(apigtest.ExpireToken())
			_, err := c.Publish(ctx, request)
			return err
		}},
	} {
		require.ErrorIs(t, wrong.call(), wrong.want)
	}
	assert.Len(t, v.Journal(), len(changes), "errors change nothing")
	assert.NotRegexp(t, faultFound, v.log.String())
	assert.NotContains(t, v.log.String(), v.Token())
}

// TestPrismFindsFaults shows that Prism would notice: a request that the
// documentation does not allow never reaches the gateway, and an answer that it
// does not allow is not passed on.
func TestPrismFindsFaults(t *testing.T) {
	t.Parallel()
	v := startValidator(t)
	base := strings.Replace(v.base(), v.URL(), v.url, 1)
	good := `{"action":"online","env_id":"` + release + `","api_id":"` + v.orders + `"}`

	for _, body := range []string{
		`{}`,
		strings.Replace(good, "online", "publish", 1),
		strings.Replace(good, "api_id", "API_ID", 1),
		strings.Replace(good, "{", `{"force":true,`, 1),
		strings.Replace(good, "{", `{"remark":"`+strings.Repeat("x", 256)+`",`, 1),
	} {
		got := v.curl("POST", base+"/apis/action", v.Token(), body)
		assert.Equal(t, http.StatusUnprocessableEntity, got.status, "%s", body)
	}
	require.Empty(t, v.Requests())

	for _, lie := range []struct{ from, to string }{
		{`"publish_time":"`, `"publish_time":"on `},
		{`"version_id"`, `"VersionID"`},
		{`"env_id":"` + release + `"`, `"env_id":1`},
	} {
		v.Inject(apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
			changed := bytes.Replace(body, []byte(lie.from), []byte(lie.to), 1)
			if bytes.Equal(body, changed) {
				panic(errors.New("nothing to replace in " + string(body)))
			}
			return status, changed
		}})
		got := v.curl("POST", base+"/apis/action", v.Token(), good)
		assert.Equal(t, http.StatusInternalServerError, got.status, "%s", lie.to)
		assert.Contains(t, string(got.body), "#VIOLATIONS")
	}
	v.Inject(apigtest.Answer(http.StatusTeapot, `{"error_code":"APIG.9999","error_msg":"System error"}`))
	got := v.curl("POST", base+"/apis/action", v.Token(), good)
	assert.Contains(t, got.header.Get("sl-violations"), "status code")
	assert.Regexp(t, faultFound, v.log.String())
}
