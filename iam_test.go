package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// The user whom the tests get tokens for, and the answer of IAM's documentation
// to one who has the wrong password.
const (
	iamAddress   = "https://iam.example.com"
	iamPassword  = "correct-horse-battery"
	iamWrongBody = `{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}`
)

// iamIssued is a token in an answer as documented, without what nobody reads.
func iamIssued(token string) httpmock.Responder {
	return respondJSON(201, `{"token":{"expires_at":"2019-02-13T06:52:13.855000Z","methods":["password"],`+
		`"issued_at":"2019-02-12T06:52:13.855000Z"}}`, "X-Subject-Token", token)
}

// iamWire is a transport that keeps what is sent, and gives its answers in
// turn, the last one again and again.
type iamWire struct {
	answers []httpmock.Responder

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func iamAnswers(answers ...httpmock.Responder) *iamWire { return &iamWire{answers: answers} }

func (w *iamWire) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	w.mu.Lock()
	w.requests = append(w.requests, r)
	w.bodies = append(w.bodies, string(body))
	answer := w.answers[min(len(w.requests), len(w.answers))-1]
	w.mu.Unlock()
	return answer(r)
}

func (w *iamWire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.requests)
}

// sent is the only request that was sent.
func (w *iamWire) sent(t testing.TB) (*http.Request, string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Len(t, w.requests, 1)
	return w.requests[0], w.bodies[0]
}

// iamHurry is a policy that waits as little as possible.
var iamHurry = RetryPolicy{MinWait: time.Millisecond, MaxWait: 2 * time.Millisecond, SettleWait: time.Millisecond}

// iamOn is a complete IAM on a transport.
func iamOn(transport http.RoundTripper) *IAM {
	return &IAM{
		Endpoint:   iamAddress,
		Username:   "ci",
		DomainName: "acme",
		Password:   iamPassword,
		ProjectID:  testProject,
		HTTPClient: &http.Client{Transport: transport},
		Retry:      iamHurry,
	}
}

// agencyOn is a complete Agency on a transport.
func agencyOn(transport http.RoundTripper) *Agency {
	return &Agency{
		Endpoint:   iamAddress,
		Source:     iamTokens{{Value: "token-of-the-user"}},
		Name:       "deployers",
		DomainName: "customer",
		ProjectID:  testProject,
		HTTPClient: &http.Client{Transport: transport},
		Retry:      iamHurry,
	}
}

// iamTokens is a source of one token.
type iamTokens [1]Token

func (s iamTokens) Token(context.Context) (Token, error) { return s[0], nil }

// Every way to name the user, with every way to name the project.
func TestIAMRequestBody(t *testing.T) {
	t.Parallel()
	users := map[string]struct {
		set  IAM
		want string
	}{
		"name and domain name": {
			IAM{Username: "ci", DomainName: "acme"},
			`{"name":"ci","domain":{"name":"acme"},"password":"correct-horse-battery"}`,
		},
		"name and domain id": {
			IAM{Username: "ci", DomainID: "d78cbac1"},
			`{"name":"ci","domain":{"id":"d78cbac1"},"password":"correct-horse-battery"}`,
		},
		"name and both: the id": {
			IAM{Username: "ci", DomainID: "d78cbac1", DomainName: "acme"},
			`{"name":"ci","domain":{"id":"d78cbac1"},"password":"correct-horse-battery"}`,
		},
		"id": {
			IAM{UserID: "7116d09f"},
			`{"id":"7116d09f","password":"correct-horse-battery"}`,
		},
		"id and all else: the id": {
			IAM{UserID: "7116d09f", Username: "ci", DomainID: "d78cbac1", DomainName: "acme"},
			`{"id":"7116d09f","password":"correct-horse-battery"}`,
		},
	}
	scopes := map[string]struct {
		set  IAM
		want string
	}{
		"none":         {IAM{}, ``},
		"project id":   {IAM{ProjectID: "46419baef4324f7f"}, `,"scope":{"project":{"id":"46419baef4324f7f"}}`},
		"project name": {IAM{ProjectName: "cn-north-4"}, `,"scope":{"project":{"name":"cn-north-4"}}`},
		"project name in a domain by name": {
			IAM{ProjectName: "cn-north-4", ProjectDomainName: "acme"},
			`,"scope":{"project":{"name":"cn-north-4","domain":{"name":"acme"}}}`,
		},
		"project name in a domain by id": {
			IAM{ProjectName: "cn-north-4", ProjectDomainID: "d78cbac1", ProjectDomainName: "acme"},
			`,"scope":{"project":{"name":"cn-north-4","domain":{"id":"d78cbac1"}}}`,
		},
		"project id and all else: the id": {
			IAM{ProjectID: "46419baef4324f7f", ProjectName: "cn-north-4", ProjectDomainID: "d78cbac1", ProjectDomainName: "acme"},
			`,"scope":{"project":{"id":"46419baef4324f7f"}}`,
		},
	}
	for userName, user := range users {
		for scopeName, scope := range scopes {
			t.Run(userName+", "+scopeName, func(t *testing.T) {
				t.Parallel()
				wire := iamAnswers(iamIssued("t"))
				i := iamOn(wire)
				i.UserID, i.Username, i.DomainID, i.DomainName = user.set.UserID, user.set.Username, user.set.DomainID, user.set.DomainName
				i.ProjectID, i.ProjectName = scope.set.ProjectID, scope.set.ProjectName
				i.ProjectDomainID, i.ProjectDomainName = scope.set.ProjectDomainID, scope.set.ProjectDomainName

				_, err := i.Token(context.Background())
				require.NoError(t, err)
				_, body := wire.sent(t)
				want := `{"auth":{"identity":{"methods":["password"],"password":{"user":` + user.want + `}}` + scope.want + `}}`
				assert.Equal(t, want, strings.TrimSuffix(body, "\n"))
			})
		}
	}
}

// A password goes over the wire as it is, without the escapes that encoding/json
// adds for the sake of HTML.
func TestIAMPasswordAsItIs(t *testing.T) {
	t.Parallel()
	wire := iamAnswers(iamIssued("t"))
	i := iamOn(wire)
	i.Password = "a<b>&c\"d\\e ü"
	_, err := i.Token(context.Background())
	require.NoError(t, err)
	_, body := wire.sent(t)
	assert.Contains(t, body, `"password":"a<b>&c\"d\\e ü"}`)
}

func TestAgencyRequestBody(t *testing.T) {
	t.Parallel()
	domains := map[string]struct{ id, name, want string }{
		"domain name": {"", "customer", `"domain_name":"customer"`},
		"domain id":   {"d78cbac1", "", `"domain_id":"d78cbac1"`},
	}
	scopes := map[string]struct{ id, name, want string }{
		"none":         {"", "", ``},
		"project id":   {"46419baef4324f7f", "", `,"scope":{"project":{"id":"46419baef4324f7f"}}`},
		"project name": {"", "cn-north-4", `,"scope":{"project":{"name":"cn-north-4"}}`},
	}
	for domainName, domain := range domains {
		for scopeName, scope := range scopes {
			t.Run(domainName+", "+scopeName, func(t *testing.T) {
				t.Parallel()
				wire := iamAnswers(iamIssued("t"))
				a := agencyOn(wire)
				a.DomainID, a.DomainName = domain.id, domain.name
				a.ProjectID, a.ProjectName = scope.id, scope.name

				_, err := a.Token(context.Background())
				require.NoError(t, err)
				r, body := wire.sent(t)
				want := `{"auth":{"identity":{"methods":["assume_role"],"assume_role":{"agency_name":"deployers",` + domain.want + `}}` + scope.want + `}}`
				assert.Equal(t, want, strings.TrimSuffix(body, "\n"))
				assert.Equal(t, []string{"token-of-the-user"}, r.Header["X-Auth-Token"])
			})
		}
	}
}

// iamKinds are the two that ask IAM for tokens.
var iamKinds = map[string]struct {
	op string
	on func(endpoint string, transport http.RoundTripper) TokenSource
}{
	"IAM": {"IAM", func(endpoint string, transport http.RoundTripper) TokenSource {
		i := iamOn(transport)
		i.Endpoint = endpoint
		return i
	}},
	"Agency": {"IAM agency", func(endpoint string, transport http.RoundTripper) TokenSource {
		a := agencyOn(transport)
		a.Endpoint = endpoint
		return a
	}},
}

// forIAMKinds runs a test for both.
func forIAMKinds(t *testing.T, test func(t *testing.T, op string, on func(http.RoundTripper) TokenSource)) {
	for name, kind := range iamKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, kind.op, func(transport http.RoundTripper) TokenSource { return kind.on(iamAddress, transport) })
		})
	}
}

func TestIAMRequest(t *testing.T) {
	t.Parallel()
	for name, kind := range iamKinds {
		for _, endpoint := range []string{
			"https://iam.example.com", "https://iam.example.com/", "https://iam.example.com:8443//", "https://example.com/identity",
		} {
			t.Run(name+" "+endpoint, func(t *testing.T) {
				t.Parallel()
				wire := iamAnswers(iamIssued("t"))
				_, err := kind.on(endpoint, wire).Token(context.Background())
				require.NoError(t, err)
				r, _ := wire.sent(t)
				assert.Equal(t, http.MethodPost, r.Method)
				assert.Equal(t, strings.TrimRight(endpoint, "/")+"/v3/auth/tokens?nocatalog=true", r.URL.String(), "the catalog is 100 kB that nobody reads")
				assert.Equal(t, "application/json;charset=UTF-8", r.Header.Get("Content-Type"))
				assert.Equal(t, "application/json", r.Header.Get("Accept"))
				assert.Contains(t, r.Header.Get("User-Agent"), "apig-go/")
				assert.NotContains(t, r.Header, "Authorization")
				assert.NotContains(t, r.Header, "X-Project-Id")
				if name == "IAM" {
					assert.NotContains(t, r.Header, "X-Auth-Token")
				}
			})
		}
	}
}

func TestIAMEndpoint(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "https://iam.cn-north-4.myhuaweicloud.com", IAMEndpoint("cn-north-4"))
	assert.Equal(t, "https://iam.eu-west-101.myhuaweicloud.eu", IAMEndpoint("eu-west-101"))
}

func TestIAMToken(t *testing.T) {
	t.Parallel()
	expires := func(value string) string { return `{"token":{"expires_at":` + value + `}}` }
	at := func(nanos int) time.Time { return time.Date(2019, 2, 13, 6, 52, 13, nanos, time.UTC) }
	tests := map[string]struct {
		status int
		body   string
		want   time.Time
	}{
		"documented, with microseconds": {201, expires(`"2019-02-13T06:52:13.855000Z"`), at(855_000_000)},
		"the last microsecond":          {201, expires(`"2019-02-13T06:52:13.000001Z"`), at(1000)},
		"whole seconds":                 {201, expires(`"2019-02-13T06:52:13Z"`), at(0)},
		"with an offset":                {201, expires(`"2019-02-13T14:52:13.855000+08:00"`), at(855_000_000)},
		"with the whole catalog": {
			201, `{"token":{"catalog":[{"endpoints":[{"url":"x"}],"expires_at":"x"}],"expires_at":"2019-02-13T06:52:13.855000Z","roles":[{"id":"0"}]}}`, at(855_000_000),
		},
		"status 200": {200, expires(`"2019-02-13T06:52:13.855000Z"`), at(855_000_000)},

		// Used until it is rejected.
		"no time":            {201, `{"token":{}}`, time.Time{}},
		"null":               {201, expires(`null`), time.Time{}},
		"a number":           {201, expires(`1550040733`), time.Time{}},
		"the year 1":         {201, expires(`"0001-01-01T00:00:00Z"`), time.Time{}},
		"not a time":         {201, expires(`"tomorrow"`), time.Time{}},
		"not the token":      {201, `{"token":"t"}`, time.Time{}},
		"no body":            {201, ``, time.Time{}},
		"a body in HTML":     {201, `<html></html>`, time.Time{}},
		"a body that breaks": {201, `{"token":{"expires_at":"2019-02-13T06:52:13.855000Z"`, time.Time{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forIAMKinds(t, func(t *testing.T, _ string, on func(http.RoundTripper) TokenSource) {
				wire := iamAnswers(respondJSON(test.status, test.body, "X-Subject-Token", "MIIFvgY-the-token"))
				token, err := on(wire).Token(context.Background())
				require.NoError(t, err)
				assert.Equal(t, "MIIFvgY-the-token", string(token.Value))
				assert.True(t, token.Expiry.Equal(test.want), "%v", token.Expiry)
				assert.Equal(t, 1, wire.count())
			})
		})
	}
}

// What IAM refuses is an error of IAM, whatever it answers with.
func TestIAMRefusal(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status   int
		body     string
		header   []string
		sentinel error
		text     string // after "apig: " and the operation
	}{
		"wrong password": {401, iamWrongBody, nil, ErrUnauthorized, "401 Unauthorized: The username or password is wrong."},
		"wrong password, as Keystone says it": {
			401, `{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}`,
			[]string{"WWW-Authenticate", `Keystone uri="https://iam.example.com/v3"`, "X-Iam-Trace-Id", "t"},
			ErrUnauthorized, "401 Unauthorized: The request you have made requires authentication.",
		},
		"no right to": {
			403, `{"error":{"code":403,"message":"You have no right to do this action.","title":"Forbidden"}}`, nil,
			ErrForbidden, "403 Forbidden: You have no right to do this action.",
		},
		"a field is wrong": {
			400, `{"error":{"code":400,"message":"Request body is invalid.","title":"Bad Request"}}`, nil,
			ErrBadRequest, "400 Bad Request: Request body is invalid.",
		},
		"not the address of IAM": {404, `<html><body>Not Found</body></html>`, nil, ErrNotFound, "404 Not Found"},
		"a redirect": {
			301, ``, []string{"Location", "https://iam.elsewhere.example.com/v3/auth/tokens"},
			ErrBadRequest, "301 Moved Permanently: a redirect, which is never followed; check the endpoint",
		},
		"the front gateway": {
			401, `{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information: decrypt token fail","request_id":"8080d377"}`, nil,
			ErrUnauthorized, "401 Unauthorized, APIGW.0301: Incorrect IAM authentication information: decrypt token fail (request id 8080d377)",
		},
		"IAM's own codes": {
			400, `{"error_msg":"Invalid input for field 'auth'.","error_code":"IAM.0001"}`, []string{"X-Request-Id", "8080d377"},
			ErrBadRequest, "400 Bad Request, IAM.0001: Invalid input for field 'auth'. (request id 8080d377)",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
				wire := iamAnswers(respond(test.status, test.body, test.header...))
				token, err := on(wire).Token(context.Background())
				assert.Zero(t, token)
				require.ErrorIs(t, err, test.sentinel)
				assert.Equal(t, "apig: "+op+": "+test.text, err.Error())
				assert.NotErrorIs(t, err, ErrOutcomeUnknown)
				var e *APIGError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, op, e.Op)
				assert.Equal(t, test.status, e.StatusCode)
				assert.Empty(t, e.APIID)
				assert.Equal(t, 1, e.Attempts)
				assert.Equal(t, 1, wire.count(), "another attempt would be refused too")
			})
		})
	}
}

// Whoever publishes learns that it was IAM that refused, and nothing is sent to
// the gateway.
func TestIAMRefusalThroughPublish(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer   httpmock.Responder
		status   int
		sentinel error
		text     string // after the operation
		requests int
	}{
		"wrong password": {
			respondJSON(401, iamWrongBody), 401, ErrUnauthorized, "401 Unauthorized: The username or password is wrong.", 1,
		},
		"locked out": {
			respondJSON(403, `{"error":{"code":403,"message":"The account is locked.","title":"Forbidden"}}`),
			403, ErrForbidden, "403 Forbidden: The account is locked.", 1,
		},
		"down": {respond(503, "<html>"), 503, ErrServer, "503 Service Unavailable (4 attempts)", 4},
	}
	for name, test := range tests {
		for method, publish := range directions {
			t.Run(method+" "+name, func(t *testing.T) {
				t.Parallel()
				forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
					wire := iamAnswers(test.answer)
					c, mt := newTest(t, authBy(TokenAuth(on(wire))))
					record, err := publish(c, context.Background(), testRequest)
					assert.Nil(t, record)
					require.ErrorIs(t, err, test.sentinel)
					assert.NotErrorIs(t, err, ErrOutcomeUnknown, "nothing was sent to the gateway")
					assert.Equal(t, "apig: "+method+" API "+testAPI+": getting a token: "+op+": "+test.text, err.Error())
					var e *APIGError
					require.ErrorAs(t, err, &e)
					assert.Equal(t, op, e.Op)
					assert.Equal(t, test.status, e.StatusCode)
					assert.Equal(t, test.requests, wire.count())
					assert.Zero(t, mt.GetTotalCallCount())
				})
			})
		}
	}
}

// A token is only read, so that whatever may be cured by a repetition is
// repeated.
func TestIAMRetries(t *testing.T) {
	t.Parallel()
	broken := func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
	tests := map[string]httpmock.Responder{
		"503":                 respond(503, ""),
		"503, the front":      respondJSON(503, `{"error_code":"APIGW.0613","error_msg":"IAM is unavailable"}`),
		"502 in HTML":         respond(502, "<html>The backend server is unreachable</html>"),
		"500":                 respondJSON(500, `{"error":{"code":500,"message":"Internal error","title":"Internal Server Error"}}`),
		"504":                 respond(504, ""),
		"408":                 respond(408, ""),
		"429":                 respondJSON(429, `{"error":{"code":429,"message":"The throttling threshold has been reached.","title":"Too Many Requests"}}`),
		"a broken connection": broken,
		"no token":            respondJSON(201, `{"token":{"expires_at":"2019-02-13T06:52:13.855000Z"}}`),
		"a login page":        respond(200, "<html>Sign in to the guest network</html>", "Content-Type", "text/html"),
	}
	for name, failure := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forIAMKinds(t, func(t *testing.T, _ string, on func(http.RoundTripper) TokenSource) {
				wire := iamAnswers(failure, failure, failure, iamIssued("MIIFvgY"))
				token, err := on(wire).Token(context.Background())
				require.NoError(t, err)
				assert.Equal(t, "MIIFvgY", string(token.Value))
				assert.Equal(t, 4, wire.count())
				for _, body := range wire.bodies {
					assert.Equal(t, wire.bodies[0], body, "the whole body each time")
				}

				wire = iamAnswers(failure)
				_, err = on(wire).Token(context.Background())
				require.Error(t, err)
				assert.NotErrorIs(t, err, ErrOutcomeUnknown, "there is no outcome to a question")
				assert.Contains(t, err.Error(), "(4 attempts)")
				assert.Equal(t, 4, wire.count())
			})
		})
	}
}

func TestIAMAnswerWithoutToken(t *testing.T) {
	t.Parallel()
	forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
		_, err := on(iamAnswers(respondJSON(201, `{"token":{}}`))).Token(context.Background())
		require.ErrorIs(t, err, ErrBadResponse)
		assert.Equal(t, "apig: "+op+": unreadable response: status 201, the answer has no X-Subject-Token (4 attempts)", err.Error())
	})
}

func TestIAMPolicy(t *testing.T) {
	t.Parallel()
	down := iamAnswers(respond(503, ""))
	i := iamOn(down)
	i.Retry.MaxAttempts = 2
	_, err := i.Token(context.Background())
	require.ErrorIs(t, err, ErrServer)
	assert.Equal(t, 2, down.count())

	down = iamAnswers(respond(503, ""))
	a := agencyOn(down)
	a.Retry.MaxAttempts = 3
	_, err = a.Token(context.Background())
	require.ErrorIs(t, err, ErrServer)
	assert.Equal(t, 3, down.count())
}

func TestIAMContext(t *testing.T) {
	t.Parallel()
	forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
		ctx, cancel := context.WithCancelCause(context.Background())
		wire := iamAnswers(func(r *http.Request) (*http.Response, error) {
			cancel(errors.New("enough"))
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		_, err := on(wire).Token(ctx)
		require.ErrorIs(t, err, context.Canceled)
		assert.Contains(t, err.Error(), "apig: "+op+": ")
		assert.Equal(t, 1, wire.count())
	})
}

// An attempt ends after AttemptTimeout, and after 60 s by default.
func TestIAMAttemptTimeout(t *testing.T) {
	t.Parallel()
	limit := func(timeout time.Duration) func(op string) time.Duration {
		return func(op string) (left time.Duration) {
			wire := iamAnswers(func(r *http.Request) (*http.Response, error) {
				deadline, _ := r.Context().Deadline()
				left = time.Until(deadline)
				return respond(400, "")(r)
			})
			if op == "IAM" {
				i := iamOn(wire)
				i.AttemptTimeout = timeout
				_, _ = i.Token(context.Background())
			} else {
				a := agencyOn(wire)
				a.AttemptTimeout = timeout
				_, _ = a.Token(context.Background())
			}
			return left
		}
	}
	for _, op := range []string{"IAM", "Agency"} {
		assert.InDelta(t, time.Hour, limit(time.Hour)(op), float64(time.Minute), op)
		assert.InDelta(t, 60*time.Second, limit(0)(op), float64(30*time.Second), op)
	}
}

func TestIAMMistakes(t *testing.T) {
	t.Parallel()
	const prefix = "apig: invalid argument: "
	good := func(change func(*IAM)) *IAM {
		i := iamOn(nil)
		change(i)
		return i
	}
	agency := func(change func(*Agency)) *Agency {
		a := agencyOn(nil)
		change(a)
		return a
	}
	tests := map[string]struct {
		source TokenSource
		want   string
	}{
		"everything": {
			&IAM{AttemptTimeout: -1, Retry: RetryPolicy{MaxAttempts: -1, MinWait: 2, MaxWait: 1}},
			"IAM.Username and IAM.UserID are empty; IAM.Password is empty; IAM.Endpoint is empty; " +
				"IAM.AttemptTimeout is negative; IAM.Retry.MaxAttempts is negative; IAM.Retry.MinWait 2ns is above IAM.Retry.MaxWait 1ns",
		},
		"no domain": {
			good(func(i *IAM) { i.DomainName = "" }),
			"IAM.DomainName and IAM.DomainID are empty, and Username needs one of them",
		},
		"no password":  {good(func(i *IAM) { i.Password = "" }), "IAM.Password is empty"},
		"no endpoint":  {good(func(i *IAM) { i.Endpoint = "" }), "IAM.Endpoint is empty"},
		"not a URL":    {good(func(i *IAM) { i.Endpoint = "iam.cn-north-4.myhuaweicloud.com" }), "IAM.Endpoint is not an absolute URL"},
		"plain http":   {good(func(i *IAM) { i.Endpoint = "http://iam.example.com" }), `IAM.Endpoint "http://iam.example.com" must be https (http only to a loopback address)`},
		"nearly local": {good(func(i *IAM) { i.Endpoint = "http://127.0.0.1.example.com" }), `IAM.Endpoint "http://127.0.0.1.example.com" must be https (http only to a loopback address)`},
		"a query":      {good(func(i *IAM) { i.Endpoint = "https://iam.example.com?x=y" }), "IAM.Endpoint must not have a query or fragment"},
		"a password in the endpoint": {
			good(func(i *IAM) { i.Endpoint = "https://ci:" + iamPassword + "@iam.example.com" }), "IAM.Endpoint must not hold a user or password",
		},
		"where to look for no project": {
			good(func(i *IAM) { i.ProjectID, i.ProjectDomainName = "", "acme" }),
			"IAM.ProjectName is empty, and IAM.ProjectDomainID and IAM.ProjectDomainName say where to look it up",
		},

		"agency: everything": {
			&Agency{AttemptTimeout: -1, ProjectID: "p", ProjectName: "n", Retry: RetryPolicy{SettleWait: -1}},
			"Agency.Source is nil; Agency.Name is empty; one of Agency.DomainName and Agency.DomainID is needed; " +
				"Agency.ProjectID and Agency.ProjectName exclude each other; Agency.Endpoint is empty; " +
				"Agency.AttemptTimeout is negative; Agency.Retry.SettleWait is negative",
		},
		"agency: both domains": {
			agency(func(a *Agency) { a.DomainID, a.DomainName = "d", "n" }),
			"one of Agency.DomainName and Agency.DomainID is needed",
		},
		"agency: plain http": {
			agency(func(a *Agency) { a.Endpoint = "http://iam.example.com" }),
			`Agency.Endpoint "http://iam.example.com" must be https (http only to a loopback address)`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := test.source.Token(context.Background())
			require.EqualError(t, err, prefix+test.want)
			assert.ErrorIs(t, err, ErrInvalidArgument)

			c, mt := newTest(t, authBy(TokenAuth(test.source)))
			_, err = c.Publish(context.Background(), testRequest)
			require.EqualError(t, err, "apig: Publish API "+testAPI+": getting a token: invalid argument: "+test.want)
			assert.ErrorIs(t, err, ErrInvalidArgument)
			assert.Zero(t, mt.GetTotalCallCount())
		})
	}
}

// The password goes over plain http to this machine only.
func TestIAMLoopback(t *testing.T) {
	t.Parallel()
	for endpoint, ok := range map[string]bool{
		"http://127.0.0.1:5000":       true,
		"http://127.8.9.10":           true,
		"http://[::1]:5000":           true,
		"http://localhost:5000/v":     true,
		"https://10.0.0.1":            true,
		"http://10.0.0.1":             false,
		"http://0.0.0.0:5000":         false,
		"http://[::]:5000":            false,
		"http://localhost.evil.com":   false,
		"http://169.254.169.254":      false,
		"ftp://127.0.0.1":             false,
		"HTTPS://iam.example.com":     true,
		"http://iam.example.com:443/": false,
	} {
		for name, kind := range iamKinds {
			t.Run(name+" "+endpoint, func(t *testing.T) {
				t.Parallel()
				wire := iamAnswers(iamIssued("t"))
				_, err := kind.on(endpoint, wire).Token(context.Background())
				if ok {
					require.NoError(t, err)
					assert.Equal(t, 1, wire.count())
					return
				}
				require.ErrorIs(t, err, ErrInvalidArgument)
				assert.Zero(t, wire.count())
			})
		}
	}
}

// A server that repeats what it was sent, and a transport that does, cannot
// make the password appear in an error or a log.
func TestIAMPasswordNeverShows(t *testing.T) {
	t.Parallel()
	message := func(text string) string {
		quoted, _ := json.Marshal(text)
		return `{"error":{"code":400,"message":` + string(quoted) + `,"title":"Bad Request"}}`
	}
	asSent := func(r *http.Request) string {
		body, _ := r.GetBody()
		sent, _ := io.ReadAll(body)
		return string(sent)
	}
	python := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	echoes := map[string]func(password string) httpmock.Responder{
		"as it is": func(password string) httpmock.Responder {
			return respondJSON(400, message("Invalid input: "+password+" is not of type 'object'"))
		},
		"the body": func(string) httpmock.Responder {
			return func(r *http.Request) (*http.Response, error) {
				return respondJSON(400, message("cannot parse "+asSent(r)))(r)
			}
		},
		"in HTML": func(password string) httpmock.Responder {
			return respondJSON(400, message("<p>"+html.EscapeString(password)+"</p>"))
		},
		"in ASCII": func(password string) httpmock.Responder {
			return respondJSON(400, message(strconv.QuoteToASCII(password)))
		},
		"in ASCII, with capitals": func(password string) httpmock.Responder {
			return respondJSON(400, message(strings.ReplaceAll(strconv.QuoteToASCII(password), "fc", "FC")))
		},
		"in Python": func(password string) httpmock.Responder {
			return respondJSON(400, message("On instance['user']: {'name': 'ci', 'password': '"+python.Replace(password)+"'}"))
		},
		"as the code": func(password string) httpmock.Responder {
			quoted, _ := json.Marshal(password)
			return respondJSON(400, `{"error":{"code":`+string(quoted)+`,"message":"m"}}`)
		},
		"as the request id": func(password string) httpmock.Responder {
			return respondJSON(400, message("m"), "X-Request-Id", password)
		},
		"cut off in the middle": func(password string) httpmock.Responder {
			return respondJSON(400, message(strings.Repeat("x", maxMessage-len(password)/2)+password))
		},
		"by the transport": func(password string) httpmock.Responder {
			return httpmock.NewErrorResponder(errors.New("proxy refused " + password))
		},
		"by the transport, the body": func(string) httpmock.Responder {
			return func(r *http.Request) (*http.Response, error) { return nil, errors.New("proxy refused " + asSent(r)) }
		},
		"by the body of a success": func(password string) httpmock.Responder {
			return respondWith(201, func() io.Reader { return iotest.ErrReader(errors.New("proxy broke at " + password)) })
		},
	}
	for name, echo := range echoes {
		for _, password := range []string{iamPassword, `Quokka"7\zebra'x<&>ünd 9w`, "Quokka-zebra-ünd 9w"} {
			t.Run(name+" "+password, func(t *testing.T) {
				t.Parallel()
				log := new(buffer)
				i := iamOn(iamAnswers(echo(password)))
				i.Password = Secret(password)
				i.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				c, _ := newTest(t, authBy(TokenAuth(i)), logTo(i.Logger))
				_, err := c.Publish(context.Background(), testRequest)
				require.Error(t, err)

				shown := fmt.Sprintf("%v\n%+v\n%#v\n%q\n%s", err, err, err, err.Error(), log)
				var e *APIGError
				if errors.As(err, &e) {
					shown += fmt.Sprintf("%#v %v", e, e.LogValue())
				}
				assert.Contains(t, shown, "REDACTED", "the echo is there")
				for _, piece := range []string{"correct", "battery", "Quokka", "zebra", "nd 9w"} { // nothing to escape in them
					assert.NotContains(t, shown, piece)
				}
			})
		}
	}
}

// TestIAMLog: one record an attempt says that it was for IAM.
func TestIAMLog(t *testing.T) {
	t.Parallel()
	forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
		log := new(buffer)
		logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		source := on(iamAnswers(respond(503, ""), iamIssued("MIIFvgY-the-token")))
		switch s := source.(type) {
		case *IAM:
			s.Logger = logger
		case *Agency:
			s.Logger = logger
		}
		_, err := source.Token(context.Background())
		require.NoError(t, err)
		quoted := op
		if strings.Contains(op, " ") {
			quoted = `"` + op + `"`
		}
		assert.Equal(t, 3, strings.Count(log.String(), "op="+quoted), "two attempts and a retry:\n%s", log)
		assert.NotContains(t, log.String(), "MIIFvgY")
		assert.NotContains(t, log.String(), iamPassword)
		assert.NotContains(t, log.String(), "token-of-the-user")
	})
}

func TestAgencySource(t *testing.T) {
	t.Parallel()
	t.Run("asked each time", func(t *testing.T) {
		t.Parallel()
		wire := iamAnswers(iamIssued("t"))
		a, asked := agencyOn(wire), 0
		a.Source = sourceFunc(func(context.Context) (Token, error) {
			asked++
			return Token{Value: Secret(fmt.Sprint("own-", asked))}, nil
		})
		for range 2 {
			_, err := a.Token(context.Background())
			require.NoError(t, err)
		}
		require.Len(t, wire.requests, 2)
		assert.Equal(t, "own-1", wire.requests[0].Header.Get("X-Auth-Token"))
		assert.Equal(t, "own-2", wire.requests[1].Header.Get("X-Auth-Token"))
	})
	t.Run("fails", func(t *testing.T) {
		t.Parallel()
		wire := iamAnswers(iamIssued("t"))
		a := agencyOn(wire)
		a.Source = iamOn(iamAnswers(respondJSON(401, iamWrongBody)))
		_, err := a.Token(context.Background())
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.EqualError(t, err, "getting the token of the agency's user: apig: IAM: 401 Unauthorized: The username or password is wrong.")
		assert.Zero(t, wire.count())

		c, _ := newTest(t, authBy(TokenAuth(a)))
		_, err = c.Publish(context.Background(), testRequest)
		assert.EqualError(t, err, "apig: Publish API "+testAPI+": getting a token: getting the token of the agency's user: "+
			"IAM: 401 Unauthorized: The username or password is wrong.")
	})
	t.Run("gives what cannot be sent", func(t *testing.T) {
		t.Parallel()
		for _, own := range []Secret{"", "own-token-of-the-user\n"} {
			wire := iamAnswers(iamIssued("t"))
			a := agencyOn(wire)
			a.Source = iamTokens{{Value: own}}
			_, err := a.Token(context.Background())
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "own-token")
			assert.Zero(t, wire.count())
		}
	})
}

// iamGateway is a gateway whose IAM knows the user of iamOn.
func iamGateway(t testing.TB) (*apigtest.Gateway, *IAM) {
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	g.AddUser(apigtest.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	i := iamOn(nil)
	i.Endpoint, i.ProjectID, i.HTTPClient = g.URL(), g.ProjectID(), nil
	return g, i
}

// iamClient is a client of that gateway, on connections of its own.
func iamClient(t testing.TB, g *apigtest.Gateway, auth Authenticator, changes ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Endpoint: g.URL(), ProjectID: g.ProjectID(), InstanceID: g.InstanceID(), Auth: auth, Retry: iamHurry}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// iamOps are the requests that a gateway has got, without what was needed to
// find out about them.
func iamOps(g *apigtest.Gateway) (ops []apigtest.Op) {
	for _, r := range g.Requests() {
		ops = append(ops, r.Op)
	}
	return ops
}

// Against the IAM of the fake gateway, which looks at requests by itself.
func TestIAMLogsIn(t *testing.T) {
	t.Parallel()
	const acme = "acme"
	g, _ := iamGateway(t)
	u := g.AddUser(apigtest.User{Name: "release", DomainName: acme, Password: iamPassword})
	api := g.AddAPI("orders")
	for name, i := range map[string]*IAM{
		"by name and domain name":          {Username: "release", DomainName: acme, ProjectID: g.ProjectID()},
		"by name and domain id":            {Username: "release", DomainID: u.DomainID, ProjectID: g.ProjectID()},
		"by id":                            {UserID: u.ID, ProjectID: g.ProjectID()},
		"to a project by name":             {UserID: u.ID, ProjectName: "cn-north-4"},
		"to a project of a domain by name": {UserID: u.ID, ProjectName: "cn-north-4", ProjectDomainName: acme},
		"to a project of a domain by id":   {UserID: u.ID, ProjectName: "cn-north-4", ProjectDomainID: u.DomainID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i.Endpoint, i.Password = g.URL(), iamPassword
			_, err := iamClient(t, g, TokenAuth(i)).Publish(context.Background(), ActionRequest{APIID: api, EnvID: EnvRelease, Remark: name})
			require.NoError(t, err)
		})
	}
}

// A token for no project is refused by the gateway, and no other one is asked
// for: it would be for none either.
func TestIAMWithoutProject(t *testing.T) {
	t.Parallel()
	g, i := iamGateway(t)
	i.ProjectID = ""
	_, err := iamClient(t, g, TokenAuth(i)).Publish(context.Background(), ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease})
	var e *APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, CodeTokenNoProject, e.Code)
	assert.Equal(t, []apigtest.Op{apigtest.OpToken, apigtest.OpAction}, iamOps(g))
}

func TestIAMTokenIsReused(t *testing.T) {
	t.Parallel()
	g, i := iamGateway(t)
	c := iamClient(t, g, TokenAuth(i))
	api := g.AddAPI("orders")
	for range 3 {
		_, err := c.Publish(context.Background(), ActionRequest{APIID: api, EnvID: EnvRelease})
		require.NoError(t, err)
	}
	other, err := c.Instance(g.AddInstance(g.ProjectID(), "another").InstanceID())
	require.NoError(t, err)
	for _, err := range other.Environments(context.Background(), EnvironmentQuery{}) {
		require.NoError(t, err)
	}
	assert.Equal(t, []apigtest.Op{apigtest.OpToken, apigtest.OpAction, apigtest.OpAction, apigtest.OpAction, apigtest.OpEnvironments}, iamOps(g))
}

// Tokens of Huawei's IAM have thousands of characters.
func TestIAMLongToken(t *testing.T) {
	t.Parallel()
	g, i := iamGateway(t)
	long := strings.Repeat("MIIFvgYJKoZIhvcNAQcCoIIFrzCCBasCAQExDTALBglghkgBZQMEAgEw-", 144)[:8<<10]
	g.AddToken(long, time.Time{})
	g.Inject(apigtest.Fault{Op: apigtest.OpToken, Header: http.Header{"X-Subject-Token": {long}}})
	_, err := iamClient(t, g, TokenAuth(i)).Publish(context.Background(), ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease})
	require.NoError(t, err)
	requests := g.Requests()
	assert.Equal(t, []string{long}, requests[len(requests)-1].Header["X-Auth-Token"])
	assert.Equal(t, []apigtest.Op{apigtest.OpToken, apigtest.OpAction}, iamOps(g))
}

// When the gateway does not know a token any more, the call is attempted once
// more with a new one.
func TestIAMRecovers(t *testing.T) {
	t.Parallel()
	for name, reject := range map[string]func(*apigtest.Gateway, string){
		"from a revoked token": func(g *apigtest.Gateway, token string) { g.RevokeToken(token) },
		"from an expired token": func(g *apigtest.Gateway, _ string) {
			g.Inject(apigtest.ExpireToken().On(apigtest.OpAction))
		},
		"from a token to be renewed": func(g *apigtest.Gateway, _ string) {
			g.Inject(apigtest.RefuseToken().On(apigtest.OpAction))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, i := iamGateway(t)
			c := iamClient(t, g, TokenAuth(i), attempts(1))
			req := ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
			_, err := c.Publish(context.Background(), req)
			require.NoError(t, err)
			first := g.Requests()[1].Header.Get("X-Auth-Token")
			reject(g, first)

			record, err := c.Publish(context.Background(), req)
			require.NoError(t, err, "the one repetition does not count as an attempt")
			assert.False(t, record.Recovered)
			assert.Equal(t, []apigtest.Op{apigtest.OpToken, apigtest.OpAction, apigtest.OpAction, apigtest.OpToken, apigtest.OpAction}, iamOps(g))
			requests := g.Requests()
			assert.Equal(t, first, requests[2].Header.Get("X-Auth-Token"))
			assert.NotEqual(t, first, requests[4].Header.Get("X-Auth-Token"))
			assert.Len(t, g.Journal(), 2)
		})
	}
}

// A gateway that accepts no token at all is asked twice, not for ever.
func TestIAMRecoversOnce(t *testing.T) {
	t.Parallel()
	g, i := iamGateway(t)
	g.ValidateTokens(func(string) bool { return false })
	_, err := iamClient(t, g, TokenAuth(i)).Publish(context.Background(), ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease})
	require.ErrorIs(t, err, ErrUnauthorized)
	var e *APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "Publish", e.Op, "it was not IAM")
	assert.Equal(t, []apigtest.Op{apigtest.OpToken, apigtest.OpAction, apigtest.OpToken, apigtest.OpAction}, iamOps(g))
	assert.Empty(t, g.Journal())
}

// If IAM refuses a new token after a 401, the error is that of IAM, and nothing
// was applied.
func TestIAMRefusesRenewal(t *testing.T) {
	t.Parallel()
	g, i := iamGateway(t)
	c := iamClient(t, g, TokenAuth(i))
	req := ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
	_, err := c.Publish(context.Background(), req)
	require.NoError(t, err)

	g.RevokeToken(g.Requests()[1].Header.Get("X-Auth-Token"))
	g.AddUser(apigtest.User{Name: "ci", DomainName: "acme", Password: iamPassword, Disabled: true})
	_, err = c.Publish(context.Background(), req)
	require.ErrorIs(t, err, ErrUnauthorized)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.Contains(t, err.Error(), "getting a token: IAM: 401 Unauthorized: The username or password is wrong.")
	assert.Equal(t, []apigtest.Op{apigtest.OpToken, apigtest.OpAction, apigtest.OpAction, apigtest.OpToken}, iamOps(g))
}

// What getting a token does on the network says nothing about whether the
// request that it is for was sent.
func TestIAMIsNotTheRequest(t *testing.T) {
	t.Parallel()
	t.Run("an answer is final", func(t *testing.T) {
		t.Parallel()
		g, i := iamGateway(t)
		_, err := iamClient(t, g, TokenAuth(i)).Publish(context.Background(), ActionRequest{APIID: testAPI, EnvID: EnvRelease})
		require.ErrorIs(t, err, ErrNotFound)
		assert.Equal(t, []apigtest.Op{apigtest.OpToken, apigtest.OpAction}, iamOps(g), "there is nothing to settle")
	})
	t.Run("no connection, so nothing was sent", func(t *testing.T) {
		t.Parallel()
		g, i := iamGateway(t)
		dead := apigtest.NewGateway()
		dead.Close()
		c := iamClient(t, g, TokenAuth(i), func(cfg *Config) { cfg.Endpoint = dead.URL() })
		_, err := c.Publish(context.Background(), testRequest)
		require.Error(t, err)
		assert.NotErrorIs(t, err, ErrOutcomeUnknown)
		assert.Equal(t, []apigtest.Op{apigtest.OpToken}, iamOps(g))
	})
	t.Run("a connection that was closed before the request", func(t *testing.T) {
		t.Parallel()
		g, i := iamGateway(t)
		c := iamClient(t, g, TokenAuth(i))
		req := ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
		_, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		g.RevokeToken(g.Requests()[1].Header.Get("X-Auth-Token"))
		g.Inject(apigtest.Drop().On(apigtest.OpAction))
		record, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		assert.False(t, record.Recovered)
		assert.Len(t, g.Journal(), 2)
	})
}

func TestIAMRetriesAtTheGateway(t *testing.T) {
	t.Parallel()
	g, i := iamGateway(t)
	g.Inject(
		apigtest.Answer(503, "<html>").On(apigtest.OpToken),
		apigtest.CloseBefore().On(apigtest.OpToken),
		apigtest.Throttle("").On(apigtest.OpToken),
	)
	_, err := iamClient(t, g, TokenAuth(i)).Publish(context.Background(), ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease})
	require.NoError(t, err)
	assert.Equal(t, []apigtest.Op{apigtest.OpToken, apigtest.OpToken, apigtest.OpToken, apigtest.OpToken, apigtest.OpAction}, iamOps(g))
}

// Without a client of the caller's, no connection to IAM stays open; with one,
// it is kept and used again.
func TestIAMConnections(t *testing.T) {
	t.Parallel()
	for name, on := range map[string]func(*apigtest.Gateway, *IAM) TokenSource{
		"IAM": func(_ *apigtest.Gateway, i *IAM) TokenSource { return i },
		"Agency": func(g *apigtest.Gateway, i *IAM) TokenSource {
			g.AddAgency(apigtest.Agency{Name: "deployers", DomainName: "customer"})
			return &Agency{
				Endpoint: i.Endpoint, Source: iamTokens{{Value: Secret(g.Token())}}, Name: "deployers", DomainName: "customer",
				ProjectID: i.ProjectID, HTTPClient: i.HTTPClient,
			}
		},
	} {
		t.Run(name+", its own", func(t *testing.T) {
			t.Parallel()
			g, i := iamGateway(t)
			source := on(g, i)
			for n := range 2 {
				_, err := source.Token(context.Background())
				require.NoError(t, err)
				assert.Equal(t, n+1, g.Accepted())
				assert.Eventually(t, func() bool { return g.Connections() == 0 }, 10*time.Second, time.Millisecond)
			}
		})
		t.Run(name+", the caller's", func(t *testing.T) {
			t.Parallel()
			g, i := iamGateway(t)
			transport := &http.Transport{}
			t.Cleanup(transport.CloseIdleConnections)
			i.HTTPClient = &http.Client{Transport: transport}
			source := on(g, i)
			for range 3 {
				_, err := source.Token(context.Background())
				require.NoError(t, err)
			}
			assert.Equal(t, 1, g.Accepted())
			assert.Nil(t, i.HTTPClient.CheckRedirect, "it was copied")
		})
	}
}

func TestAgencyThroughGateway(t *testing.T) {
	t.Parallel()
	g, i := iamGateway(t)
	i.ProjectID = ""
	agency := g.AddAgency(apigtest.Agency{Name: "deployers", DomainName: "customer"})
	api := g.AddAPI("orders")
	for name, a := range map[string]*Agency{
		"domain name, project id":   {DomainName: "customer", ProjectID: g.ProjectID()},
		"domain id, project name":   {DomainID: agency.DomainID, ProjectName: "cn-north-4"},
		"domain name, project name": {DomainName: "customer", ProjectName: "cn-north-4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a.Endpoint, a.Source, a.Name = g.URL(), i, "deployers"
			_, err := iamClient(t, g, TokenAuth(a)).Publish(context.Background(), ActionRequest{APIID: api, EnvID: EnvRelease, Remark: name})
			require.NoError(t, err)
		})
	}
	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		a := &Agency{Endpoint: g.URL(), Source: i, Name: "nobody", DomainName: "customer", ProjectID: g.ProjectID()}
		_, err := iamClient(t, g, TokenAuth(a)).Publish(context.Background(), ActionRequest{APIID: api, EnvID: EnvRelease})
		require.ErrorIs(t, err, ErrUnauthorized)
		var e *APIGError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "IAM agency", e.Op)
	})
}

// A token of an agency that the gateway rejects costs two requests to IAM: one
// for the user's own token, one for the agency's.
func TestAgencyRecovers(t *testing.T) {
	t.Parallel()
	g, i := iamGateway(t)
	g.AddAgency(apigtest.Agency{Name: "deployers", DomainName: "customer"})
	a := &Agency{Endpoint: g.URL(), Source: i, Name: "deployers", DomainName: "customer", ProjectID: g.ProjectID()}
	c := iamClient(t, g, TokenAuth(a))
	req := ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
	_, err := c.Publish(context.Background(), req)
	require.NoError(t, err)
	g.RevokeToken(g.Requests()[2].Header.Get("X-Auth-Token"))
	_, err = c.Publish(context.Background(), req)
	require.NoError(t, err)
	assert.Equal(t, []apigtest.Op{
		apigtest.OpToken, apigtest.OpToken, apigtest.OpAction,
		apigtest.OpAction, apigtest.OpToken, apigtest.OpToken, apigtest.OpAction,
	}, iamOps(g))
}
