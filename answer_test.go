package apig

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	testDate  = "Mon, 03 Aug 2020 01:36:00 GMT"
	aYear     = 365 * 24 * time.Hour
	signedNow = "20200803T013600Z" // testDate as SDK-HMAC-SHA256 has it
)

// headerOf makes a header of names and values in turns.
func headerOf(header ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return h
}

func TestRetryAfter(t *testing.T) {
	const inAnHour = "Mon, 03 Aug 2020 02:36:00 GMT" // an hour after the answer has arrived
	tests := map[string]struct {
		header []string
		want   time.Duration
	}{
		"none":                       {nil, 0},
		"empty":                      {[]string{"Retry-After", ""}, 0},
		"seconds":                    {[]string{"Retry-After", "5"}, 5 * time.Second},
		"seconds, with blanks":       {[]string{"Retry-After", " 7 "}, 7 * time.Second},
		"zero":                       {[]string{"Retry-After", "0"}, 0},
		"negative":                   {[]string{"Retry-After", "-3"}, 0},
		"fraction":                   {[]string{"Retry-After", "1.5"}, 0},
		"words":                      {[]string{"Retry-After", "soon"}, 0},
		"the first of two":           {[]string{"Retry-After", "5", "Retry-After", "9"}, 5 * time.Second},
		"a year":                     {[]string{"Retry-After", "31536000"}, aYear},
		"more than a duration":       {[]string{"Retry-After", "9223372036854775807"}, aYear},
		"more than an integer":       {[]string{"Retry-After", "99999999999999999999"}, aYear},
		"less than an integer":       {[]string{"Retry-After", "-99999999999999999999"}, 0},
		"date":                       {[]string{"Date", testDate, "Retry-After", "Mon, 03 Aug 2020 01:37:30 GMT"}, 90 * time.Second},
		"date, RFC 850":              {[]string{"Date", testDate, "Retry-After", "Monday, 03-Aug-20 01:37:30 GMT"}, 90 * time.Second},
		"date, ANSI C":               {[]string{"Date", testDate, "Retry-After", "Mon Aug  3 01:37:30 2020"}, 90 * time.Second},
		"date in the past":           {[]string{"Date", testDate, "Retry-After", "Mon, 03 Aug 2020 01:35:00 GMT"}, 0},
		"date at once":               {[]string{"Date", testDate, "Retry-After", testDate}, 0},
		"by the gateway's clock":     {[]string{"Date", "Mon, 03 Aug 2020 02:35:00 GMT", "Retry-After", inAnHour}, time.Minute},
		"our clock: no Date":         {[]string{"Retry-After", inAnHour}, time.Hour},
		"our clock: cached":          {[]string{"Date", "Mon, 03 Aug 2020 02:35:00 GMT", "Age", "3600", "Retry-After", inAnHour}, time.Hour},
		"our clock: invalid Date":    {[]string{"Date", "today", "Retry-After", inAnHour}, time.Hour},
		"further than a duration":    {[]string{"Date", "Thu, 01 Jan 1970 00:00:00 GMT", "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}, aYear},
		"a date further than a year": {[]string{"Date", testDate, "Retry-After", "Tue, 03 Aug 2027 01:36:00 GMT"}, aYear},
	}
	for name, tt := range tests {
		a := someAnswer(503, nil, headerOf(tt.header...))
		a.arrived = testTime.Truncate(time.Second)
		assert.Equal(t, tt.want, a.retryAfter(), name)
	}
	assert.Equal(t, 5*time.Second, refusal(t, respond(400, "", "Retry-After", "5")).RetryAfter)
}

// The gateway's clock is not that of a cache.
func TestDate(t *testing.T) {
	for name, tt := range map[string]struct {
		header []string
		want   time.Time
	}{
		"none":         {nil, time.Time{}},
		"date":         {[]string{"Date", testDate}, testTime.Truncate(time.Second)},
		"of a cache":   {[]string{"Date", testDate, "Age", "0"}, time.Time{}},
		"not a date":   {[]string{"Date", "now"}, time.Time{}},
		"another zone": {[]string{"Date", "Mon, 03 Aug 2020 09:36:00 CST"}, time.Time{}},
	} {
		got := someAnswer(200, nil, headerOf(tt.header...)).date()
		assert.True(t, got.Equal(tt.want), "%s: %v", name, got)
		assert.Equal(t, tt.want.IsZero(), got.IsZero(), name)
	}
}

// A clock that is off makes signatures expire. The error says so, for the server's
// text does not.
func TestClockSkew(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		signed string
		date   string
		want   string
	}{
		"slow":               {401, signedNow, "Mon, 03 Aug 2020 02:36:00 GMT", "no (the request was signed with a clock that is -1h0m0s off the gateway's)"},
		"fast":               {401, signedNow, "Mon, 03 Aug 2020 01:30:59 GMT", "no (the request was signed with a clock that is 5m1s off the gateway's)"},
		"within bounds":      {401, signedNow, "Mon, 03 Aug 2020 01:31:00 GMT", "no"},
		"another refusal":    {403, signedNow, "Mon, 03 Aug 2020 02:36:00 GMT", "no"},
		"not signed":         {401, "", "Mon, 03 Aug 2020 02:36:00 GMT", "no"},
		"no date":            {401, signedNow, "", "no"},
		"an unreadable date": {401, signedNow, "today", "no"},
	} {
		a := someAnswer(tt.status, []byte(`{"error_code":"APIGW.0301","error_msg":"no"}`), headerOf("Date", tt.date))
		a.request.Header.Set("X-Sdk-Date", tt.signed)
		assert.Equal(t, tt.want, a.apiError("Publish", testAPI).Message, name)
		a.header.Set("Age", "3600")
		assert.Equal(t, "no", a.apiError("Publish", testAPI).Message, "of a cache")
	}
	a := someAnswer(401, []byte(`{"error_msg":"`+strings.Repeat("x|", 1000)+`"}`), headerOf("Date", "Mon, 03 Aug 2020 02:36:00 GMT"))
	a.request.Header.Set("X-Sdk-Date", signedNow)
	assert.Regexp(t, `^(x\|){256}… \(.* off the gateway's\)$`, a.apiError("Publish", testAPI).Message)
	assert.Zero(t, (&answer{header: headerOf("Date", testDate)}).clockSkew(), "no request was made")
}

// The credentials of a request are cut out of texts: the token, the signature, the
// security token, and a secret of the body; not the rest of a signature's header,
// which is no secret.
func TestText(t *testing.T) {
	a := someAnswer(401, nil, nil)
	a.secret = "secret of the body"
	a.request.Header.Set("Authorization", "SDK-HMAC-SHA256 Access=THEACCESSKEY, SignedHeaders=x-sdk-date, Signature=7be6668032f70418fcc22abc5207")
	a.request.Header.Set("X-Security-Token", "the security token")
	assert.Equal(t, "REDACTED, REDACTED, REDACTED, REDACTED by THEACCESSKEY of SignedHeaders=x-sdk-date",
		a.text(testToken+", secret of the body, the security token, 7be6668032f70418fcc22abc5207 by THEACCESSKEY of SignedHeaders=x-sdk-date", 500))
	assert.Equal(t, "abc…", a.text("abcd", 3))
	assert.Empty(t, a.text("", 3))
	assert.Equal(t, "x", (&answer{}).text("x", 3), "no request was made")
}

func TestCheckID(t *testing.T) {
	a := someAnswer(200, nil, nil)
	for _, id := range []string{testAPI, EnvRelease, "5", "a-b_c.d~e", "订单", strings.Repeat("x", 64)} {
		assert.NoError(t, a.checkID(id), id)
	}
	for _, id := range []string{"", ".", "..", "a/b", "a b", "a\n", "a\x00", "a\x7f", "a\u0085", "/", "a%2f", "a?b", "a#b", `a\b`, "a\u202eb", "a\u00adb", "a\xff", testToken, "x" + testToken[3:], strings.Repeat("x", 64) + "x"} {
		err := a.checkID(id)
		require.Error(t, err, "%q", id)
		assertPrintable(t, err.Error())
		assert.NotContains(t, err.Error(), testToken[3:])
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, after := range []string{
		"", "0", "5", "-1", "1.5", "soon", "99999999999999999999", testDate, "Fri, 31 Dec 9999 23:59:59 GMT", "Monday, 03-Aug-20 01:37:30 GMT",
	} {
		f.Add(after, testDate, "")
		f.Add(after, "", "60")
	}
	f.Fuzz(func(t *testing.T, after, date, age string) {
		a := someAnswer(503, nil, http.Header{"Retry-After": {after}, "Date": {date}, "Age": {age}})
		got := a.retryAfter()
		if got < 0 || got > aYear {
			t.Errorf("%v for %q", got, after)
		}
		if n, err := strconv.Atoi(after); err == nil && n >= 0 && n <= 1000 && got != time.Duration(n)*time.Second {
			t.Errorf("%v for %q", got, after)
		}
		if d := a.date(); !d.IsZero() && age != "" {
			t.Errorf("%v, which is of a cache", d)
		}
	})
}

// What an Authenticator of the caller's puts into any header is a credential too.
func TestEchoOfAnyHeader(t *testing.T) {
	const code = "a01b7c61f5cf48f7bb1f6a9dd5fa0f2e"
	c, mt := newTest(t, authBy(authFunc(func(r *http.Request) error {
		r.Header.Set("X-Apig-Appcode", code)
		return nil
	})))
	mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(403, `{"error_code":"APIG.1005","error_msg":"refused `+code+` in project `+testProject+`"}`))
	_, err := c.Publish(t.Context(), testRequest)
	require.ErrorIs(t, err, ErrForbidden)
	assert.NotContains(t, err.Error(), code)
	assert.ErrorContains(t, err, "refused REDACTED in project "+testProject)
}

// The IDs of a record are checked as those of a list and of a caller are: they may become
// part of a path, a text or a log.
func TestRecordIDs(t *testing.T) {
	for id, bad := range map[string]string{
		"":                           "",
		"ee1a5a38d3d3493abf1dc4":     "",
		EnvRelease:                   "",
		"../x":                       "../x",
		"a\x00b":                     `a\x00b`,
		"a\u202eb":                   `a\u202eb`,
		testToken:                    "REDACTED",
		strings.Repeat("a", 900<<10): strings.Repeat("a", 64) + "…",
	} {
		quoted, err := json.Marshal(id)
		require.NoError(t, err)
		for _, field := range []string{"env_id", "publish_id", "version_id"} {
			a := someAnswer(201, []byte(`{"api_id":"a","`+field+`":`+string(quoted)+`}`), http.Header{})
			record, err := a.record(target{apiID: "a"})
			if bad == "" {
				require.NoError(t, err, id)
				assert.Equal(t, "a", record.APIID)
				continue
			}
			require.EqualError(t, err, "it has an invalid ID: "+bad, field)
			assert.Nil(t, record)
		}
	}
}
