package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The life of a publication, as documented: every publish makes a version, and the ID
// of the publication is the same for all of them.
func TestPublication(t *testing.T) {
	f := start(t, at(documented))
	f.names["dev"] = f.AddEnvironment("DEV")
	f.names["other"] = f.AddAPI("other")
	f.converse(`
		GET /apis/publish/$api
		200 {"api_versions":[],"size":0,"total":0}
		POST /apis/action {"action":"offline","env_id":"$release","api_id":"$api"}
		404 {"error_code":"APIG.3015","error_msg":"The API publication record does not exist,id:$api"}
		GET /apis/runtime/$api
		404 {"error_code":"APIG.3015","error_msg":"The API publication record does not exist,id:$api"}

		POST /apis/action {"action":"online","env_id":"$release","api_id":"$api","remark":"数据 1.4.2"}
		201 {"publish_id":"$p","api_id":"$api","api_name":"orders","env_id":"$release","remark":"数据 1.4.2","publish_time":"2020-08-03T01:36:00.592970615Z","version_id":"$one"}
		POST /apis/action {"action":"online","env_id":"$dev","api_id":"$api"}
		201 {"publish_id":"$q","api_id":"$api","api_name":"orders","env_id":"$dev","publish_time":"2020-08-03T01:36:00.592970615Z","version_id":"$inDev"}
		POST /apis/action {"action":"online","env_id":"$release","api_id":"$api","remark":"two"}
		201 {"publish_id":"$p",…,"version_id":"$two"}
		GET /apis/publish/$api
		200 {"api_versions":[{"version_id":"$two","version_no":"20200803093600","api_id":"$api","env_id":"$release","env_name":"RELEASE","remark":"two","publish_time":"2020-08-03T01:36:00Z","status":1},{"version_id":"$inDev",…,"env_name":"DEV","remark":"",…,"status":1},{"version_id":"$one",…,"status":2}],"size":3,"total":3}

		GET /apis/runtime/$api
		200 {"auth_type":"NONE","backend_type":"MOCK","group_id":"$group","group_name":"DEFAULT","id":"$api","match_mode":"NORMAL","name":"orders","publish_id":"$p","register_time":"2020-08-03T01:36:00Z","req_method":"GET","req_protocol":"HTTPS","req_uri":"/orders","run_env_id":"$release","run_env_name":"RELEASE","sl_domain":"$group.apic.example.com","sl_domains":["$group.apic.example.com"],"status":1,"type":1,"update_time":"2020-08-03T01:36:00Z","version":"V0.0.1"}
		GET /apis/runtime/$api?env_id=$dev
		200 {…,"publish_id":"$q",…,"run_env_id":"$dev","run_env_name":"DEV",…}
		GET /apis/versions/$one
		200 {…,"id":"$api",…,"publish_time":"2020-08-03T01:36:00Z",…,"run_env_id":"$release","run_env_name":"RELEASE",…,"version_id":"$one"}`)

	f.SetClock(func() time.Time { return documented.Add(time.Hour) })
	f.converse(`
		PUT /apis/publish/$api {"version_id":"$one"}
		200 {"publish_id":"$p","api_id":"$api","api_name":"orders","env_id":"$release","remark":"数据 1.4.2","publish_time":"2020-08-03T02:36:00.592970615Z","version_id":"$one"}
		PUT /apis/publish/$other {"version_id":"$one"}
		404 {"error_code":"APIG.3022","error_msg":"The API version does not exist,id:$one"}`)
	v, ok := f.Published(f.api, releaseID)
	assert.True(t, ok)
	assert.Equal(t, Version{
		ID: f.names["one"], Number: "20200803093600", PublishID: f.names["p"], APIID: f.api, EnvID: releaseID,
		Remark: "数据 1.4.2", Time: documented, InEffect: true,
	}, v, "the version is as old as before")

	f.converse(`
		# Only the version in effect can be taken offline.
		DELETE /apis/versions/$two
		404 {"error_code":"APIG.3022","error_msg":"The API version does not exist,id:$two"}
		DELETE /apis/versions/$one
		204
		GET /apis/publish/$api?env_id=$release
		200 {"api_versions":[…"status":2},…"status":2}],"size":2,"total":2}
		PUT /apis/publish/$api {"version_id":"$two"}
		200 {"publish_id":"$p",…}
		POST /apis/action {"action":"offline","env_id":"$release","api_id":"$api","remark":"bye"}
		201 {"api_id":"$api","api_name":"orders","env_id":"$release","remark":"bye","publish_time":"0001-01-01T00:00:00Z"}
		POST /apis/action {"action":"offline","env_id":"$release","api_id":"$api"}
		404 {"error_code":"APIG.3015",…}`)
	var journal []string
	for n, a := range f.Journal() {
		assert.Equal(t, n+1, a.Seq)
		assert.Equal(t, f.InstanceID(), a.InstanceID)
		journal = append(journal, fmt.Sprint(a.Action, " ", a.Remark, " ", a.Request.Op, " ", a.VersionID))
	}
	one, two := f.names["one"], f.names["two"]
	assert.Equal(t, []string{
		"online 数据 1.4.2 action " + one, "online  action " + f.names["inDev"], "online two action " + two, "switch 数据 1.4.2 switch " + one,
		"offline-version  offline-version " + one, "switch two switch " + two, "offline bye action " + two,
	}, journal)

	f.publish("three")
	for query, remarks := range map[string][]any{
		"?env_id=" + f.names["dev"]:                            {""},
		"?env_name=RELEASE":                                    {"three", "two", "数据 1.4.2"},
		"?env_name=DEV&env_id=" + releaseID:                    {},
		"?env_id=unknown":                                      {},
		"?env_name=unknown":                                    {},
		"?limit=1&offset=1":                                    {"two"},
		"?env_id=" + releaseID + "&offset=1&env_name=RELEASE":  {"two", "数据 1.4.2"},
		"?env_id=" + releaseID + "&offset=9223372036854775807": {},
	} {
		assert.Equal(t, remarks, f.call("GET", "/apis/publish/"+f.api+query, "").column("api_versions", "remark"), query)
	}
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
	history := f.History(f.api, releaseID)
	require.Len(t, history, 10)
	for n, v := range history {
		assert.Equal(t, []any{fmt.Sprint(12 - n), n == 0}, []any{v.Remark, v.InEffect})
	}
	f.call("GET", "/apis/versions/"+first, "").refused(404, "APIG.3022", first)
	assert.Len(t, f.Journal(), 14, "the journal forgets nothing")
}

func TestChangesBySomebodyElse(t *testing.T) {
	f := start(t)
	v, err := f.Publish(f.api, releaseID, "theirs")
	require.NoError(t, err)
	require.NoError(t, f.Offline(f.api, releaseID))
	assert.Nil(t, f.Journal()[1].Request)
	assert.EqualError(t, f.Offline(f.api, releaseID), "APIG.3015: The API publication record does not exist,id:"+f.api)
	_, err = f.Publish("a", releaseID, "")
	assert.EqualError(t, err, "APIG.3002: API a does not exist")
	assert.Nil(t, f.History("a", releaseID))

	f.RemoveAPI(f.api)
	f.RemoveAPI(f.api)
	f.publish("").refused(404, "APIG.3002", "API "+f.api+" does not exist")
	f.call("GET", "/apis/versions/"+v.ID, "").refused(404, "APIG.3022", v.ID)
	assert.Empty(t, f.call("GET", "/apis", "").column("apis", "id"))
}

// The answer to a batch is a success, even if nothing of it is.
func TestBatch(t *testing.T) {
	f := start(t, at(documented))
	group := f.AddGroup("shop")
	f.names["cart"], f.names["stock"], f.names["group"] = f.AddAPIIn(group, "cart"), f.AddAPIIn(group, "stock"), group
	f.converse(`
		POST /apis/publish?action=online {"apis":["$api","gone","$cart"],"env_id":"$release","remark":"r"}
		200 {"success":[{"publish_id":"$p","api_id":"$api","api_name":"orders","env_id":"$release","remark":"r","publish_time":"2020-08-03T01:36:00.592970615Z","version_id":"$v"},{"publish_id":"$q","api_id":"$cart",…}],"failure":[{"api_id":"gone","api_name":"","error_code":"APIG.3002","error_msg":"Api gone not found"}]}
		POST /apis/publish?action=offline {"apis":["$api"],"env_id":"$release"}
		200 {"success":[{"api_id":"$api","api_name":"orders","env_id":"$release","publish_time":"0001-01-01T00:00:00Z"}],"failure":[]}
		POST /apis/publish?action=offline {"apis":["$api"],"env_id":"$release"}
		200 {"success":[],"failure":[{"api_id":"$api","api_name":"orders","error_code":"APIG.3015","error_msg":"The API publication record does not exist,id:$api"}]}
		POST /apis/publish?action=online {"group_id":"$group","env_id":"$release"}
		200 {"success":[{"publish_id":"$q","api_id":"$cart",…},{…,"api_id":"$stock",…}],"failure":[]}`)
	journal := f.Journal()
	require.Len(t, journal, 5)
	assert.Same(t, journal[0].Request, journal[1].Request)
	made := f.AddAPIIn("made-up", "c")
	assert.Contains(t, f.call("POST", "/apis/publish?action=online", `{"group_id":"made-up","env_id":"`+releaseID+`"}`).body, made)
	all := strings.TrimSuffix(strings.Repeat(`"a",`, maxBatch), ",")
	assert.Len(t, f.call("POST", "/apis/publish?action=online", `{"apis":[`+all+`],"env_id":"`+releaseID+`"}`).json()["failure"], maxBatch)
}

func TestEnvironments(t *testing.T) {
	f := start(t, at(documented))
	dev := f.AddEnvironment("DEV")
	assert.Equal(t, dev, f.AddEnvironment("DEV"))
	assert.Equal(t, releaseID, f.AddEnvironment("RELEASE"))
	f.names["dev"] = dev
	f.converse(`
		GET /envs?name=RE
		200 {"envs":[{"create_time":"2020-08-03T01:36:00.592970615Z","name":"RELEASE","remark":"","id":"$release"}],"size":1,"total":1}
		GET /envs
		200 {"envs":[…"id":"$release"},…"id":"$dev"}],"size":2,"total":2}`)
	for n := range 600 {
		f.AddEnvironment(fmt.Sprintf("ENV_%03d", n))
	}
	for query, want := range map[string]struct {
		size  int
		first any
		total float64
	}{
		"":                               {20, "RELEASE", 602},
		"?limit=-7&offset=-1":            {20, "RELEASE", 602},
		"?limit=9223372036854775807":     {500, "RELEASE", 602},
		"?offset=2&limit=500":            {500, "ENV_000", 602},
		"?offset=591":                    {11, "ENV_589", 602},
		"?offset=9223372036854775807":    {0, nil, 602},
		"?name=ENV_59&offset=5&limit=20": {5, "ENV_595", 10},
	} {
		res := f.call("GET", "/envs"+query, "")
		names := append(res.column("envs", "name"), nil)
		assert.Equal(t, []any{want.size, want.first}, []any{len(names) - 1, names[0]}, query)
		assert.Equal(t, []any{want.total, float64(want.size)}, []any{res.json()["total"], res.json()["size"]}, query)
	}
}

func TestAPIs(t *testing.T) {
	f := start(t, at(documented))
	group := f.AddGroup("shop")
	old := f.AddAPIIn(group, "orders_old")
	dev := f.AddEnvironment("DEV")
	f.names["dev"], f.names["old"], f.names["shop"] = dev, old, group
	f.publish("")
	f.SetClock(func() time.Time { return documented.Add(time.Minute) })
	f.converse(`
		POST /apis/publish?action=online {"apis":["$api","$old"],"env_id":"$dev"}
		200 {…}
		POST /apis/action {"action":"offline","env_id":"$dev","api_id":"$old"}
		201 {…}
		GET /apis/$api
		200 {…,"id":"$api",…,"publish_id":"$inDev|$inRelease","publish_time":"2020-08-03T01:37:00Z|2020-08-03T01:36:00Z",…,"run_env_id":"$dev|$release","run_env_name":"DEV|RELEASE",…}
		GET /apis
		200 {"apis":[{…,"id":"$api",…,"run_env_id":"$dev|$release",…},{…,"group_id":"$shop","group_name":"shop","id":"$old",…,"req_uri":"/orders_old","status":1,"type":1,…}],"size":2,"total":2}`)

	for query, want := range map[string][]any{
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
		"?type=2":                           {},
		"?tags=%23no_tags%23":               {f.api, old},
		"?vpc_channel_name=c":               {},
		"?return_data_mode=brief&limit=1":   {f.api},
		"?offset=1":                         {old},
	} {
		assert.Equal(t, want, f.call("GET", "/apis"+query, "").column("apis", "id"), query)
	}
}

// What the service refuses, it refuses with the documented status, code and text.
func TestRefusals(t *testing.T) {
	f := start(t)
	id := f.publish("").json()["version_id"].(string)
	body := func(old, new string) string {
		return strings.Replace(`{"action":"online","env_id":"`+releaseID+`","api_id":"`+f.api+`","remark":"r"}`, old, new, 1)
	}
	switchBody, history := `{"version_id":"`+id+`"}`, "/apis/publish/"+f.api
	const action, batch = "POST /apis/action", "POST /apis/publish?action=online"
	for _, test := range []struct {
		request, body string
		status        int
		code, text    string // for APIG.2011 and APIG.2012: the name of the parameter
	}{
		{action, "", 400, "APIG.2000", "Parameter error: Serialization error: unexpected end of JSON input"},
		{action, body("}", ""), 400, "APIG.2000", "unexpected end of JSON input"},
		{action, "action=online", 400, "APIG.2000", "invalid character"},
		{action, body("}", "}{}"), 400, "APIG.2000", "invalid character '{' after top-level value"},
		{action, "[]", 400, "APIG.2011", "body"},
		{action, "null", 400, "APIG.2011", "body"},
		{action, body(`"remark"`, `"comment"`), 400, "APIG.2011", "comment"},
		{action, body(`"api_id"`, `"API_ID"`), 400, "APIG.2011", "API_ID"},
		{action, body(`"remark":"r"`, `"action":"online"`), 400, "APIG.2011", "action"},
		{action, body(`"action":"online",`, ""), 400, "APIG.2011", "action"},
		{action, body("online", "Online"), 400, "APIG.2011", "action"},
		{action, body(`"env_id":"`+releaseID+`",`, ""), 400, "APIG.2011", "env_id"},
		{action, body(`"api_id":"`+f.api+`",`, ""), 400, "APIG.2011", "api_id"},
		{action, body(`"r"`, "1"), 400, "APIG.2011", "remark"},
		{action, body(`"r"`, "null"), 400, "APIG.2011", "remark"},
		{action, body(`"r"`, `"`+strings.Repeat("数", 256)+`"`), 400, "APIG.2011", "remark"},
		{action, body(`"r"`, "\"\xff\""), 400, "APIG.2011", "body"},
		{action, body(f.api, "nope"), 404, "APIG.3002", "API nope does not exist"},
		{action, body(releaseID, "nope"), 404, "APIG.3003", "Environment nope does not exist"},
		{action + "?action=online", body("", ""), 400, "APIG.2012", "action"},
		{action + "?%zz", body("", ""), 400, "APIG.2012", "query"},

		{"POST /apis/publish", `{"apis":["a"],"env_id":"e"}`, 400, "APIG.2011", "action"},
		{batch, `{"action":"online","apis":["a"],"env_id":"e"}`, 400, "APIG.2011", "action"},
		{batch + "&action=online", `{"apis":["a"],"env_id":"e"}`, 400, "APIG.2012", "action"},
		{batch, `{"apis":[],"env_id":"e"}`, 400, "APIG.2011", "apis"},
		{batch, `{"apis":["a"],"group_id":"g","env_id":"e"}`, 400, "APIG.2011", "apis"},
		{batch, `{"apis":[` + strings.Repeat(`"a",`, 1000) + `"a"],"env_id":"e"}`, 400, "APIG.2011", "apis"},
		{batch, `{"apis":["a",null],"env_id":"e"}`, 400, "APIG.2011", "apis"},
		{batch, `{"apis":["a"]}`, 400, "APIG.2011", "env_id"},
		{batch, `{"apis":["a"],"env_id":"e","remark":"` + strings.Repeat("r", 256) + `"}`, 400, "APIG.2011", "remark"},
		{batch, `{"apis":["a"],"env_id":"e"}`, 404, "APIG.3003", "Environment e does not exist"},
		{batch, `{"group_id":"g","env_id":"e"}`, 404, "APIG.3001", "The API group does not exist,id:g"},

		{"GET " + history + "?env_name=%2F", "", 400, "APIG.2012", "env_name"},
		{"GET " + history + "?env=x", "", 400, "APIG.2012", "env"},
		{"GET " + history + "?limit=ten", "", 400, "APIG.2012", "limit"},
		{"GET " + history + "?offset=9223372036854775808", "", 400, "APIG.2012", "offset"},
		{"GET /apis/publish/unknown", "", 404, "APIG.3002", "API unknown does not exist"},
		{"PUT " + history, "", 400, "APIG.2000", "unexpected end of JSON input"},
		{"PUT " + history, `{}`, 400, "APIG.2011", "version_id"},
		{"PUT " + history, `{"version_id":"v"}`, 404, "APIG.3022", "The API version does not exist,id:v"},
		{"PUT /apis/publish/unknown", switchBody, 404, "APIG.3002", "API unknown does not exist"},
		{"DELETE /apis/versions/v", "", 404, "APIG.3022", "The API version does not exist,id:v"},
		{"GET /apis/versions/v", "", 404, "APIG.3022", "The API version does not exist,id:v"},
		{"GET /apis/runtime/" + f.api + "?env_id=e", "", 404, "APIG.3003", "Environment e does not exist"},
		{"GET /apis/runtime/a", "", 404, "APIG.3002", "API a does not exist"},

		{"GET /apis?type=public", "", 400, "APIG.2012", "type"},
		{"GET /apis?name=%FF", "", 400, "APIG.2012", "name"},
		{"GET /apis/a", "", 404, "APIG.3002", "API a does not exist"},

		{"POST /token", "{}", 404, "APIGW.0101", "does not exist"},
		{"POST /apis//action", "{}", 404, "APIGW.0101", "does not exist"},
		{"GET /apis/", "", 404, "APIGW.0101", "does not exist"},
		{"GET /apis/publish/", "", 404, "APIGW.0101", "does not exist"},
		{"PUT /apis/action", "{}", 405, "APIGW.0101", "PUT"},
		{action, strings.Repeat(" ", maxBody+1), 413, "APIGW.0201", "Request entity too large"},
		{action, strings.Repeat(" ", maxBody), 400, "APIG.2000", "unexpected end of JSON input"},
		{"GET /apis?name=" + strings.Repeat("n", 32<<10), "", 414, "APIGW.0201", "Request URI too large"},
	} {
		t.Run(fmt.Sprintf("%.60s %.60s", test.request, test.body), func(t *testing.T) {
			method, path, _ := strings.Cut(test.request, " ")
			r := f.request(method, path, test.body)
			r.Header.Set("Content-Type", "application/json")
			res := f.do(r)
			res.t = t
			if test.code == "APIG.2011" || test.code == "APIG.2012" {
				test.text = "Invalid parameter value,parameterName:" + test.text + ". Please refer to the support documentation"
			}
			res.refused(test.status, test.code, test.text)
		})
	}
	assert.Len(t, f.Journal(), 1, "nothing of this was applied")
	assert.Equal(t, "POST, GET", f.call("PUT", "/apis/action", "{}").header.Get("Allow"), "GET would be of an API called action")

	for kind, ok := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "Application/JSON;charset=UTF8": true,
		"application/json; charset=GBK": false, "text/plain": false, "json": false, "/": false, "": false,
	} {
		r := f.action("online", strings.Repeat("数", maxRemark))
		r.Header.Set("Content-Type", kind)
		if res := f.do(r); ok {
			assert.Equal(t, 201, res.status, kind)
		} else {
			res.refused(400, "APIG.2011", "parameterName:Content-Type")
		}
	}
	for _, lines := range []http.Header{
		{"X-Long": {strings.Repeat("t", 33<<10)}},
		{"X-Long": strings.Split(strings.Repeat(strings.Repeat("t", 30<<10)+",", 5), ",")},
	} {
		r := f.request("GET", "/apis", "")
		r.Header["X-Long"] = lines["X-Long"]
		f.do(r).refused(494, "APIGW.0201", "headers")
	}
}
