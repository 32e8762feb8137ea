package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// documented is the time of the examples in the documentation.
var documented = time.Date(2020, 8, 3, 1, 36, 0, 592970615, time.UTC)

func at(now time.Time) gateway.Option {
	return gateway.WithClock(func() time.Time { return now })
}

// column is one member of each row.
func column(rows []map[string]any, name string) []any {
	all := []any{}
	for _, row := range rows {
		all = append(all, row[name])
	}
	return all
}

func TestPublish(t *testing.T) {
	f := start(t, at(documented))
	res := f.publish("数据 1.4.2")
	require.Equal(t, 201, res.status)
	v, ok := f.Published(f.api, release)
	require.True(t, ok)
	assert.Equal(t, map[string]any{
		"publish_id": v.PublishID, "api_id": f.api, "api_name": "orders", "env_id": release, "remark": "数据 1.4.2",
		"publish_time": "2020-08-03T01:36:00.592970615Z", "version_id": v.ID,
	}, res.json())
	assert.Equal(t, gateway.Version{
		ID: v.ID, Number: "20200803093600", PublishID: v.PublishID, APIID: f.api, EnvID: release,
		Remark: "数据 1.4.2", Time: documented, InEffect: true,
	}, v)

	again := f.publish("").json()
	assert.Equal(t, v.PublishID, again["publish_id"], "the same for all versions")
	assert.NotEqual(t, v.ID, again["version_id"], "every publish makes a version")
	assert.NotContains(t, again, "remark")
	history := f.History(f.api, release)
	require.Len(t, history, 2)
	assert.True(t, history[0].InEffect)
	v.InEffect = false
	assert.Equal(t, v, history[1])
	other := f.do(f.action("online", f.api, f.AddEnvironment("DEV"), "")).json()
	assert.NotEqual(t, v.PublishID, other["publish_id"], "another environment")
	assert.Equal(t, 201, f.publish(strings.Repeat("数", 255)).status)
}

func TestOffline(t *testing.T) {
	f := start(t)
	offline := func(remark string) result { return f.do(f.action("offline", f.api, release, remark)) }
	offline("").refused(404, "APIG.3015", f.api)
	f.publish("one")
	res := offline("bye")
	require.Equal(t, 201, res.status)
	assert.JSONEq(t, fmt.Sprintf(`{"api_id":%q,"api_name":"orders","env_id":%q,"remark":"bye",
		"publish_time":"0001-01-01T00:00:00Z"}`, f.api, release), res.body)
	_, ok := f.Published(f.api, release)
	assert.False(t, ok)
	history := f.History(f.api, release)
	require.Len(t, history, 1, "the history stays")
	assert.False(t, history[0].InEffect)
	offline("").refused(404, "APIG.3015", f.api)
}

func TestTenVersionsAreKept(t *testing.T) {
	f := start(t)
	first := f.publish("0").json()["version_id"].(string)
	for n := range 12 {
		if n == 9 { // the one that goes is in effect
			require.Equal(t, 200, f.call("PUT", "/apis/publish/"+f.api, `{"version_id":"`+first+`"}`).status)
		}
		f.publish(fmt.Sprint(n + 1))
	}
	history := f.History(f.api, release)
	require.Len(t, history, 10)
	for n, v := range history {
		assert.Equal(t, fmt.Sprint(12-n), v.Remark)
		assert.Equal(t, n == 0, v.InEffect)
	}
	f.call("GET", "/apis/versions/"+first, "").refused(404, "APIG.3022", first)
	f.call("PUT", "/apis/publish/"+f.api, `{"version_id":"`+first+`"}`).refused(404, "APIG.3022", first)
	journal := f.Journal()
	require.Len(t, journal, 14, "the journal forgets nothing")
	for n, a := range journal {
		assert.Equal(t, n+1, a.Seq)
		assert.Equal(t, f.Requests()[n].Seq, a.Request.Seq)
	}
	assert.Equal(t, first, journal[0].VersionID)
	assert.Equal(t, gateway.ActionSwitch, journal[10].Action)
}

func TestChangesBySomebodyElse(t *testing.T) {
	f := start(t)
	v, err := f.Publish(f.api, release, "theirs")
	require.NoError(t, err)
	require.NoError(t, f.Offline(f.api, release))
	journal := f.Journal()
	require.Len(t, journal, 2)
	assert.Equal(t, []any{gateway.ActionOnline, "theirs", gateway.ActionOffline, v.ID}, []any{journal[0].Action, journal[0].Remark, journal[1].Action, journal[1].VersionID})
	assert.Nil(t, journal[0].Request)
	assert.Empty(t, f.Requests())
	assert.EqualError(t, f.Offline(f.api, release), "APIG.3015: The API publication record does not exist,id:"+f.api)
	_, err = f.Publish("a", release, "")
	assert.EqualError(t, err, "APIG.3002: API a does not exist")
	_, err = f.Publish(f.api, "e", "")
	assert.EqualError(t, err, "APIG.3003: Environment e does not exist")
	assert.Nil(t, f.History("a", release))

	f.RemoveAPI(f.api)
	f.RemoveAPI(f.api)
	f.publish("").refused(404, "APIG.3002", "API "+f.api+" does not exist")
	f.call("GET", "/apis/versions/"+v.ID, "").refused(404, "APIG.3022", v.ID)
	assert.Empty(t, f.call("GET", "/apis", "").rows("apis"))
}

func TestBatch(t *testing.T) {
	f := start(t)
	group := f.AddGroup("shop")
	second, third := f.AddAPIIn(group, "customers"), f.AddAPIIn(group, "stock")
	batch := func(action, what string) result {
		res := f.call("POST", "/apis/publish?action="+action, `{`+what+`,"env_id":"`+release+`","remark":"r"}`)
		require.Equal(t, 200, res.status, "even if everything fails: "+res.body)
		return res
	}
	list := fmt.Sprintf(`"apis":[%q,"gone",%q]`, f.api, second)
	body := batch("online", list).json()
	v, _ := f.Published(second, release)
	require.Len(t, body["success"], 2)
	assert.Equal(t, map[string]any{
		"publish_id": v.PublishID, "api_id": second, "api_name": "customers", "env_id": release, "remark": "r",
		"publish_time": v.Time.Format(time.RFC3339Nano), "version_id": v.ID,
	}, body["success"].([]any)[1])
	assert.Equal(t, []any{map[string]any{
		"api_id": "gone", "api_name": "", "error_code": "APIG.3002", "error_msg": "Api gone not found",
	}}, body["failure"])
	assert.Len(t, batch("offline", list).json()["success"], 2)
	body = batch("offline", list).json()
	assert.Equal(t, []any{}, body["success"])
	assert.Equal(t, map[string]any{
		"api_id": f.api, "api_name": "orders", "error_code": "APIG.3015",
		"error_msg": "The API publication record does not exist,id:" + f.api,
	}, body["failure"].([]any)[0])
	journal := f.Journal()
	require.Len(t, journal, 4)
	assert.Same(t, journal[0].Request, journal[1].Request)

	var members []any
	for _, row := range batch("online", `"group_id":"`+group+`"`).json()["success"].([]any) {
		members = append(members, row.(map[string]any)["api_id"])
	}
	assert.Equal(t, []any{second, third}, members)
	made := f.AddAPIIn("made-up", "c")
	assert.Contains(t, batch("online", `"group_id":"made-up"`).body, made)
	assert.Len(t, batch("online", `"apis":[`+strings.TrimSuffix(strings.Repeat(`"a",`, 1000), ",")+`]`).json()["failure"], 1000)
}

func TestHistory(t *testing.T) {
	f := start(t, at(documented))
	path := "/apis/publish/" + f.api
	assert.Empty(t, f.call("GET", path, "").rows("api_versions"))
	dev := f.AddEnvironment("DEV")
	f.publish("one")
	f.do(f.action("online", f.api, dev, "two"))
	f.publish("three")

	rows := f.call("GET", path, "").rows("api_versions")
	assert.Equal(t, []any{1.0, 1.0, 2.0}, column(rows, "status"))
	assert.Equal(t, map[string]any{
		"version_id": f.History(f.api, dev)[0].ID, "version_no": "20200803093600", "api_id": f.api, "env_id": dev, "env_name": "DEV",
		"remark": "two", "publish_time": "2020-08-03T01:36:00Z", "status": 1.0,
	}, rows[1])
	for query, remarks := range map[string][]any{
		"":                                 {"three", "two", "one"},
		"?env_id=" + dev:                   {"two"},
		"?env_name=RELEASE":                {"three", "one"},
		"?env_name=DEV&env_id=" + dev:      {"two"},
		"?env_name=DEV&env_id=" + release:  {},
		"?env_id=unknown":                  {},
		"?env_name=unknown":                {},
		"?limit=1&offset=1":                {"two"},
		"?env_id=" + release + "&offset=1": {"one"},
		"?env_id=" + release + "&offset=9": {},
	} {
		assert.Equal(t, remarks, column(f.call("GET", path+query, "").rows("api_versions"), "remark"), query)
	}
	f.do(f.action("offline", f.api, dev, ""))
	assert.Equal(t, []any{2.0}, column(f.call("GET", path+"?env_id="+dev, "").rows("api_versions"), "status"))
}

func TestPaging(t *testing.T) {
	f := start(t)
	for n := range 600 {
		f.AddEnvironment(fmt.Sprintf("ENV_%03d", n))
	}
	for query, want := range map[string]struct {
		size  int
		first any
		total float64
	}{
		"":                               {20, "RELEASE", 601},
		"?limit=0":                       {20, "RELEASE", 601},
		"?limit=-7&offset=-1":            {20, "RELEASE", 601},
		"?limit=500":                     {500, "RELEASE", 601},
		"?limit=9223372036854775807":     {500, "RELEASE", 601},
		"?offset=590":                    {11, "ENV_589", 601},
		"?offset=9223372036854775807":    {0, nil, 601},
		"?offset=1&limit=500":            {500, "ENV_000", 601},
		"?name=ENV_59&offset=5&limit=20": {5, "ENV_595", 10},
	} {
		res := f.call("GET", "/envs"+query, "")
		rows := res.rows("envs")
		require.Len(t, rows, want.size, query)
		if want.size > 0 {
			assert.Equal(t, want.first, rows[0]["name"], query)
		}
		assert.Equal(t, want.total, res.json()["total"], query)
	}
}

func TestSwitch(t *testing.T) {
	f := start(t, at(documented))
	one := f.publish("one").json()
	f.publish("two")
	f.SetClock(func() time.Time { return documented.Add(time.Hour) })
	path, body := "/apis/publish/"+f.api, fmt.Sprintf(`{"version_id":%q}`, one["version_id"])
	res := f.call("PUT", path, body)
	require.Equal(t, 200, res.status)
	one["publish_time"] = "2020-08-03T02:36:00.592970615Z"
	assert.Equal(t, one, res.json())
	v, _ := f.Published(f.api, release)
	assert.Equal(t, one["version_id"], v.ID)
	assert.Equal(t, documented, v.Time, "the version is as old as before")
	last := f.Journal()[2]
	assert.Equal(t, []any{gateway.ActionSwitch, v.ID, gateway.OpSwitch}, []any{last.Action, last.VersionID, last.Request.Op})
	f.do(f.action("offline", f.api, release, ""))
	assert.Equal(t, 200, f.call("PUT", path, body).status, "also back online")
	f.call("PUT", "/apis/publish/"+f.AddAPI("other"), body).refused(404, "APIG.3022", v.ID)
}

func TestOfflineVersion(t *testing.T) {
	f := start(t)
	one := f.publish("one").json()["version_id"].(string)
	two := f.publish("two").json()["version_id"].(string)
	f.call("DELETE", "/apis/versions/"+one, "").refused(404, "APIG.3022", one)
	res := f.call("DELETE", "/apis/versions/"+two, "")
	assert.Equal(t, 204, res.status)
	assert.Empty(t, res.body+res.header.Get("Content-Type"))
	_, ok := f.Published(f.api, release)
	assert.False(t, ok)
	f.call("DELETE", "/apis/versions/"+two, "").refused(404, "APIG.3022", two)
	assert.Equal(t, []any{gateway.ActionOfflineVersion, two}, []any{f.Journal()[2].Action, f.Journal()[2].VersionID})
}

func TestDefinitions(t *testing.T) {
	f := start(t, at(documented))
	runtime := "/apis/runtime/" + f.api
	f.call("GET", runtime, "").refused(404, "APIG.3015", f.api)
	id := f.publish("one").json()["version_id"].(string)
	f.publish("two")
	dev := f.AddEnvironment("DEV")
	f.call("GET", runtime+"?env_id="+dev, "").refused(404, "APIG.3015", f.api)
	f.do(f.action("online", f.api, dev, ""))

	d := f.call("GET", runtime, "").json()
	v, _ := f.Published(f.api, release)
	domain := d["group_id"].(string) + ".apic.example.com"
	for name, want := range map[string]any{
		"id": f.api, "name": "orders", "version": "V0.0.1", "type": 1.0, "req_protocol": "HTTPS", "req_method": "GET",
		"req_uri": "/orders", "auth_type": "NONE", "run_env_id": release, "run_env_name": "RELEASE", "publish_id": v.PublishID,
		"sl_domain": domain, "sl_domains": []any{domain}, "version_id": nil, "publish_time": nil,
	} {
		assert.Equal(t, want, d[name], name)
	}
	assert.Equal(t, "DEV", f.call("GET", runtime+"?env_id="+dev, "").json()["run_env_name"])

	d = f.call("GET", "/apis/versions/"+id, "").json()
	for name, want := range map[string]any{
		"version_id": id, "publish_time": "2020-08-03T01:36:00Z", "id": f.api, "run_env_id": release, "run_env_name": "RELEASE", "publish_id": nil,
	} {
		assert.Equal(t, want, d[name], name)
	}
}

func TestEnvironments(t *testing.T) {
	f := start(t, at(documented))
	dev := f.AddEnvironment("DEV")
	assert.Equal(t, dev, f.AddEnvironment("DEV"))
	assert.Equal(t, release, f.AddEnvironment("RELEASE"))
	rows := f.call("GET", "/envs", "").rows("envs")
	assert.Equal(t, map[string]any{"create_time": "2020-08-03T01:36:00.592970615Z", "name": "RELEASE", "remark": "", "id": release}, rows[0])
	for query, want := range map[string][]any{
		"": {"RELEASE", "DEV"}, "?name=DEV": {"DEV"}, "?name=E": {"RELEASE", "DEV"}, "?name=PROD": {},
	} {
		assert.Equal(t, want, column(f.call("GET", "/envs"+query, "").rows("envs"), "name"), query)
	}

	res := f.call("POST", "/envs", `{"name":"DEV_2","remark":"Development"}`)
	require.Equal(t, 201, res.status)
	assert.Equal(t, "Development", res.json()["remark"])
	assert.Contains(t, f.call("GET", "/envs", "").rows("envs"), res.json())
	made := res.json()["id"].(string)
	v := f.do(f.action("online", f.api, made, "")).json()["version_id"].(string)
	f.call("DELETE", "/envs/"+made, "").refused(403, "APIG.3418", "published")
	f.do(f.action("offline", f.api, made, ""))
	assert.Equal(t, 204, f.call("DELETE", "/envs/"+made, "").status)
	f.call("GET", "/apis/versions/"+v, "").refused(404, "APIG.3022", v)
	f.do(f.action("online", f.api, made, "")).refused(404, "APIG.3003", made)
	assert.NotEqual(t, made, f.AddEnvironment("DEV_2"), "another one of the same name")
	assert.Empty(t, f.call("GET", "/apis/publish/"+f.api, "").rows("api_versions"))
}

func TestLists(t *testing.T) {
	f := start(t, at(documented))
	group := f.AddGroup("shop")
	backup := f.AddGroup("shop_old")
	old := f.AddAPIIn(group, "orders_old")
	dev := f.AddEnvironment("DEV")
	f.publish("")
	f.SetClock(func() time.Time { return documented.Add(time.Minute) })
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
		assert.Equal(t, want, column(f.call("GET", "/apis"+query, "").rows("apis"), "id"), query)
	}
	rows := f.call("GET", "/apis", "").rows("apis")
	v, _ := f.Published(f.api, release)
	w, _ := f.Published(f.api, dev)
	for name, want := range map[string]any{
		"run_env_id": dev + "|" + release, "run_env_name": "DEV|RELEASE", "publish_id": w.PublishID + "|" + v.PublishID,
		"publish_time": "2020-08-03T01:37:00Z|2020-08-03T01:36:00Z",
	} {
		assert.Equal(t, want, rows[0][name], "newest first")
		assert.NotContains(t, rows[1], name)
	}
	assert.Equal(t, rows[0], f.call("GET", "/apis/"+f.api, "").json())

	for query, want := range map[string][]any{
		"":                               {"DEFAULT", "shop", "shop_old"},
		"?name=shop":                     {"shop", "shop_old"},
		"?name=shop&precise_search=name": {"shop"},
		"?name=Shop":                     {},
		"?id=" + backup:                  {"shop_old"},
		"?id=unknown":                    {},
		"?id=" + group + "&name=old":     {},
		"?limit=1&offset=1":              {"shop"},
	} {
		assert.Equal(t, want, column(f.call("GET", "/api-groups"+query, "").rows("groups"), "name"), query)
	}
	rows = f.call("GET", "/api-groups?limit=2", "").rows("groups")
	domain := group + ".apic.example.com"
	assert.Equal(t, map[string]any{
		"id": group, "name": "shop", "status": 1.0, "sl_domain": domain, "sl_domains": []any{domain}, "remark": "",
		"register_time": "2020-08-03T01:36:00Z", "update_time": "2020-08-03T01:36:00Z", "on_sell_status": 2.0, "is_default": 2.0,
	}, rows[1])
	assert.Equal(t, 1.0, rows[0]["is_default"])
	assert.Equal(t, rows[1]["id"], f.call("GET", "/apis?id="+old, "").rows("apis")[0]["group_id"])
}

// What the service refuses, it refuses with the documented status, code and text.
func TestRefusals(t *testing.T) {
	f := start(t)
	id := f.publish("").json()["version_id"].(string)
	changes := len(f.Journal())
	body := func(old, new string) string {
		return strings.Replace(`{"action":"online","env_id":"`+release+`","api_id":"`+f.api+`","remark":"r"}`, old, new, 1)
	}
	switchBody, history := `{"version_id":"`+id+`"}`, "/apis/publish/"+f.api
	const action, batch = "POST /apis/action", "POST /apis/publish?action=online"
	invalid := func(name string) string {
		return "Invalid parameter value,parameterName:" + name + ". Please refer to the support documentation"
	}
	for _, test := range []struct {
		request, body string
		status        int
		code, text    string
	}{
		{action, "", 400, "APIG.2000", "Parameter error: Serialization error: unexpected end of JSON input"},
		{action, body("}", ""), 400, "APIG.2000", "unexpected end of JSON input"},
		{action, "action=online", 400, "APIG.2000", "invalid character"},
		{action, "[]", 400, "APIG.2011", invalid("body")},
		{action, "null", 400, "APIG.2011", invalid("body")},
		{action, body("}", "}{}"), 400, "APIG.2011", invalid("body")},
		{action, body("}", "}]"), 400, "APIG.2011", invalid("body")},
		{action, body(`"remark"`, `"comment"`), 400, "APIG.2011", invalid("comment")},
		{action, body(`"api_id"`, `"API_ID"`), 400, "APIG.2011", invalid("API_ID")},
		{action, body(`"remark":"r"`, `"action":"online"`), 400, "APIG.2011", invalid("action")},
		{action, body(`"action":"online",`, ""), 400, "APIG.2011", invalid("action")},
		{action, body("online", "Online"), 400, "APIG.2011", invalid("action")},
		{action, body(`"env_id":"`+release+`",`, ""), 400, "APIG.2011", invalid("env_id")},
		{action, body(release, ""), 400, "APIG.2011", invalid("env_id")},
		{action, body(`"api_id":"`+f.api+`",`, ""), 400, "APIG.2011", invalid("api_id")},
		{action, body(`"r"`, "1"), 400, "APIG.2011", invalid("remark")},
		{action, body(`"r"`, "null"), 400, "APIG.2011", invalid("remark")},
		{action, body(`"r"`, `"`+strings.Repeat("数", 256)+`"`), 400, "APIG.2011", invalid("remark")},
		{action, body(`"r"`, "\"\xff\""), 400, "APIG.2011", invalid("remark")},
		{action, body(f.api, "nope"), 404, "APIG.3002", "API nope does not exist"},
		{action, body(release, "nope"), 404, "APIG.3003", "Environment nope does not exist"},
		{action + "?action=online", body("", ""), 400, "APIG.2012", invalid("action")},
		{action + "?%zz", body("", ""), 400, "APIG.2012", invalid("query")},

		{"POST /apis/publish", `{"apis":["a"],"env_id":"e"}`, 400, "APIG.2011", invalid("action")},
		{"POST /apis/publish?action=on", `{"apis":["a"],"env_id":"e"}`, 400, "APIG.2011", invalid("action")},
		{batch, `{"action":"online","apis":["a"],"env_id":"e"}`, 400, "APIG.2011", invalid("action")},
		{batch + "&action=online", `{"apis":["a"],"env_id":"e"}`, 400, "APIG.2012", invalid("action")},
		{batch, `{"env_id":"e"}`, 400, "APIG.2011", invalid("apis")},
		{batch, `{"apis":[],"env_id":"e"}`, 400, "APIG.2011", invalid("apis")},
		{batch, `{"apis":["a"],"group_id":"g","env_id":"e"}`, 400, "APIG.2011", invalid("apis")},
		{batch, `{"apis":[` + strings.Repeat(`"a",`, 1000) + `"a"],"env_id":"e"}`, 400, "APIG.2011", invalid("apis")},
		{batch, `{"apis":["a",null],"env_id":"e"}`, 400, "APIG.2011", invalid("apis")},
		{batch, `{"apis":["a"]}`, 400, "APIG.2011", invalid("env_id")},
		{batch, `{"apis":["a"],"env_id":"e","remark":"` + strings.Repeat("r", 256) + `"}`, 400, "APIG.2011", invalid("remark")},
		{batch, `{"apis":["a"],"env_id":"e"}`, 404, "APIG.3003", "Environment e does not exist"},
		{batch, `{"group_id":"g","env_id":"e"}`, 404, "APIG.3001", "The API group does not exist,id:g"},

		{"GET " + history + "?env_name=%2F", "", 400, "APIG.2012", invalid("env_name")},
		{"GET " + history + "?env=x", "", 400, "APIG.2012", invalid("env")},
		{"GET " + history + "?limit=ten", "", 400, "APIG.2012", invalid("limit")},
		{"GET " + history + "?offset=1.5", "", 400, "APIG.2012", invalid("offset")},
		{"GET " + history + "?offset=9223372036854775808", "", 400, "APIG.2012", invalid("offset")},
		{"GET /apis/publish/unknown", "", 404, "APIG.3002", "API unknown does not exist"},
		{"PUT " + history, "", 400, "APIG.2000", "unexpected end of JSON input"},
		{"PUT " + history, `{}`, 400, "APIG.2011", invalid("version_id")},
		{"PUT " + history, `{"version_id":"v"}`, 404, "APIG.3022", "The API version does not exist,id:v"},
		{"PUT " + history + "?x=1", switchBody, 400, "APIG.2012", invalid("x")},
		{"PUT /apis/publish/unknown", switchBody, 404, "APIG.3002", "API unknown does not exist"},
		{"DELETE /apis/versions/" + id + "?x=1", "", 400, "APIG.2012", invalid("x")},
		{"DELETE /apis/versions/v", "", 404, "APIG.3022", "The API version does not exist,id:v"},
		{"GET /apis/versions/v", "", 404, "APIG.3022", "The API version does not exist,id:v"},
		{"GET /apis/versions/" + id + "?x=1", "", 400, "APIG.2012", invalid("x")},
		{"GET /apis/runtime/" + f.api + "?env_id=e", "", 404, "APIG.3003", "Environment e does not exist"},
		{"GET /apis/runtime/a?x=1", "", 400, "APIG.2012", invalid("x")},
		{"GET /apis/runtime/a", "", 404, "APIG.3002", "API a does not exist"},

		{"GET /apis?nam=x", "", 400, "APIG.2012", invalid("nam")},
		{"GET /apis?type=public", "", 400, "APIG.2012", invalid("type")},
		{"GET /apis?name=%FF", "", 400, "APIG.2012", invalid("name")},
		{"GET /apis/a", "", 404, "APIG.3002", "API a does not exist"},
		{"GET /apis/a?x=1", "", 400, "APIG.2012", invalid("x")},
		{"GET /api-groups?group_id=x", "", 400, "APIG.2012", invalid("group_id")},
		{"GET /envs?id=x", "", 400, "APIG.2012", invalid("id")},
		{"POST /envs", `{}`, 400, "APIG.2012", invalid("name")},
		{"POST /envs", `{"name":"RELEASE"}`, 400, "APIG.3205", "already exists"},
		{"POST /envs", `{"name":"ab"}`, 400, "APIG.2012", invalid("name")},
		{"POST /envs", `{"name":"DEV-2"}`, 400, "APIG.2012", invalid("name")},
		{"POST /envs", `{"name":"` + strings.Repeat("x", 65) + `"}`, 400, "APIG.2012", invalid("name")},
		{"POST /envs", `{"name":"DEV","remark":"` + strings.Repeat("r", 256) + `"}`, 400, "APIG.2012", invalid("remark")},
		{"POST /envs?x=1", `{"name":"DEV"}`, 400, "APIG.2012", invalid("x")},
		{"DELETE /envs/" + release, "", 403, "APIG.1103", "environment"},
		{"DELETE /envs/e", "", 404, "APIG.3003", "Environment e does not exist"},
		{"DELETE /envs/e?x=1", "", 400, "APIG.2012", invalid("x")},

		{"POST /token", "{}", 404, "APIGW.0101", "does not exist"},
		{"POST /apis//action", "{}", 404, "APIGW.0101", "does not exist"},
		{"POST /v3/auth/tokens", "{}", 404, "APIGW.0101", "does not exist"}, // below an instance
		{"PUT /apis/action", "{}", 405, "APIGW.0101", "PUT"},
		{action, strings.Repeat(" ", 12<<20+1), 413, "APIGW.0201", "Request entity too large"},
		{action, strings.Repeat(" ", 12<<20), 400, "APIG.2000", "unexpected end of JSON input"},
		{"GET /apis?name=" + strings.Repeat("n", 32<<10), "", 414, "APIGW.0201", "Request URI too large"},
	} {
		t.Run(fmt.Sprintf("%.60s %.60s", test.request, test.body), func(t *testing.T) {
			method, path, _ := strings.Cut(test.request, " ")
			r := f.request(method, path, test.body)
			r.Header.Set("Content-Type", "application/json")
			res := f.do(r)
			res.t = t
			res.refused(test.status, test.code, test.text)
		})
	}
	assert.Len(t, f.Journal(), changes, "nothing of this was applied")
	assert.Equal(t, "POST, GET", f.call("PUT", "/apis/action", "{}").header.Get("Allow"), "GET would be of an API called action")

	for kind, ok := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "Application/JSON;charset=UTF-8": true,
		"application/json; charset=GBK": false, "text/plain": false, "json": false, "/": false, "": false,
	} {
		r := f.action("online", f.api, release, "")
		r.Header.Set("Content-Type", kind)
		if res := f.do(r); ok {
			assert.Equal(t, 201, res.status, kind)
		} else {
			res.refused(400, "APIG.2011", "parameterName:Content-Type")
		}
	}
	r := f.request("GET", "/apis", "")
	r.Header.Set("X-Long", strings.Repeat("t", 33<<10))
	f.do(r).refused(494, "APIGW.0201", "headers")
	r.Header.Del("X-Long")
	for range 5 {
		r.Header.Add("X-Long", strings.Repeat("t", 30<<10))
	}
	f.do(r).refused(494, "APIGW.0201", "headers")
}
