package apigtest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

func TestHistory(t *testing.T) {
	at := time.Date(2020, 8, 3, 1, 36, 0, 592970615, time.UTC)
	f := start(t, apigtest.WithClock(func() time.Time { return at }))
	path := "/apis/publish/" + f.api
	assert.Empty(t, f.call("GET", path, "").rows("api_versions"))

	dev := f.AddEnvironment("DEV")
	f.publish("one")
	f.do(f.action("online", f.api, dev, "two"))
	f.publish("three")

	rows := f.call("GET", path, "").rows("api_versions")
	require.Len(t, rows, 3)
	assert.Equal(t, []any{"three", "two", "one"}, []any{rows[0]["remark"], rows[1]["remark"], rows[2]["remark"]})
	assert.Equal(t, []any{1.0, 1.0, 2.0}, []any{rows[0]["status"], rows[1]["status"], rows[2]["status"]})
	v := f.History(f.api, dev)[0]
	assert.Equal(t, map[string]any{
		"version_id":   v.ID,
		"version_no":   "20200803093600",
		"api_id":       f.api,
		"env_id":       dev,
		"env_name":     "DEV",
		"remark":       "two",
		"publish_time": "2020-08-03T01:36:00Z",
		"status":       1.0,
	}, rows[1])

	for query, remarks := range map[string][]any{
		"?env_id=" + dev:                        {"two"},
		"?env_id=" + release:                    {"three", "one"},
		"?env_name=RELEASE":                     {"three", "one"},
		"?env_name=DEV&env_id=" + dev:           {"two"},
		"?env_name=DEV&env_id=" + release:       {},
		"?env_id=unknown":                       {},
		"?env_name=unknown":                     {},
		"?limit=1":                              {"three"},
		"?limit=1&offset=1":                     {"two"},
		"?env_id=" + release + "&limit=500":     {"three", "one"},
		"?env_id=" + release + "&offset=1":      {"one"},
		"?env_id=" + release + "&offset=2":      {},
		"?env_id=" + release + "&offset=999999": {},
	} {
		got := []any{}
		for _, row := range f.call("GET", path+query, "").rows("api_versions") {
			got = append(got, row["remark"])
		}
		assert.Equal(t, remarks, got, query)
	}

	f.do(f.action("offline", f.api, dev, ""))
	rows = f.call("GET", path+"?env_id="+dev, "").rows("api_versions")
	require.Len(t, rows, 1)
	assert.Equal(t, 2.0, rows[0]["status"])

	f.call("GET", path+"?env_name=%2F", "").refused(400, "APIG.2012", "parameterName:env_name")
	f.call("GET", path+"?env=x", "").refused(400, "APIG.2012", "parameterName:env")
	f.call("GET", path+"?limit=ten", "").refused(400, "APIG.2012", "parameterName:limit")
	f.call("GET", path+"?offset=1.5", "").refused(400, "APIG.2012", "parameterName:offset")
	f.call("GET", "/apis/publish/unknown", "").refused(404, "APIG.3002", "API unknown does not exist")
}

func TestPaging(t *testing.T) {
	f := start(t)
	for n := range 600 {
		f.AddEnvironment(fmt.Sprintf("ENV_%03d", n))
	}
	for query, want := range map[string]struct {
		size  int
		first string
	}{
		"":                               {20, "RELEASE"},
		"?limit=0":                       {20, "RELEASE"},
		"?limit=-7":                      {20, "RELEASE"},
		"?limit=1":                       {1, "RELEASE"},
		"?limit=500":                     {500, "RELEASE"},
		"?limit=501":                     {500, "RELEASE"},
		"?limit=9223372036854775807":     {500, "RELEASE"},
		"?offset=-1":                     {20, "RELEASE"},
		"?offset=1":                      {20, "ENV_000"},
		"?offset=590":                    {11, "ENV_589"},
		"?offset=601":                    {0, ""},
		"?offset=9223372036854775807":    {0, ""},
		"?offset=1&limit=500":            {500, "ENV_000"},
		"?name=ENV_59&offset=5&limit=20": {5, "ENV_595"},
	} {
		res := f.call("GET", "/envs"+query, "")
		rows := res.rows("envs")
		require.Len(t, rows, want.size, query)
		if want.size > 0 {
			assert.Equal(t, want.first, rows[0]["name"], query)
		}
		if query != "?name=ENV_59&offset=5&limit=20" {
			assert.Equal(t, 601.0, res.json()["total"], query)
		} else {
			assert.Equal(t, 10.0, res.json()["total"], query)
		}
	}
	f.call("GET", "/envs?offset=9223372036854775808", "").refused(400, "APIG.2012", "parameterName:offset")
}

func TestSwitch(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 5, time.UTC)
	f := start(t, apigtest.WithClock(func() time.Time { return at }))
	one := f.publish("one").json()
	f.publish("two")
	f.SetClock(func() time.Time { return at.Add(time.Hour) })
	path := "/apis/publish/" + f.api
	body := fmt.Sprintf(`{"version_id":%q}`, one["version_id"])

	res := f.call("PUT", path, body)
	require.Equal(t, 200, res.status)
	one["publish_time"] = "2026-01-01T01:00:00.000000005Z"
	assert.Equal(t, one, res.json())
	v, _ := f.Published(f.api, release)
	assert.Equal(t, one["version_id"], v.ID)
	assert.Equal(t, at, v.Time, "the version is as old as before")
	history := f.History(f.api, release)
	assert.Equal(t, []bool{false, true}, []bool{history[0].InEffect, history[1].InEffect})
	last := f.Journal()[2]
	assert.Equal(t, apigtest.ActionSwitch, last.Action)
	assert.Equal(t, v.ID, last.VersionID)
	assert.Equal(t, apigtest.OpSwitch, last.Request.Op)

	f.do(f.action("offline", f.api, release, ""))
	assert.Equal(t, 200, f.call("PUT", path, body).status, "also back online")

	f.call("PUT", path, "").refused(400, "APIG.2011", "parameterName:Content-Type")
	r := f.request("PUT", path, "")
	r.Header.Set("Content-Type", "application/json")
	f.do(r).refused(400, "APIG.2000", "Parameter error: Serialization error: unexpected end of JSON input")
	f.call("PUT", path, `{}`).refused(400, "APIG.2011", "parameterName:version_id")
	f.call("PUT", path, `{"version_id":"v"}`).refused(404, "APIG.3022", "The API version does not exist,id:v")
	f.call("PUT", path+"?x=1", body).refused(400, "APIG.2012", "parameterName:x")
	f.call("PUT", "/apis/publish/unknown", body).refused(404, "APIG.3002", "unknown")
	other := f.AddAPI("other")
	f.call("PUT", "/apis/publish/"+other, body).refused(404, "APIG.3022", v.ID)
}

func TestPublishAfterASwitchKeepsTen(t *testing.T) {
	f := start(t)
	for n := range 10 {
		f.publish(fmt.Sprint(n))
	}
	oldest := f.History(f.api, release)[9].ID
	require.Equal(t, 200, f.call("PUT", "/apis/publish/"+f.api, `{"version_id":"`+oldest+`"}`).status)
	f.publish("new")
	history := f.History(f.api, release)
	require.Len(t, history, 10)
	assert.True(t, history[0].InEffect)
	assert.Equal(t, "new", history[0].Remark)
	f.call("GET", "/apis/versions/"+oldest, "").refused(404, "APIG.3022", oldest)
}

func TestOfflineVersion(t *testing.T) {
	f := start(t)
	one := f.publish("one").json()["version_id"].(string)
	two := f.publish("two").json()["version_id"].(string)

	f.call("DELETE", "/apis/versions/"+one, "").refused(404, "APIG.3022", one)
	f.call("DELETE", "/apis/versions/"+two+"?x=1", "").refused(400, "APIG.2012", "parameterName:x")
	res := f.call("DELETE", "/apis/versions/"+two, "")
	assert.Equal(t, 204, res.status)
	assert.Empty(t, res.body)
	assert.Empty(t, res.header.Get("Content-Type"))
	_, ok := f.Published(f.api, release)
	assert.False(t, ok)
	f.call("DELETE", "/apis/versions/"+two, "").refused(404, "APIG.3022", two)
	f.call("DELETE", "/apis/versions/unknown", "").refused(404, "APIG.3022", "unknown")

	last := f.Journal()[2]
	assert.Equal(t, apigtest.ActionOfflineVersion, last.Action)
	assert.Equal(t, two, last.VersionID)
}

func TestVersionDetail(t *testing.T) {
	at := time.Date(2020, 8, 3, 1, 36, 0, 592970615, time.UTC)
	f := start(t, apigtest.WithClock(func() time.Time { return at }))
	id := f.publish("one").json()["version_id"].(string)
	f.publish("two")
	d := f.call("GET", "/apis/versions/"+id, "").json()
	assert.Equal(t, id, d["version_id"])
	assert.Equal(t, "2020-08-03T01:36:00Z", d["publish_time"])
	assert.Equal(t, f.api, d["id"])
	assert.Equal(t, "orders", d["name"])
	assert.Equal(t, release, d["run_env_id"])
	assert.Equal(t, "RELEASE", d["run_env_name"])
	assert.NotContains(t, d, "publish_id")

	f.call("GET", "/apis/versions/unknown", "").refused(404, "APIG.3022", "The API version does not exist,id:unknown")
	f.call("GET", "/apis/versions/"+id+"?x=1", "").refused(400, "APIG.2012", "parameterName:x")
}

func TestRuntime(t *testing.T) {
	f := start(t)
	path := "/apis/runtime/" + f.api
	f.call("GET", path, "").refused(404, "APIG.3015", f.api)
	f.publish("")
	dev := f.AddEnvironment("DEV")
	f.call("GET", path+"?env_id="+dev, "").refused(404, "APIG.3015", f.api)
	f.do(f.action("online", f.api, dev, ""))

	v, _ := f.Published(f.api, release)
	d := f.call("GET", path, "").json()
	domain := d["group_id"].(string) + ".apic.example.com"
	assert.Equal(t, []any{f.api, "orders", "V0.0.1", 1.0, "HTTPS", "GET", "/orders", "NONE"}, []any{
		d["id"], d["name"],
		d["version"], d["type"], d["req_protocol"], d["req_method"], d["req_uri"], d["auth_type"],
	})
	assert.Equal(t, []any{release, "RELEASE", v.PublishID, domain, []any{domain}},
		[]any{d["run_env_id"], d["run_env_name"], d["publish_id"], d["sl_domain"], d["sl_domains"]})
	assert.NotContains(t, d, "version_id", "not documented")
	assert.NotContains(t, d, "publish_time", "not documented")

	d = f.call("GET", path+"?env_id="+dev, "").json()
	assert.Equal(t, "DEV", d["run_env_name"])
	f.call("GET", path+"?env_id=unknown", "").refused(404, "APIG.3003", "unknown")
	f.call("GET", path+"?x=1", "").refused(400, "APIG.2012", "parameterName:x")
	f.call("GET", "/apis/runtime/unknown", "").refused(404, "APIG.3002", "API unknown does not exist")
}
