package apigtest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

func TestEnvironments(t *testing.T) {
	at := time.Date(2026, 7, 31, 6, 41, 43, 511347628, time.UTC)
	f := start(t, apigtest.WithClock(func() time.Time { return at }))
	dev := f.AddEnvironment("DEV")
	assert.Equal(t, dev, f.AddEnvironment("DEV"))
	assert.Equal(t, release, f.AddEnvironment("RELEASE"))

	rows := f.call("GET", "/envs", "").rows("envs")
	require.Len(t, rows, 2)
	assert.Equal(t, map[string]any{"create_time": "2026-07-31T06:41:43.511347628Z", "name": "RELEASE", "remark": "", "id": release}, rows[0])
	assert.Equal(t, dev, rows[1]["id"])
	assert.Len(t, f.call("GET", "/envs?name=DEV", "").rows("envs"), 1)
	assert.Len(t, f.call("GET", "/envs?name=E", "").rows("envs"), 2, "names match in part")
	assert.Empty(t, f.call("GET", "/envs?name=PROD", "").rows("envs"))
	f.call("GET", "/envs?id=x", "").refused(400, "APIG.2012", "parameterName:id")
}

func TestCreateEnvironment(t *testing.T) {
	f := start(t)
	res := f.call("POST", "/envs", `{"name":"DEV_2","remark":"Development"}`)
	require.Equal(t, 201, res.status)
	created := res.json()
	assert.Equal(t, "DEV_2", created["name"])
	assert.Equal(t, "Development", created["remark"])
	assert.Contains(t, f.call("GET", "/envs", "").rows("envs"), created)
	assert.Equal(t, 201, f.do(f.action("online", f.api, created["id"].(string), "")).status)

	f.call("POST", "/envs", `{"name":"DEV_2"}`).refused(400, "APIG.3205", "already exists")
	f.call("POST", "/envs", `{}`).refused(400, "APIG.2012", "parameterName:name")
	for _, name := range []string{"ab", "2DEV", "DE V", "DEV-2", "开发环境", strings.Repeat("x", 65)} {
		f.call("POST", "/envs", `{"name":"`+name+`"}`).refused(400, "APIG.2012", "parameterName:name")
	}
	f.call("POST", "/envs", `{"name":"DEV_3","remark":"`+strings.Repeat("r", 256)+`"}`).refused(400, "APIG.2012", "parameterName:remark")
	f.call("POST", "/envs?x=1", `{"name":"DEV_3"}`).refused(400, "APIG.2012", "parameterName:x")
	assert.Equal(t, 201, f.call("POST", "/envs", `{"name":"`+strings.Repeat("x", 64)+`"}`).status)
}

func TestAPIs(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 5, time.UTC)
	f := start(t, apigtest.WithClock(func() time.Time { return at }))
	group := f.AddGroup("shop")
	old := f.AddAPIIn(group, "orders_old")
	dev := f.AddEnvironment("DEV")
	f.publish("")
	f.SetClock(func() time.Time { return at.Add(time.Minute) })
	f.do(f.action("online", f.api, dev, ""))
	f.do(f.action("online", old, dev, ""))
	f.do(f.action("offline", old, dev, ""))

	for query, want := range map[string][]any{
		"":                                   {f.api, old},
		"?id=" + old:                         {old},
		"?name=orders":                       {f.api, old},
		"?name=old":                          {old},
		"?name=orders&precise_search=name":   {f.api},
		"?name=Orders":                       {},
		"?req_uri=/ord":                      {f.api, old},
		"?req_uri=/ord&precise_search=name":  {f.api, old},
		"?req_uri=/o&precise_search=req_uri": {},
		"?req_uri=/orders&name=orders&precise_search=name,req_uri": {f.api},
		"?group_id=" + group:                {old},
		"?env_id=" + dev:                    {f.api},
		"?env_id=unknown":                   {},
		"?req_method=GET&req_protocol=BOTH": {},
		"?req_method=GET&auth_type=NONE":    {f.api, old},
		"?type=1":                           {f.api, old},
		"?type=2":                           {},
		"?tags=%23no_tags%23":               {f.api, old},
		"?tags=web":                         {},
		"?vpc_channel_name=c":               {},
		"?return_data_mode=brief&limit=1":   {f.api},
		"?offset=1":                         {old},
	} {
		got := []any{}
		for _, row := range f.call("GET", "/apis"+query, "").rows("apis") {
			got = append(got, row["id"])
		}
		assert.Equal(t, want, got, query)
	}

	rows := f.call("GET", "/apis", "").rows("apis")
	v, _ := f.Published(f.api, release)
	w, _ := f.Published(f.api, dev)
	assert.Equal(t, dev+"|"+release, rows[0]["run_env_id"], "newest first")
	assert.Equal(t, "DEV|RELEASE", rows[0]["run_env_name"])
	assert.Equal(t, w.PublishID+"|"+v.PublishID, rows[0]["publish_id"])
	assert.Equal(t, "2026-01-01T00:01:00Z|2026-01-01T00:00:00Z", rows[0]["publish_time"])
	assert.Equal(t, "shop", rows[1]["group_name"])
	for _, name := range []string{"run_env_id", "run_env_name", "publish_id", "publish_time", "sl_domain", "version_id"} {
		assert.NotContains(t, rows[1], name)
	}

	f.call("GET", "/apis?nam=x", "").refused(400, "APIG.2012", "parameterName:nam")
	f.call("GET", "/apis?type=public", "").refused(400, "APIG.2012", "parameterName:type")
	f.call("GET", "/apis?name=%FF", "").refused(400, "APIG.2012", "parameterName:name")
}

func TestOneAPI(t *testing.T) {
	f := start(t)
	f.publish("")
	res := f.call("GET", "/apis/"+f.api, "")
	require.Equal(t, 200, res.status, res.body)
	assert.Equal(t, f.call("GET", "/apis?id="+f.api, "").rows("apis")[0], res.json())
	assert.Equal(t, release, res.json()["run_env_id"])
	f.call("GET", "/apis/unknown", "").refused(404, "APIG.3002", "API unknown does not exist")
	f.call("GET", "/apis/"+f.api+"?x=1", "").refused(400, "APIG.2012", "parameterName:x")
	requests := f.Requests()
	assert.Equal(t, f.api, requests[len(requests)-1].APIID)
}

func TestDeleteEnvironment(t *testing.T) {
	f := start(t)
	dev := f.AddEnvironment("DEV")
	v, err := f.Publish(f.api, dev, "")
	require.NoError(t, err)
	f.call("DELETE", "/envs/"+dev, "").refused(403, "APIG.3418", "published")
	f.call("DELETE", "/envs/"+release, "").refused(403, "APIG.1103", "environment")
	f.call("DELETE", "/envs/unknown", "").refused(404, "APIG.3003", "unknown")
	f.call("DELETE", "/envs/"+dev+"?x=1", "").refused(400, "APIG.2012", "parameterName:x")
	require.NoError(t, f.Offline(f.api, dev))

	res := f.call("DELETE", "/envs/"+dev, "")
	assert.Equal(t, 204, res.status)
	assert.Empty(t, res.body)
	assert.Len(t, f.call("GET", "/envs", "").rows("envs"), 1)
	f.call("GET", "/apis/versions/"+v.ID, "").refused(404, "APIG.3022", v.ID)
	f.do(f.action("online", f.api, dev, "")).refused(404, "APIG.3003", dev)
	assert.NotEqual(t, dev, f.AddEnvironment("DEV"), "another one of the same name")
	assert.Empty(t, f.call("GET", "/apis/publish/"+f.api, "").rows("api_versions"))
}
