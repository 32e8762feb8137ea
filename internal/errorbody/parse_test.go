package errorbody

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const requestID = "8080d377bffeb6d519b0567c09cebe6b"

const xhtml = `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Error</title></head>
<body><h2>Error</h2><p>The backend server is unreachable.<br/></p></body></html>`

// Every shape of an error's body that services of Huawei Cloud, and the proxies in front
// of them, are known to use. The usual form is read as encoding/json reads it, which a
// number in the object brings into play.
func TestParse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body string
		want Details
	}{
		"documented": {
			`{"error_code":"APIG.3002","error_msg":"API 5f918d104dc84480a75166ba99efff21 does not exist"}`,
			Details{"APIG.3002", "API 5f918d104dc84480a75166ba99efff21 does not exist", ""},
		},
		"front gateway: request id in the body": {
			`{"error_msg":"Incorrect IAM authentication information: decrypt token fail","error_code":"APIGW.0301","request_id":"` + requestID + `"}`,
			Details{"APIGW.0301", "Incorrect IAM authentication information: decrypt token fail", requestID},
		},
		"code and message, with details": {
			`{"code":"common.01000001","message":"failed to read http request","details":[{"code":"x","message":"y"}]}`,
			Details{"common.01000001", "failed to read http request", ""},
		},
		"nested": {`{"error":{"code":"EPS.0004","message":"Invalid."}}`, Details{"EPS.0004", "Invalid.", ""}},
		"nested under another name, with a request id": {
			`{"request_id":"` + requestID + `","fault":{"code":"F.1","message":"Invalid."}}`,
			Details{"F.1", "Invalid.", requestID},
		},
		"nested request id":            {`{"fault":{"code":"F.1","requestId":"r"}}`, Details{"F.1", "", "r"}},
		"nested code, message outside": {`{"message":"outside","fault":{"code":"F.1"}}`, Details{"F.1", "outside", ""}},
		"nested, with a code outside":  {`{"code":"C.1","fault":{"code":"F.1","message":"inside"}}`, Details{"C.1", "", ""}},
		"nested too deep":              {`{"a":{"b":{"code":"B.1"}}}`, Details{}},
		"nested twice: error first, wherever it stands": {
			`{"error":{"code":"E.1","message":"e"},"a":{"code":"A.1","message":"a"}}`, Details{"E.1", "e", ""},
		},
		"nested twice: by name, whatever the order": {
			`{"z":{"code":"Z.1"},"a":{"code":"A.1","message":"a"},"m":{"code":"M.1"}}`, Details{"A.1", "a", ""},
		},
		"nested twice: the first that says something": {
			`{"error":{},"a":{"title":[]},"b":{"code":"B.1"}}`, Details{"B.1", "", ""},
		},
		"IAM: the status as a number": {
			`{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}`,
			Details{"401", "The username or password is wrong.", ""},
		},
		"IAM: a title only":   {`{"error":{"code":403,"title":"Forbidden by policy"}}`, Details{"403", "Forbidden by policy", ""}},
		"a number":            {`{"code":-1.5e3 ,"message":0}`, Details{"-1.5e3", "0", ""}},
		"errCode, errMsg":     {`{"errCode":"DNS.0302","errMsg":"bad"}`, Details{"DNS.0302", "bad", ""}},
		"errorCode, errorMsg": {`{"errorCode":"GES.8002","errorMsg":"bad"}`, Details{"GES.8002", "bad", ""}},
		"OAuth":               {`{"error":"invalid_grant","error_description":"bad"}`, Details{"", "bad", ""}},
		"a word":              {`{"error":"bad"}`, Details{"", "bad", ""}},
		"a word, with an object that says nothing": {`{"error":"bad","a":{}}`, Details{"", "bad", ""}},
		"a message only": {`{"error_msg":"no route"}`, Details{"", "no route", ""}},
		"several names: the documented ones first": {
			`{"code":"C.1","message":"c","error_name":"N","error_code":"E.1","error_msg":"e","errorMsg":"x"}`,
			Details{"E.1", "e", ""},
		},
		"several names: the first that says something": {`{"code":"C.1","error_code":"","errCode":null}`, Details{"C.1", "", ""}},
		"several texts: the first that says something": {`{"code":"C.1","error_code":""}`, Details{"C.1", "", ""}},
		"the same name twice: the last one":            {`{"error_code":"A","error_code":"B"}`, Details{"B", "", ""}},
		"the same name twice, and then empty":          {`{"message":"A","message":"","code":"C.1"}`, Details{"C.1", "", ""}},
		"escapes":                                      {`{"error\u005fcode":"X\u002e1","error_msg":"a\"b\\c\/d\n\ud83d\ude00"}`, Details{"X.1", "a\"b\\c/d\n😀", ""}},
		"an escape first in a name":                    {`{"\u0065rror_code":"X.1"}`, Details{"X.1", "", ""}},
		"brackets and quotes in texts":                 {`{"x":"}]\"{","y":["\\"],"error_code":"X.1"}`, Details{"X.1", "", ""}},
		"not UTF-8":                                    {"{\"error_code\":\"X.1\",\"error_msg\":\"caf\xe9\"}", Details{"X.1", "caf\ufffd", ""}},
		"XHTML":                                        {xhtml, Details{}},
		"empty":                                        {"", Details{}},
		"array":                                        {`[{"error_code":"APIG.2011"}]`, Details{}},
		"cut":                                          {`{"error_code":"APIG.2011","error_msg":"Invalid para`, Details{}},
		"something behind it":                          {`{"error_code":"APIG.2011"}x`, Details{}},
		"too many fields":                              {"{" + strings.Repeat(`"a":"b",`, 10_001) + `"error_code":"APIG.2011"}`, Details{}},
		"fields of other types":                        {`{"error_code":{},"error_msg":[1],"request_id":true}`, Details{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, Parse([]byte(tt.body)))
			if object, ok := strings.CutPrefix(tt.body, "{"); ok && object != "}" {
				assert.Equal(t, tt.want, Parse([]byte(`{"x":0,`+object)))
			}
		})
	}
}

// The memory for a body of 1 MiB, as much as is read, has a bound whatever the body.
func TestParseBounds(t *testing.T) {
	const mega = 1 << 20
	var objects strings.Builder
	for n := range mega / 20 {
		fmt.Fprintf(&objects, `"%x":{"code":{}},`, n)
	}
	for name, body := range map[string]string{
		"objects":          "{" + objects.String() + `"error_msg":"m"}`,
		"open brackets":    strings.Repeat("[", mega),
		"open objects":     strings.Repeat(`{"a":`, mega/5),
		"one long message": `{"error_msg":"` + strings.Repeat("x", mega-16) + `"}`,
		"escapes":          `{"error_msg":"` + strings.Repeat(`\u0000`, mega/6-16) + `"}`,
		"deep":             `{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `,"error_code":"c"}`,
	} {
		assertCheap(t, name, func() { Parse([]byte(body)) })
	}
}

// assertCheap bounds what f allocates in all, and so what it holds at any time. No
// other test may run at the same time.
func assertCheap(t *testing.T, name string, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	f()
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%s: %d MiB, %v", name, allocated, took)
	assert.LessOrEqual(t, allocated, uint64(48), "MiB: %s", name)
	assert.Less(t, took, 30*time.Second, "%s: anything but linear time would be hours", name)
}

func FuzzParse(f *testing.F) {
	for _, body := range []string{
		"", "null", "{}", "[]", xhtml, "\xff", `{"error_code":"APIG.3015"}`,
		`{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}`,
		`{"errCode":"X.1","errMsg":"a\nb\u0000\u202e"}`, `{"a":{"code":"1"},"error":{"message":"x"}}`,
		" { \"error\\u005fcode\" : [ ] , \"code\" : -0.5e+7 } ", `{"error":"word","x":{"":null}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := Parse(body)
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil {
			require.Equal(t, Details{}, d, "no JSON object")
			return
		}
		if _, inside, _ := bytes.Cut(body, []byte("{")); len(object) > 0 && object["x"] == nil {
			require.Equal(t, d, Parse(append([]byte(`{"x":0,`), inside...)), "encoding/json reads the same")
		}
		// Nothing is invented.
		texts := map[string]bool{"": true}
		for tokens := json.NewDecoder(bytes.NewReader(body)); ; {
			tokens.UseNumber()
			token, err := tokens.Token()
			if err != nil {
				break
			}
			texts[fmt.Sprint(token)] = true
		}
		for _, s := range []string{d.Code, d.Message, d.RequestID} {
			if !texts[s] {
				t.Errorf("%q is not in %q", s, body)
			}
		}
	})
}
