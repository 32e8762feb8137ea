package apigtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

func TestPublish(t *testing.T) {
	at := time.Date(2020, 8, 3, 1, 36, 0, 592970615, time.UTC)
	f := start(t, apigtest.WithClock(func() time.Time { return at }))

	res := f.publish("数据 1.4.2")
	require.Equal(t, 201, res.status)
	v, ok := f.Published(f.api, release)
	require.True(t, ok)
	assert.Equal(t, map[string]any{
		"publish_id":   v.PublishID,
		"api_id":       f.api,
		"api_name":     "orders",
		"env_id":       release,
		"remark":       "数据 1.4.2",
		"publish_time": "2020-08-03T01:36:00.592970615Z",
		"version_id":   v.ID,
	}, res.json())
	assert.Equal(t, apigtest.Version{
		ID: v.ID, Number: "20200803093600", PublishID: v.PublishID, APIID: f.api, EnvID: release,
		Remark: "数据 1.4.2", Time: at, InEffect: true,
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
}

func TestOffline(t *testing.T) {
	f := start(t)
	f.do(f.action("offline", f.api, release, "")).refused(404, "APIG.3015", f.api)
	f.publish("one")

	res := f.do(f.action("offline", f.api, release, "bye"))
	require.Equal(t, 201, res.status)
	assert.JSONEq(t, fmt.Sprintf(`{"api_id":%q,"api_name":"orders","env_id":%q,"remark":"bye",
		"publish_time":"0001-01-01T00:00:00Z"}`, f.api, release), res.body)
	_, ok := f.Published(f.api, release)
	assert.False(t, ok)
	history := f.History(f.api, release)
	require.Len(t, history, 1, "the history stays")
	assert.False(t, history[0].InEffect)

	f.do(f.action("offline", f.api, release, "bye")).refused(404, "APIG.3015", f.api)
	f.publish("two")
	assert.NotContains(t, f.do(f.action("offline", f.api, release, "")).json(), "remark")
}

func TestTenVersionsAreKept(t *testing.T) {
	f := start(t)
	var first string
	for n := range 13 {
		id := f.publish(fmt.Sprint(n)).json()["version_id"].(string)
		if n == 0 {
			first = id
		}
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
	require.Len(t, journal, 13, "the journal forgets nothing")
	for n, a := range journal {
		assert.Equal(t, n+1, a.Seq)
		assert.Equal(t, apigtest.ActionOnline, a.Action)
		assert.Equal(t, fmt.Sprint(n), a.Remark)
		assert.Equal(t, f.api, a.APIID)
		assert.Equal(t, release, a.EnvID)
		assert.Equal(t, f.Requests()[n].Seq, a.Request.Seq)
	}
	assert.Equal(t, first, journal[0].VersionID)
}

func TestChangesBySomebodyElse(t *testing.T) {
	f := start(t)
	v, err := f.Publish(f.api, release, "theirs")
	require.NoError(t, err)
	assert.Equal(t, "theirs", v.Remark)
	assert.True(t, v.InEffect)
	require.NoError(t, f.Offline(f.api, release))
	journal := f.Journal()
	require.Len(t, journal, 2)
	assert.Equal(t, []apigtest.Action{apigtest.ActionOnline, apigtest.ActionOffline}, []apigtest.Action{journal[0].Action, journal[1].Action})
	assert.Equal(t, v.ID, journal[1].VersionID)
	assert.Nil(t, journal[0].Request)
	assert.Nil(t, journal[1].Request)
	assert.Empty(t, f.Requests())

	assert.EqualError(t, f.Offline(f.api, release), "APIG.3015: The API publication record does not exist,id:"+f.api)
	_, err = f.Publish("a", release, "")
	assert.EqualError(t, err, "APIG.3002: API a does not exist")
	_, err = f.Publish(f.api, "e", "")
	assert.EqualError(t, err, "APIG.3003: Environment e does not exist")
	assert.Nil(t, f.History("a", release))
	assert.Nil(t, f.History(f.api, "e"))
	_, ok := f.Published("a", release)
	assert.False(t, ok)
}

func TestRemovedAPI(t *testing.T) {
	f := start(t)
	version := f.publish("").json()["version_id"].(string)
	f.RemoveAPI(f.api)
	f.RemoveAPI(f.api)
	f.publish("").refused(404, "APIG.3002", "API "+f.api+" does not exist")
	f.call("GET", "/apis/publish/"+f.api, "").refused(404, "APIG.3002", f.api)
	f.call("GET", "/apis/versions/"+version, "").refused(404, "APIG.3022", version)
	assert.Empty(t, f.call("GET", "/apis", "").rows("apis"))
	assert.Len(t, f.Journal(), 1)
}

// The body of an action that is in order but for what a test replaces in it.
func (f *fixture) actionBody(old, new string) string {
	body := `{"action":"online","env_id":"` + release + `","api_id":"` + f.api + `","remark":"r"}`
	return strings.Replace(body, old, new, 1)
}

func TestActionIsStrict(t *testing.T) {
	f := start(t)
	for name, test := range map[string]struct {
		body   string
		status int
		code   string
		text   string
	}{
		"empty":             {"", 400, "APIG.2000", "Parameter error: Serialization error: unexpected end of JSON input"},
		"cut":               {f.actionBody("}", ""), 400, "APIG.2000", "unexpected end of JSON input"},
		"not JSON":          {"action=online", 400, "APIG.2000", "invalid character"},
		"array":             {"[]", 400, "APIG.2011", "parameterName:body"},
		"null":              {"null", 400, "APIG.2011", "parameterName:body"},
		"string":            {`"online"`, 400, "APIG.2011", "parameterName:body"},
		"trailing object":   {f.actionBody("}", "}{}"), 400, "APIG.2011", "parameterName:body"},
		"trailing garbage":  {f.actionBody("}", "}]"), 400, "APIG.2011", "parameterName:body"},
		"unknown field":     {f.actionBody(`"remark"`, `"comment"`), 400, "APIG.2011", "parameterName:comment"},
		"wrong case":        {f.actionBody(`"api_id"`, `"API_ID"`), 400, "APIG.2011", "parameterName:API_ID"},
		"twice":             {f.actionBody(`"remark":"r"`, `"action":"online"`), 400, "APIG.2011", "parameterName:action"},
		"no action":         {f.actionBody(`"action":"online",`, ""), 400, "APIG.2011", "parameterName:action"},
		"bad action":        {f.actionBody("online", "publish"), 400, "APIG.2011", "Invalid parameter value,parameterName:action. "},
		"action with case":  {f.actionBody("online", "Online"), 400, "APIG.2011", "parameterName:action"},
		"no environment":    {f.actionBody(`"env_id":"`+release+`",`, ""), 400, "APIG.2011", "parameterName:env_id"},
		"empty environment": {f.actionBody(release, ""), 400, "APIG.2011", "parameterName:env_id"},
		"no API":            {f.actionBody(`"api_id":"`+f.api+`",`, ""), 400, "APIG.2011", "parameterName:api_id"},
		"number":            {f.actionBody(`"r"`, "1"), 400, "APIG.2011", "parameterName:remark"},
		"null member":       {f.actionBody(`"r"`, "null"), 400, "APIG.2011", "parameterName:remark"},
		"long remark":       {f.actionBody(`"r"`, `"`+strings.Repeat("数", 256)+`"`), 400, "APIG.2011", "parameterName:remark"},
		"broken UTF-8":      {f.actionBody(`"r"`, "\"\xff\""), 400, "APIG.2011", "parameterName:remark"},
		"unknown API":       {f.actionBody(f.api, "nope"), 404, "APIG.3002", "API nope does not exist"},
		"unknown both":      {strings.Replace(f.actionBody(f.api, "nope"), release, "e", 1), 404, "APIG.3002", "nope"},
		"unknown env":       {f.actionBody(release, "nope"), 404, "APIG.3003", "nope"},
	} {
		t.Run(name, func(t *testing.T) {
			r := f.request("POST", "/apis/action", test.body)
			r.Header.Set("Content-Type", "application/json")
			res := f.do(r)
			res.t = t
			res.refused(test.status, test.code, test.text)
		})
	}
	assert.Empty(t, f.Journal(), "nothing of this was applied")
	assert.Equal(t, 201, f.call("POST", "/apis/action", f.actionBody(`"r"`, `"`+strings.Repeat("数", 255)+`"`)).status)

	f.call("POST", "/apis/action?action=online", f.actionBody("", "")).refused(400, "APIG.2012", "parameterName:action")
	f.call("POST", "/apis/action?%zz", f.actionBody("", "")).refused(400, "APIG.2012", "parameterName:query")
}

func TestContentType(t *testing.T) {
	f := start(t)
	for kind, ok := range map[string]bool{
		"application/json":                  true,
		"application/json; charset=utf-8":   true,
		"application/json;charset=UTF-8":    true,
		"Application/JSON":                  true,
		"application/json; charset=GBK":     false,
		"text/plain":                        false,
		"application/x-www-form-urlencoded": false,
		"json":                              false,
		"/":                                 false,
		"":                                  false,
	} {
		r := f.action("online", f.api, release, "")
		r.Header.Set("Content-Type", kind)
		if res := f.do(r); ok {
			assert.Equal(t, 201, res.status, kind)
		} else {
			res.refused(400, "APIG.2011", "parameterName:Content-Type")
		}
	}
}

func TestBatch(t *testing.T) {
	f := start(t)
	second := f.AddAPI("customers")
	batch := func(action, body string) result {
		return f.call("POST", "/apis/publish?action="+action, body)
	}
	list := fmt.Sprintf(`{"apis":[%q,"gone",%q],"env_id":%q,"remark":"r"}`, f.api, second, release)

	res := batch("online", list)
	require.Equal(t, 200, res.status)
	body := res.json()
	done := body["success"].([]any)
	require.Len(t, done, 2)
	v, _ := f.Published(second, release)
	assert.Equal(t, map[string]any{
		"publish_id": v.PublishID, "api_id": second, "api_name": "customers", "env_id": release, "remark": "r",
		"publish_time": v.Time.Format(time.RFC3339Nano), "version_id": v.ID,
	}, done[1])
	assert.Equal(t, []any{map[string]any{
		"api_id": "gone", "api_name": "", "error_code": "APIG.3002", "error_msg": "Api gone not found",
	}}, body["failure"])

	assert.Len(t, batch("offline", list).json()["success"], 2)
	res = batch("offline", list)
	assert.Equal(t, 200, res.status, "even if everything fails")
	assert.Empty(t, res.json()["success"])
	assert.NotNil(t, res.json()["success"])
	failed := res.json()["failure"].([]any)
	require.Len(t, failed, 3)
	assert.Equal(t, map[string]any{
		"api_id": f.api, "api_name": "orders", "error_code": "APIG.3015",
		"error_msg": "The API publication record does not exist,id:" + f.api,
	}, failed[0])

	journal := f.Journal()
	require.Len(t, journal, 4)
	assert.Same(t, journal[0].Request, journal[1].Request)
	assert.Equal(t, apigtest.ActionOffline, journal[3].Action)
}

func TestBatchOfAGroup(t *testing.T) {
	f := start(t)
	group := f.AddGroup("shop")
	a, b := f.AddAPIIn(group, "a"), f.AddAPIIn(group, "b")
	res := f.call("POST", "/apis/publish?action=online", `{"group_id":"`+group+`","env_id":"`+release+`"}`)
	var got []any
	for _, row := range res.json()["success"].([]any) {
		got = append(got, row.(map[string]any)["api_id"])
	}
	assert.Equal(t, []any{a, b}, got)
	_, ok := f.Published(f.api, release)
	assert.False(t, ok, "in another group")

	c := f.AddAPIIn("made-up", "c")
	res = f.call("POST", "/apis/publish?action=online", `{"group_id":"made-up","env_id":"`+release+`"}`)
	assert.Contains(t, res.body, c)
}

func TestBatchIsStrict(t *testing.T) {
	f := start(t)
	many := func(n int) string { return strings.TrimSuffix(strings.Repeat(`"a",`, n), ",") }
	for name, test := range map[string]struct {
		query, body string
		status      int
		code, text  string
	}{
		"no action":      {"", `{"apis":["a"],"env_id":"e"}`, 400, "APIG.2011", "parameterName:action"},
		"bad action":     {"?action=on", `{"apis":["a"],"env_id":"e"}`, 400, "APIG.2011", "parameterName:action"},
		"action in body": {"?action=online", `{"action":"online","apis":["a"],"env_id":"e"}`, 400, "APIG.2011", "parameterName:action"},
		"two actions":    {"?action=online&action=online", `{"apis":["a"],"env_id":"e"}`, 400, "APIG.2012", "parameterName:action"},
		"unknown query":  {"?action=online&x=1", `{"apis":["a"],"env_id":"e"}`, 400, "APIG.2012", "parameterName:x"},
		"neither":        {"?action=online", `{"env_id":"e"}`, 400, "APIG.2011", "parameterName:apis"},
		"empty list":     {"?action=online", `{"apis":[],"env_id":"e"}`, 400, "APIG.2011", "parameterName:apis"},
		"both":           {"?action=online", `{"apis":["a"],"group_id":"g","env_id":"e"}`, 400, "APIG.2011", "parameterName:apis"},
		"too many":       {"?action=online", `{"apis":[` + many(1001) + `],"env_id":"e"}`, 400, "APIG.2011", "parameterName:apis"},
		"not strings":    {"?action=online", `{"apis":[1],"env_id":"e"}`, 400, "APIG.2011", "parameterName:apis"},
		"null in list":   {"?action=online", `{"apis":["a",null],"env_id":"e"}`, 400, "APIG.2011", "parameterName:apis"},
		"no environment": {"?action=online", `{"apis":["a"]}`, 400, "APIG.2011", "parameterName:env_id"},
		"long remark":    {"?action=online", `{"apis":["a"],"env_id":"e","remark":"` + strings.Repeat("r", 256) + `"}`, 400, "APIG.2011", "parameterName:remark"},
		"unknown env":    {"?action=online", `{"apis":["a"],"env_id":"e"}`, 404, "APIG.3003", "Environment e does not exist"},
		"unknown group":  {"?action=online", `{"group_id":"g","env_id":"e"}`, 404, "APIG.3001", "group"},
	} {
		t.Run(name, func(t *testing.T) {
			res := f.call("POST", "/apis/publish"+test.query, test.body)
			res.t = t
			res.refused(test.status, test.code, test.text)
		})
	}
	res := f.call("POST", "/apis/publish?action=online", `{"apis":[`+many(1000)+`],"env_id":"`+release+`"}`)
	assert.Len(t, res.json()["failure"], 1000)
}
