package gateway

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRequestsAreRecordedAsReceived(t *testing.T) {
	f := start(t, at(documented))
	r := f.action("online", "r")
	r.Header.Set("X-Call-Id", "one")
	answer := f.do(r)
	f.call("GET", "/apis/publish/"+f.api+"?limit=3", "")
	f.call("GET", "/apis/runtime/abc%2Fdef", "")
	f.call("POST", "/apis/action", "{")

	got := f.Requests()
	require.Len(t, got, 4)
	first := got[0]
	assert.Equal(t, []any{1, documented, OpAction, "POST", "/v2/" + f.ProjectID() + "/apigw/instances/" + f.InstanceID() + "/apis/action",
		strings.TrimPrefix(f.URL(), "http://"), f.InstanceID(), f.api},
		[]any{first.Seq, first.Time, first.Op, first.Method, first.Path, first.Host, first.InstanceID, first.APIID})
	assert.Equal(t, "one "+f.Token(), first.Header.Get("X-Call-Id")+" "+first.Header.Get("X-Auth-Token"))
	assert.JSONEq(t, `{"action":"online","api_id":"`+f.api+`","env_id":"`+releaseID+`","remark":"r"}`, string(first.Body))
	assert.Regexp(t, "^[0-9a-f]{32}$", first.ID)
	assert.NotEqual(t, first.ID, got[1].ID)
	for name, want := range map[string]string{"Server": "api-gateway", "Content-Type": "application/json", "X-Request-Id": first.ID} {
		assert.Equal(t, want, answer.header.Get(name))
	}
	assert.Equal(t, []any{OpHistory, "3", f.api}, []any{got[1].Op, got[1].Query.Get("limit"), got[1].APIID})
	assert.Equal(t, "abc/def", got[2].APIID, "an escaped slash does not divide the path")
	assert.Empty(t, got[3].APIID)
	require.Len(t, f.Journal(), 1)
	assert.Equal(t, first, *f.Journal()[0].Request)
}

func TestOps(t *testing.T) {
	f := start(t)
	for request, want := range map[string]Op{
		"POST /apis/action": OpAction, "POST /apis/publish": OpBatch, "GET /apis/publish/a": OpHistory,
		"PUT /apis/publish/a": OpSwitch, "GET /apis/versions/v": OpVersion, "DELETE /apis/versions/v": OpOfflineVersion,
		"GET /apis/runtime/a": OpRuntime, "GET /envs": OpEnvironments,
		"GET /apis": OpAPIs, "GET /apis/a": OpAPI, "PATCH /apis": OpUnknown, "GET ": OpUnknown,
		"POST /v3/auth/tokens": OpToken, "GET /v3/auth/tokens": "validate-token", "GET /v3/auth/catalog": "catalog",
		"GET /v3/auth/projects": "projects", "GET /v3/projects": "projects", "GET /v3/auth/domains": "domains",
		"GET /v3": "identity-version", "GET /v3/": "identity-version",
	} {
		method, path, _ := strings.Cut(request, " ")
		f.call(method, path, "")
		requests := f.Requests()
		assert.Equal(t, want, requests[len(requests)-1].Op, request)
		assert.Contains(t, Ops(), want)
	}
	assert.Len(t, Ops(), 18)
}

func TestInstances(t *testing.T) {
	f := start(t, WithIDs("p1", "i1"))
	assert.Equal(t, []string{"p1", "i1"}, []string{f.ProjectID(), f.InstanceID()})
	other := f.AddInstance("p2", "")
	assert.Equal(t, "p2", other.ProjectID())
	assert.Same(t, other, f.AddInstance("p2", other.InstanceID()))

	api := other.AddAPI("orders")
	published, err := other.Publish(api, releaseID, "by hand")
	require.NoError(t, err)
	_, ok := f.Published(api, releaseID)
	assert.False(t, ok, "the API is the other instance's")
	assert.Equal(t, []Version{published}, other.History(api, releaseID))
	assert.Equal(t, other.InstanceID(), f.Journal()[0].InstanceID)

	assert.Len(t, f.call("GET", base(other)+"/apis/publish/"+api, "").column("api_versions", "status"), 1)
	f.call("GET", "/apis/publish/"+api, "").refused(404, "APIG.3002", "API "+api+" does not exist")
	f.call("GET", f.URL()+"/v2/p1/apigw/instances/unknown/apis", "").refused(404, "APIG.3030", "instance")
	f.call("GET", f.URL()+"/v2/p2/apigw/instances/i1/apis", "").refused(404, "APIG.3030", "instance")
}

func TestSeededIDsAreTheSameInEveryRun(t *testing.T) {
	run := func(noise int) []string {
		f := start(t, WithSeed(42))
		for range noise {
			assert.NotEqual(t, f.Token(), f.call("GET", "/envs", "").header.Get("X-Request-Id"))
		}
		v, err := f.Publish(f.api, releaseID, "")
		require.NoError(t, err)
		return []string{f.Token(), f.ProjectID(), f.InstanceID(), f.api, f.AddEnvironment("DEV"), v.ID, v.PublishID}
	}
	first := run(0)
	for _, id := range first {
		assert.Regexp(t, "^[0-9a-f]{32}$", id)
	}
	assert.Equal(t, first, run(3), "the number of requests must not matter")
	assert.NotEqual(t, first[0], start(t, WithSeed(43)).Token(), "another seed")
	assert.NotEqual(t, start(t).Token(), start(t).Token(), "unseeded")
}

func TestClockAndDate(t *testing.T) {
	f := start(t, at(documented.In(time.FixedZone("", 3600))))
	date := func() string { t.Helper(); return f.publish("").header.Get("Date") }
	assert.Equal(t, "Mon, 03 Aug 2020 01:36:00 GMT", date())
	f.SetDateSkew(-90 * time.Second)
	assert.Equal(t, "Mon, 03 Aug 2020 01:34:30 GMT", date())
	assert.Equal(t, "2020-08-03T01:36:00.592970615Z", f.publish("").json()["publish_time"])
	f.SetDateSkew(0)
	f.SetClock(nil)
	now, err := http.ParseTime(date())
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), now, time.Minute)
}

func TestTokens(t *testing.T) {
	now := new(atomic.Int64)
	f := start(t, WithClock(func() time.Time { return time.Unix(now.Load(), 0) }))
	f.AddToken("brief", time.Unix(60, 0))
	f.AddToken("for ever", time.Time{})
	ok := func(token string) { t.Helper(); assert.Equal(t, 200, f.withToken(token).status) }
	wrong := func(token string) {
		t.Helper()
		f.withToken(token).refused(401, "APIG.1002", "Incorrect token or token resolution failed")
	}
	wrong("")
	wrong("unknown")
	ok(f.Token())
	now.Store(59)
	ok("brief")
	now.Store(60)
	f.withToken("brief").refused(401, "APIG.1001", "expired")
	now.Store(1 << 40)
	ok("for ever")
	f.Inject(ExpireToken())
	f.withToken("for ever").refused(401, "APIG.1001", "expired")
	f.withToken("for ever").refused(401, "APIG.1001", "expired")
	ok(f.Token())
	f.RevokeToken("for ever")
	wrong("for ever")

	f.ValidateTokens(func(token string) bool { return token == "good" && f.Accepted() > 0 }) // it may call the gateway
	ok("good")
	wrong(f.Token())
	f.ValidateTokens(nil)
	ok(f.Token())
	wrong("good")

	r := f.request("POST", f.URL()+"/v2/p/apigw/instances/i/apis/action", "{")
	r.Header.Set("X-Auth-Token", "unknown")
	f.do(r).refused(401, "APIG.1002", "Incorrect token") // before anything else is looked at
}

// Reset undoes what clients have done, and nothing else.
func TestReset(t *testing.T) {
	f, _ := iamFixture(t)
	dev := f.AddEnvironment("DEV")
	f.AddToken("own", time.Time{})
	v, err := f.Publish(f.api, dev, "")
	require.NoError(t, err)
	issued := f.token(password).header.Get("X-Subject-Token")
	f.Inject(Busy(), ExpireToken())
	f.publish("")
	f.withToken("own").refused(401, "APIG.1001", "expired")
	f.Inject(Busy().Always())
	f.InjectFunc(Mix(1, 1, Busy()))

	f.Reset()
	assert.Empty(t, f.Requests())
	assert.Empty(t, f.Journal())
	assert.Zero(t, f.Struck())
	assert.Empty(t, f.History(f.api, dev))
	assert.Equal(t, 200, f.withToken("own").status)
	f.withToken(issued).refused(401, "APIG.1002", "Incorrect token")
	assert.Equal(t, []any{"RELEASE", "DEV"}, f.call("GET", "/envs", "").column("envs", "name"))
	f.call("GET", "/apis/versions/"+v.ID, "").refused(404, "APIG.3022", v.ID)
	assert.Equal(t, 201, f.publish("").status)
	assert.Equal(t, 1, f.Journal()[0].Seq)
	assert.Equal(t, f.Requests()[2:], f.requestsSince(2))
	assert.Equal(t, f.Journal(), f.JournalSince(-1))
	assert.Empty(t, f.JournalSince(100))

	// A request that began before a reset changes nothing after it.
	f.Inject(Fault{Do: func(*Request) { f.Reset() }, ExpireToken: true})
	f.publish("").refused(400, "APIG.2000", "was reset")
	assert.Empty(t, f.Journal())
	assert.Equal(t, 200, f.withToken(f.Token()).status)
}

func TestConcurrentWritersAreSerialized(t *testing.T) {
	f := start(t)
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				res, err := f.send(f.action("online", ""))
				assert.NoError(t, err)
				assert.Equal(t, 201, res.status)
				_, _ = f.Publish(f.api, releaseID, "by hand")
				_, _, _ = f.Requests(), f.Journal(), f.History(f.api, releaseID)
			}
		})
	}
	wg.Wait()
	journal := f.Journal()
	require.Len(t, journal, 2*writers*each)
	for n, a := range journal {
		assert.Equal(t, n+1, a.Seq)
		assert.False(t, n > 0 && a.Time.Before(journal[n-1].Time), "journal out of order")
	}
	v, _ := f.Published(f.api, releaseID)
	assert.Equal(t, journal[len(journal)-1].VersionID, v.ID, "the last one applied is in effect")
	for n, r := range f.Requests() {
		assert.Equal(t, n+1, r.Seq)
	}
}

func TestCloseClosesIdleConnections(t *testing.T) {
	f := start(t)
	f.publish("kept")
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL(), "http://"))
	require.NoError(t, err)
	defer conn.Close()
	eventually(t, "accepted", func() bool { return f.Connections() == 2 })
	f.Close()
	f.Close() // once more does no harm
	assert.Zero(t, f.Connections())
	_, err = f.send(f.action("online", ""))
	require.Error(t, err)
	v, _ := f.Published(f.api, releaseID)
	assert.Equal(t, "kept", v.Remark, "it can still be read")
}
