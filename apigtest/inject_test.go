package apigtest_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// Each fault that has a name does what the name says: what its client gets, to
// the byte, and what the journal holds.
func TestNamedFaults(t *testing.T) {
	const (
		own     = "own answer"
		bad     = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
		timeout = "<html><head><title>504 Gateway Time-out</title></head><body>504 Gateway Time-out</body></html>"
		busy    = `{"error_code":"APIG.3500","error_msg":"Failed to synchronize data to etcd."}`
		failed  = `{"error_code":"APIG.9999","error_msg":"System error"}`
	)
	type effect struct {
		status  int // 0: no answer
		body    string
		applied bool // when the client is done
		later   bool
		takes   time.Duration
	}
	effects := map[string]effect{
		"apply-then-502":   {status: 502, body: bad, applied: true},
		"apply-then-504":   {status: 504, body: timeout, applied: true},
		"apply-then-busy":  {status: 500, body: busy, applied: true},
		"apply-then-close": {applied: true},
		"apply-then-error": {status: 500, body: failed, applied: true},
		"apply-then-hang":  {applied: true, takes: time.Hour},
		"apply-then-reset": {applied: true},
		"busy":             {status: 500, body: busy},
		"close":            {},
		"close-then-apply": {later: true},
		"cut":              {status: 201, applied: true},
		"drop":             {status: 201, body: own, applied: true},
		"error-400": {status: 400, body: `{"error_code":"APIG.2011",` +
			`"error_msg":"Invalid parameter value,parameterName:action. Please refer to the support documentation"}`},
		"error-401":    {status: 401, body: `{"error_code":"APIG.1002","error_msg":"Incorrect token or token resolution failed"}`},
		"error-403":    {status: 403, body: `{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`},
		"error-404":    {status: 404, body: `{"error_code":"APIG.3002","error_msg":"API ${api_id} does not exist"}`},
		"error-409":    {status: 409, body: `{"error_code":"APIC.7701","error_msg":"Instance status conflict."}`},
		"error-500":    {status: 500, body: failed},
		"error-502":    {status: 502, body: bad},
		"error-503":    {status: 503, body: ""},
		"error-504":    {status: 504, body: timeout},
		"expire-token": {status: 401, body: `{"error_code":"APIG.1001","error_msg":"Session expired. Please try again later."}`},
		"hang":         {takes: time.Hour},
		"refuse-token": {status: 401, body: `{"error_code":"APIGW.0307","error_msg":"The token must be updated.","request_id":"${request_id}"}`},
		"reset":        {},
		"slow":         {status: 201, body: own, applied: true, takes: time.Second},
		"throttle": {status: 429, body: `{"error_code":"APIGW.0308",` +
			`"error_msg":"The throttling threshold has been reached: policy user over ratelimit,limit:200,time:5 minute",` +
			`"request_id":"${request_id}"}`},
		"throttle-service": {status: 500, body: `{"error_code":"APIG.9008","error_msg":"Too many requests. Try again later."}`},
	}
	for _, name := range apigtest.FaultNames() {
		t.Run(name, func(t *testing.T) {
			want, ok := effects[name]
			require.True(t, ok, "not in the table")
			synctest.Test(t, func(t *testing.T) {
				f := start(t, apigtest.WithoutNetwork())
				f.client.Timeout = time.Hour
				fault, ok := apigtest.NamedFault(name)
				require.True(t, ok)
				f.Inject(fault.On(apigtest.OpAction))
				begun := time.Now()
				res, err := f.send(f.action("online", f.api, release, ""))
				assert.Equal(t, want.takes, time.Since(begun))
				assert.Equal(t, want.status, res.status)
				switch body := strings.NewReplacer("${api_id}", f.api, "${request_id}", f.Requests()[0].ID).Replace(want.body); {
				case want.status == 0:
					assert.Error(t, err)
				case name == "cut":
					assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
				case body == own:
					assert.Contains(t, res.body, `"api_id":"`+f.api+`"`)
				default:
					assert.NoError(t, err)
					assert.Equal(t, body, res.body)
				}
				_, published := f.Published(f.api, release)
				assert.Equal(t, want.applied, published)
				time.Sleep(time.Second)
				synctest.Wait()
				_, published = f.Published(f.api, release)
				assert.Equal(t, want.applied || want.later, published, "a second later")
			})
		})
	}
	assert.Len(t, effects, len(apigtest.FaultNames()))
	assert.True(t, slices.IsSorted(apigtest.FaultNames()))
	_, ok := apigtest.NamedFault("nonsense")
	assert.False(t, ok)
}

// The gateway's own refusals have the documented texts, to the byte.
func TestDocumentedErrors(t *testing.T) {
	f := start(t)
	for name, test := range map[string]struct {
		request *http.Request
		status  int
		body    string
	}{
		"400 of an action": {f.action("publish", f.api, release, ""), 400,
			`{"error_code":"APIG.2011","error_msg":"Invalid parameter value,parameterName:action. Please refer to the support documentation"}`},
		"400 of a list": {f.request("GET", "/apis/publish/"+f.api+"?env_name=1", ""), 400,
			`{"error_code":"APIG.2012","error_msg":"Invalid parameter value,parameterName:env_name. Please refer to the support documentation"}`},
		"400 of a switch without a body": {func() *http.Request {
			r := f.request("PUT", "/apis/publish/"+f.api, "")
			r.Header.Set("Content-Type", "application/json")
			return r
		}(), 400, `{"error_code":"APIG.2000","error_msg":"Parameter error: Serialization error: unexpected end of JSON input"}`},
		"401": {func() *http.Request {
			r := f.request("GET", "/apis", "")
			r.Header.Set("X-Auth-Token", "wrong")
			return r
		}(), 401, `{"error_code":"APIG.1002","error_msg":"Incorrect token or token resolution failed"}`},
		"404 of an API": {f.action("online", "92afd3d4d6d34a3f9cf3f4c1f4d4c7ff", release, ""), 404,
			`{"error_code":"APIG.3002","error_msg":"API 92afd3d4d6d34a3f9cf3f4c1f4d4c7ff does not exist"}`},
		"404 of a version": {f.request("GET", "/apis/versions/ee1a5a38d3d3493abf1dc4ed6cacfa0b", ""), 404,
			`{"error_code":"APIG.3022","error_msg":"The API version does not exist,id:ee1a5a38d3d3493abf1dc4ed6cacfa0b"}`},
		"404 of an environment": {f.action("online", f.api, "none", ""), 404,
			`{"error_code":"APIG.3003","error_msg":"Environment none does not exist"}`},
	} {
		res := f.do(test.request)
		assert.Equal(t, test.status, res.status, name)
		assert.Equal(t, test.body, res.body, name)
	}
	other := f.token("", `{}`) // IAM has another shape
	assert.Equal(t, 400, other.status)

	_, err := f.Publish(f.api, release, "")
	require.NoError(t, err)
	f.AddToken("elsewhere", time.Time{})
	g, user := iamFixture(t)
	g.AddInstance("p2", "i2")
	issued := g.token("", password).header.Get("X-Subject-Token")
	r := g.request("GET", g.URL()+"/v2/p2/apigw/instances/i2/apis", "")
	r.Header.Set("X-Auth-Token", issued)
	res := g.do(r)
	assert.Equal(t, 403, res.status, user.Name)
	assert.JSONEq(t, `{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`, res.body)
}

func TestReset(t *testing.T) {
	f := start(t)
	dev := f.AddEnvironment("DEV")
	f.AddToken("own", time.Time{})
	v, err := f.Publish(f.api, dev, "")
	require.NoError(t, err)
	f.Inject(apigtest.Busy())
	f.publish("")
	f.Inject(apigtest.Busy().Always())
	f.InjectFunc(apigtest.Mix(1, 1, apigtest.Busy()))

	f.Reset()
	assert.Empty(t, f.Requests())
	assert.Empty(t, f.Journal())
	assert.Zero(t, f.Received())
	assert.Zero(t, f.Struck())
	assert.Empty(t, f.History(f.api, dev))
	assert.Equal(t, 200, f.withToken("own").status)
	f.call("GET", "/apis/versions/"+v.ID, "").refused(404, "APIG.3022", v.ID)
	assert.Equal(t, 201, f.do(f.action("online", f.api, dev, "")).status)
	assert.Equal(t, 1, f.Journal()[0].Seq)
	assert.Equal(t, 3, f.Requests()[2].Seq)
}

func TestOnlyWhatIsNew(t *testing.T) {
	f := start(t)
	for range 3 {
		f.publish("")
	}
	assert.Equal(t, f.Requests()[2:], f.RequestsSince(2))
	assert.Equal(t, f.Journal()[1:], f.JournalSince(1))
	for _, since := range []int{3, 100} {
		assert.Empty(t, f.RequestsSince(since))
		assert.Empty(t, f.JournalSince(since))
	}
	assert.Len(t, f.RequestsSince(-1), 3)
	assert.Len(t, f.JournalSince(-1), 3)
	assert.Equal(t, 3, f.Received())
}

func TestWithoutRequestLog(t *testing.T) {
	f := start(t, apigtest.WithoutRequestLog())
	f.call("GET", "/envs", "")
	f.publish("")
	assert.Empty(t, f.Requests())
	assert.Equal(t, 2, f.Received())
	assert.Equal(t, 2, f.Journal()[0].Request.Seq, "the journal has it all the same")
}
