package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
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
	return respondJSON(201, `{"token":{"expires_at":"2019-02-13T06:52:13.855000Z","methods":["password"]}}`, "X-Subject-Token", token)
}

// recorder is a transport that keeps what is sent, and gives its answers in turn,
// the last one again and again.
type recorder struct {
	answers []httpmock.Responder

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func answering(answers ...httpmock.Responder) *recorder { return &recorder{answers: answers} }

func (w *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
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

func (w *recorder) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.requests)
}

// iamOn is a complete IAM on a transport.
func iamOn(transport http.RoundTripper) *IAM {
	return &IAM{
		Endpoint: iamAddress, Username: "ci", DomainName: "acme", Password: iamPassword, ProjectID: testProject,
		HTTPClient: &http.Client{Transport: transport}, Retry: RetryPolicy{MinWait: time.Second, MaxWait: time.Second},
	}
}

// agencyOn is a complete Agency on a transport.
func agencyOn(transport http.RoundTripper) *Agency {
	return &Agency{
		Endpoint: iamAddress, Name: "deployers", DomainName: "customer", ProjectID: testProject,
		Source:     sourceFunc(func(context.Context) (Token, error) { return Token{Value: "token-of-the-user"}, nil }),
		HTTPClient: &http.Client{Transport: transport}, Retry: RetryPolicy{MinWait: time.Second, MaxWait: time.Second},
	}
}

// forIAMKinds runs a test for both that ask IAM for tokens, in virtual time.
func forIAMKinds(t *testing.T, test func(t *testing.T, op string, on func(http.RoundTripper) TokenSource)) {
	t.Run("IAM", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, "IAM", func(transport http.RoundTripper) TokenSource { return iamOn(transport) })
		})
	})
	t.Run("Agency", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, "IAM agency", func(transport http.RoundTripper) TokenSource { return agencyOn(transport) })
		})
	})
}

// iamSent is the body of the only request that a source makes, without its last
// line break.
func iamSent(t *testing.T, on func(*recorder) TokenSource) (*http.Request, string) {
	t.Helper()
	wire := answering(iamIssued("t"))
	_, err := on(wire).Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, wire.count())
	return wire.requests[0], strings.TrimSuffix(wire.bodies[0], "\n")
}

// Every way to name the user, with every way to name the project.
func TestIAMRequestBody(t *testing.T) {
	users := []struct {
		set  IAM
		want string
	}{
		{IAM{Username: "ci", DomainName: "acme"}, `{"name":"ci","domain":{"name":"acme"},"password":"correct-horse-battery"}`},
		{IAM{Username: "ci", DomainID: "d78cbac1"}, `{"name":"ci","domain":{"id":"d78cbac1"},"password":"correct-horse-battery"}`},
		{IAM{Username: "ci", DomainID: "d78cbac1", DomainName: "acme"}, `{"name":"ci","domain":{"id":"d78cbac1"},"password":"correct-horse-battery"}`},
		{IAM{UserID: "7116d09f"}, `{"id":"7116d09f","password":"correct-horse-battery"}`},
		{IAM{UserID: "7116d09f", Username: "ci", DomainID: "d78cbac1", DomainName: "acme"}, `{"id":"7116d09f","password":"correct-horse-battery"}`},
	}
	scopes := []struct {
		set  IAM
		want string
	}{
		{IAM{}, ``},
		{IAM{ProjectID: "46419bae"}, `,"scope":{"project":{"id":"46419bae"}}`},
		{IAM{ProjectName: "cn-north-4"}, `,"scope":{"project":{"name":"cn-north-4"}}`},
		{IAM{ProjectName: "cn-north-4", ProjectDomainName: "acme"}, `,"scope":{"project":{"name":"cn-north-4","domain":{"name":"acme"}}}`},
		{IAM{ProjectName: "cn-north-4", ProjectDomainID: "d78cbac1", ProjectDomainName: "acme"}, `,"scope":{"project":{"name":"cn-north-4","domain":{"id":"d78cbac1"}}}`},
		{IAM{ProjectID: "46419bae", ProjectName: "cn-north-4", ProjectDomainID: "d78cbac1", ProjectDomainName: "acme"}, `,"scope":{"project":{"id":"46419bae"}}`},
	}
	for _, user := range users {
		for _, scope := range scopes {
			_, body := iamSent(t, func(wire *recorder) TokenSource {
				i := iamOn(wire)
				i.UserID, i.Username, i.DomainID, i.DomainName = user.set.UserID, user.set.Username, user.set.DomainID, user.set.DomainName
				i.ProjectID, i.ProjectName = scope.set.ProjectID, scope.set.ProjectName
				i.ProjectDomainID, i.ProjectDomainName = scope.set.ProjectDomainID, scope.set.ProjectDomainName
				return i
			})
			assert.Equal(t, `{"auth":{"identity":{"methods":["password"],"password":{"user":`+user.want+`}}`+scope.want+`}}`, body)
		}
	}
	// A password goes over the wire as it is, without the escapes that encoding/json
	// adds for the sake of HTML.
	_, body := iamSent(t, func(wire *recorder) TokenSource {
		i := iamOn(wire)
		i.Password = "a<b>&c\"d\\e ü"
		return i
	})
	assert.Contains(t, body, `"password":"a<b>&c\"d\\e ü"}`)
}

func TestAgencyRequestBody(t *testing.T) {
	for _, domain := range []struct{ id, name, want string }{
		{"", "customer", `"domain_name":"customer"`},
		{"d78cbac1", "", `"domain_id":"d78cbac1"`},
	} {
		for _, scope := range []struct{ id, name, want string }{
			{"", "", ``},
			{"46419bae", "", `,"scope":{"project":{"id":"46419bae"}}`},
			{"", "cn-north-4", `,"scope":{"project":{"name":"cn-north-4"}}`},
		} {
			r, body := iamSent(t, func(wire *recorder) TokenSource {
				a := agencyOn(wire)
				a.DomainID, a.DomainName, a.ProjectID, a.ProjectName = domain.id, domain.name, scope.id, scope.name
				return a
			})
			assert.Equal(t, `{"auth":{"identity":{"methods":["assume_role"],"assume_role":{"agency_name":"deployers",`+domain.want+`}}`+scope.want+`}}`, body)
			assert.Equal(t, []string{"token-of-the-user"}, r.Header["X-Auth-Token"])
		}
	}
}

func TestIAMRequest(t *testing.T) {
	for _, endpoint := range []string{
		"https://iam.example.com", "https://iam.example.com/", "https://iam.example.com:8443//", "https://example.com/identity",
	} {
		for name, on := range map[string]func(*recorder) TokenSource{
			"IAM":    func(wire *recorder) TokenSource { i := iamOn(wire); i.Endpoint = endpoint; return i },
			"Agency": func(wire *recorder) TokenSource { a := agencyOn(wire); a.Endpoint = endpoint; return a },
		} {
			r, _ := iamSent(t, on)
			assert.Equal(t, http.MethodPost, r.Method)
			assert.Equal(t, strings.TrimRight(endpoint, "/")+"/v3/auth/tokens?nocatalog=true", r.URL.String(), "the catalog is 100 kB that nobody reads")
			assert.Equal(t, "application/json;charset=UTF-8", r.Header.Get("Content-Type"))
			assert.Equal(t, "application/json", r.Header.Get("Accept"))
			assert.Contains(t, r.Header.Get("User-Agent"), "apig-go/")
			assert.NotContains(t, r.Header, "Authorization")
			assert.NotContains(t, r.Header, "X-Project-Id")
			assert.Equal(t, name == "Agency", r.Header["X-Auth-Token"] != nil)
		}
	}
}

func TestIAMToken(t *testing.T) {
	expires := func(value string) string { return `{"token":{"expires_at":` + value + `}}` }
	at := func(nanos int) time.Time { return time.Date(2019, 2, 13, 6, 52, 13, nanos, time.UTC) }
	for name, tt := range map[string]struct {
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
	} {
		t.Run(name, func(t *testing.T) {
			forIAMKinds(t, func(t *testing.T, _ string, on func(http.RoundTripper) TokenSource) {
				wire := answering(respondJSON(tt.status, tt.body, "X-Subject-Token", "MIIFvgY-the-token"))
				token, err := on(wire).Token(t.Context())
				require.NoError(t, err)
				assert.Equal(t, "MIIFvgY-the-token", string(token.Value))
				assert.True(t, token.Expiry.Equal(tt.want), "%v", token.Expiry)
				assert.Equal(t, 1, wire.count())
			})
		})
	}
}

// What IAM refuses is an error of IAM, whatever it answers with.
func TestIAMRefusal(t *testing.T) {
	for name, tt := range map[string]struct {
		status   int
		body     string
		header   []string
		sentinel error
		text     string // after "apig: " and the operation
	}{
		"wrong password": {401, iamWrongBody, nil, ErrUnauthorized, "401 Unauthorized: The username or password is wrong."},
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
			401, `{"error_code":"APIGW.0301","error_msg":"decrypt token fail","request_id":"8080d377"}`, nil,
			ErrUnauthorized, "401 Unauthorized, APIGW.0301: decrypt token fail (request id 8080d377)",
		},
		"IAM's own codes": {
			400, `{"error_msg":"Invalid input for field 'auth'.","error_code":"IAM.0001"}`, []string{"X-Request-Id", "8080d377"},
			ErrBadRequest, "400 Bad Request, IAM.0001: Invalid input for field 'auth'. (request id 8080d377)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
				wire := answering(respond(tt.status, tt.body, tt.header...))
				token, err := on(wire).Token(t.Context())
				assert.Zero(t, token.Value)
				require.ErrorIs(t, err, tt.sentinel)
				assert.Equal(t, "apig: "+op+": "+tt.text, err.Error())
				assert.Equal(t, 1, wire.count(), "another attempt would be refused too")
			})
		})
	}
}

// Whoever publishes learns that it was IAM that refused, and nothing is sent to
// the gateway.
func TestIAMRefusalThroughPublish(t *testing.T) {
	for name, tt := range map[string]struct {
		answer   httpmock.Responder
		status   int
		text     string // after the operation
		requests int
	}{
		"wrong password": {respondJSON(401, iamWrongBody), 401, "401 Unauthorized: The username or password is wrong.", 1},
		"down":           {respond(503, "<html>"), 503, "503 Service Unavailable (4 attempts)", 4},
	} {
		for method, publish := range directions {
			t.Run(method+" "+name, func(t *testing.T) {
				forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
					wire := answering(tt.answer)
					c, mt := newTest(t, authBy(TokenAuth(on(wire))))
					record, err := publish(c, t.Context(), testRequest)
					assert.Nil(t, record)
					assert.Equal(t, NotApplied, OutcomeOf(err), "nothing was sent to the gateway")
					require.EqualError(t, err, "apig: "+method+" API "+testAPI+": getting a token: "+op+": "+tt.text)
					var e *APIGError
					require.ErrorAs(t, err, &e)
					assert.Equal(t, op, e.Op)
					assert.Equal(t, tt.status, e.StatusCode)
					assert.Equal(t, tt.requests, wire.count())
					assert.Zero(t, mt.GetTotalCallCount())
				})
			})
		}
	}
}

// A token is only read, so that whatever may be cured by a repetition is repeated,
// after the waits of the source's own policy.
func TestIAMRetries(t *testing.T) {
	broken := func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
	for name, failure := range map[string]httpmock.Responder{
		"503":                   respond(503, ""),
		"503, the front":        respondJSON(503, `{"error_code":"APIGW.0613","error_msg":"IAM is unavailable"}`),
		"502 in HTML":           respond(502, "<html>The backend server is unreachable</html>"),
		"500":                   respondJSON(500, `{"error":{"code":500,"message":"Internal error","title":"Internal Server Error"}}`),
		"504":                   respond(504, ""),
		"408":                   respond(408, ""),
		"429":                   respondJSON(429, `{"error":{"code":429,"message":"The throttling threshold has been reached.","title":"Too Many Requests"}}`),
		"a broken connection":   broken,
		"a switch of protocols": respondWith(101, func() io.Reader { return endless('x') }),
		"no token":              respondJSON(201, `{"token":{"expires_at":"2019-02-13T06:52:13.855000Z"}}`),
		"a login page":          respond(200, "<html>Sign in to the guest network</html>", "Content-Type", "text/html"),
	} {
		t.Run(name, func(t *testing.T) {
			forIAMKinds(t, func(t *testing.T, _ string, on func(http.RoundTripper) TokenSource) {
				wire := answering(failure, failure, failure, iamIssued("MIIFvgY"))
				elapsed := took(func() {
					token, err := on(wire).Token(t.Context())
					require.NoError(t, err)
					assert.Equal(t, "MIIFvgY", string(token.Value))
				})
				assert.Equal(t, 3*time.Second, elapsed)
				assert.Equal(t, 4, wire.count())
				for _, body := range wire.bodies {
					assert.Equal(t, wire.bodies[0], body, "the whole body each time")
				}

				wire = answering(failure)
				source := on(wire)
				switch s := source.(type) {
				case *IAM:
					s.Retry.MaxAttempts = 2
				case *Agency:
					s.Retry.MaxAttempts = 2
				}
				_, err := source.Token(t.Context())
				require.Error(t, err)
				assert.NotErrorIs(t, err, ErrOutcomeUnknown, "there is no outcome to a question")
				assert.Contains(t, err.Error(), "(2 attempts)")
				assert.Equal(t, 2, wire.count())
			})
		})
	}
}

func TestIAMAnswerWithoutToken(t *testing.T) {
	forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
		_, err := on(answering(respondJSON(201, `{"token":{}}`))).Token(t.Context())
		require.ErrorIs(t, err, ErrBadResponse)
		assert.Equal(t, "apig: "+op+": unreadable response: status 201, the answer has no X-Subject-Token (4 attempts)", err.Error())
	})
}

// A question ends with its context, and an attempt after AttemptTimeout, 60 s by
// default.
func TestIAMTime(t *testing.T) {
	hang := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
		wire := answering(hang)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var err error
		assert.Equal(t, 10*time.Second, took(func() { _, err = on(wire).Token(ctx) }))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Contains(t, err.Error(), "apig: "+op+": ")
		assert.Equal(t, 1, wire.count())

		for timeout, want := range map[time.Duration]time.Duration{0: time.Minute, time.Hour: time.Hour} {
			source := on(answering(hang, respondJSON(401, iamWrongBody)))
			switch s := source.(type) {
			case *IAM:
				s.AttemptTimeout = timeout
			case *Agency:
				s.AttemptTimeout = timeout
			}
			assert.Equal(t, want+time.Second, took(func() { _, err = source.Token(t.Context()) }))
		}
	})
}

func TestIAMMistakes(t *testing.T) {
	iam := func(change func(*IAM)) *IAM { i := iamOn(nil); change(i); return i }
	agency := func(change func(*Agency)) *Agency { a := agencyOn(nil); change(a); return a }
	const cut = "\xe2\x82" // the beginning of a character
	for name, tt := range map[string]struct {
		source TokenSource
		want   string
	}{
		"everything": {
			&IAM{AttemptTimeout: -1, Retry: RetryPolicy{MaxAttempts: -1, MinWait: 2, MaxWait: 1}},
			"IAM.Username and IAM.UserID are empty; IAM.Password is empty; IAM.Endpoint is empty; " +
				"IAM.AttemptTimeout is negative; IAM.Retry.MaxAttempts is negative; IAM.Retry.MinWait 2ns is above IAM.Retry.MaxWait 1ns",
		},
		"no domain":      {iam(func(i *IAM) { i.DomainName = "" }), "IAM.DomainName and IAM.DomainID are empty, and Username needs one of them"},
		"no password":    {iam(func(i *IAM) { i.Password = "" }), "IAM.Password is empty"},
		"not a URL":      {iam(func(i *IAM) { i.Endpoint = "iam.cn-north-4.myhuaweicloud.com" }), "IAM.Endpoint is not an absolute URL"},
		"no such region": {iam(func(i *IAM) { i.Endpoint = IAMEndpoint("evil.example/") }), "IAM.Endpoint is not the address of a region, whose name is letters, digits and hyphens, such as cn-north-4"},
		"plain http": {
			iam(func(i *IAM) { i.Endpoint = "http://iam.example.com" }), `IAM.Endpoint "http://iam.example.com" must be https (http only to a loopback address)`,
		},
		"a password in the endpoint": {
			iam(func(i *IAM) { i.Endpoint = "https://ci:" + iamPassword + "@iam.example.com" }), "IAM.Endpoint must not hold a user or password",
		},
		"where to look for no project": {
			iam(func(i *IAM) { i.ProjectID, i.ProjectDomainName = "", "acme" }),
			"IAM.ProjectName is empty, and IAM.ProjectDomainID and IAM.ProjectDomainName say where to look it up",
		},
		"not UTF-8, which JSON would change": {
			iam(func(i *IAM) {
				i.Password, i.UserID, i.Username, i.DomainID, i.DomainName = cut, cut, cut, cut, cut
				i.ProjectID, i.ProjectName, i.ProjectDomainID, i.ProjectDomainName = cut, cut, cut, cut
			}),
			"IAM.Password is not valid UTF-8; IAM.UserID is not valid UTF-8; IAM.Username is not valid UTF-8; IAM.DomainID is not valid UTF-8; " +
				"IAM.DomainName is not valid UTF-8; IAM.ProjectID is not valid UTF-8; IAM.ProjectName is not valid UTF-8; " +
				"IAM.ProjectDomainID is not valid UTF-8; IAM.ProjectDomainName is not valid UTF-8",
		},
		"no transport": {
			iam(func(i *IAM) {
				i.HTTPClient = &http.Client{Transport: (*http.Transport)(nil)}
				i.Logger = &slog.Logger{}
			}),
			"IAM.HTTPClient.Transport is a nil *http.Transport; IAM.Logger has no handler",
		},

		"agency: everything": {
			&Agency{AttemptTimeout: -1, ProjectID: "p", ProjectName: "n", Retry: RetryPolicy{SettleWait: -1}},
			"Agency.Source is nil; Agency.Name is empty; one of Agency.DomainName and Agency.DomainID is needed; " +
				"Agency.ProjectID and Agency.ProjectName exclude each other; Agency.Endpoint is empty; " +
				"Agency.AttemptTimeout is negative; Agency.Retry.SettleWait is negative",
		},
		"agency: both domains": {agency(func(a *Agency) { a.DomainID = "d" }), "one of Agency.DomainName and Agency.DomainID is needed"},
		"agency: a source that is nil": {
			agency(func(a *Agency) { a.Source = (*IAM)(nil) }), "Agency.Source is nil",
		},
		"agency: not UTF-8": {
			agency(func(a *Agency) { a.Name, a.DomainName, a.ProjectID = cut, cut, cut }),
			"Agency.Name is not valid UTF-8; Agency.DomainName is not valid UTF-8; Agency.ProjectID is not valid UTF-8",
		},
		"agency: not UTF-8 either": {
			agency(func(a *Agency) { a.DomainName, a.DomainID, a.ProjectID, a.ProjectName = "", cut, "", cut }),
			"Agency.DomainID is not valid UTF-8; Agency.ProjectName is not valid UTF-8",
		},
		"agency: plain http": {
			agency(func(a *Agency) { a.Endpoint = "http://iam.example.com" }),
			`Agency.Endpoint "http://iam.example.com" must be https (http only to a loopback address)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.source.Token(t.Context())
			require.EqualError(t, err, "apig: invalid argument: "+tt.want)
			assert.ErrorIs(t, err, ErrInvalidArgument)

			c, mt := newTest(t, authBy(TokenAuth(tt.source)))
			_, err = c.Publish(t.Context(), testRequest)
			require.EqualError(t, err, "apig: Publish API "+testAPI+": getting a token: invalid argument: "+tt.want)
			assert.ErrorIs(t, err, ErrInvalidArgument)
			assert.Zero(t, mt.GetTotalCallCount())
		})
	}
}

// A server that repeats what it was sent, and a transport that does, cannot make
// the password appear in an error or a log.
func TestIAMPasswordNeverShows(t *testing.T) {
	message := func(text string) httpmock.Responder {
		quoted, _ := json.Marshal(text)
		return respondJSON(400, `{"error":{"code":400,"message":`+string(quoted)+`,"title":"Bad Request"}}`)
	}
	asSent := func(r *http.Request) string {
		body, _ := r.GetBody()
		sent, _ := io.ReadAll(body)
		return string(sent)
	}
	for name, echo := range map[string]func(password string) httpmock.Responder{
		"as it is": func(password string) httpmock.Responder {
			return message("Invalid input: " + password + " is not of type 'object'")
		},
		"the body": func(string) httpmock.Responder {
			return func(r *http.Request) (*http.Response, error) { return message("cannot parse " + asSent(r))(r) }
		},
		"in HTML":  func(password string) httpmock.Responder { return message("<p>" + html.EscapeString(password) + "</p>") },
		"in ASCII": func(password string) httpmock.Responder { return message(strconv.QuoteToASCII(password)) },
		"as the code": func(password string) httpmock.Responder {
			quoted, _ := json.Marshal(password)
			return respondJSON(400, `{"error":{"code":`+string(quoted)+`,"message":"m"}}`)
		},
		"as the request id": func(password string) httpmock.Responder {
			return respondJSON(400, `{"error":{"message":"m"}}`, "X-Request-Id", password)
		},
		"cut off in the middle": func(password string) httpmock.Responder {
			return message(strings.Repeat("x", maxMessage-len(password)/2) + password)
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
	} {
		for _, password := range []string{iamPassword, `Quokka"7\zebra'x<&>ünd 9w`} {
			t.Run(name+" "+password, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					log := new(buffer)
					i := iamOn(answering(echo(password)))
					i.Password = Secret(password)
					i.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
					c, _ := newTest(t, authBy(TokenAuth(i)), logTo(i.Logger))
					_, err := c.Publish(t.Context(), testRequest)
					require.Error(t, err)
					shown := errorTree(err) + log.String()
					assert.Contains(t, shown, "REDACTED", "the echo is there")
					for _, piece := range []string{"correct", "battery", "Quokka", "zebra", "nd 9w"} { // nothing to escape in them
						assert.NotContains(t, shown, piece)
					}
				})
			})
		}
	}
}

// errorTree is everything that there is to print of an error and of all errors
// within.
func errorTree(err error) string {
	if err == nil {
		return ""
	}
	text := fmt.Sprintf("%v\n%+v\n%#v\n%q\n", err, err, err, err)
	if v, ok := err.(slog.LogValuer); ok {
		text += fmt.Sprintln(v.LogValue())
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		text += errorTree(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			text += errorTree(inner)
		}
	}
	return text
}

// One record an attempt says that it was for IAM.
func TestIAMLog(t *testing.T) {
	forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) TokenSource) {
		log := new(buffer)
		logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		source := on(answering(respond(503, ""), iamIssued("MIIFvgY-the-token")))
		switch s := source.(type) {
		case *IAM:
			s.Logger = logger
		case *Agency:
			s.Logger = logger
		}
		_, err := source.Token(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, strings.Count(log.String(), `"op":"`+op+`"`), "two attempts and a retry:\n%s", log)
		for _, secret := range []string{"MIIFvgY", iamPassword, "token-of-the-user"} {
			assert.NotContains(t, log.String(), secret)
		}
	})
}

func TestAgencySource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := answering(iamIssued("t"))
		a, asked := agencyOn(wire), 0
		a.Source = sourceFunc(func(context.Context) (Token, error) {
			asked++
			return Token{Value: Secret(fmt.Sprint("own-", asked))}, nil
		})
		for n := range 2 {
			_, err := a.Token(t.Context())
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprint("own-", n+1), wire.requests[n].Header.Get("X-Auth-Token"), "asked each time")
		}

		a.Source = iamOn(answering(respondJSON(401, iamWrongBody)))
		const failed = "getting the token of the agency's user: %sIAM: 401 Unauthorized: The username or password is wrong."
		_, err := a.Token(t.Context())
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.EqualError(t, err, fmt.Sprintf(failed, "apig: "))
		c, _ := newTest(t, authBy(TokenAuth(a)))
		_, err = c.Publish(t.Context(), testRequest)
		assert.EqualError(t, err, "apig: Publish API "+testAPI+": getting a token: "+fmt.Sprintf(failed, ""))

		for _, own := range []Secret{"", "own-token-of-the-user\n"} {
			a.Source = sourceFunc(func(context.Context) (Token, error) { return Token{Value: own}, nil })
			_, err := a.Token(t.Context())
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "own-token")
		}
		assert.Equal(t, 2, wire.count())
	})
}

// iamSite is a site whose gateway has an IAM that knows the user of iamOn, and
// that user's IAM.
func iamSite(t testing.TB) (*site, *IAM) {
	s := newSite(t)
	s.AddUser(apigtest.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	transport := s.Transport()
	t.Cleanup(transport.CloseIdleConnections)
	i := iamOn(transport)
	i.Endpoint, i.ProjectID = s.URL(), s.ProjectID()
	return s, i
}

// agencyAt is an agency at the IAM of a site.
func agencyAt(s *site, i *IAM) *Agency {
	s.AddAgency(apigtest.Agency{Name: "deployers", DomainName: "customer"})
	a := agencyOn(i.HTTPClient.Transport)
	a.Endpoint, a.Source, a.ProjectID = s.URL(), i, s.ProjectID()
	return a
}

// Against the IAM of the fake gateway, which looks at requests by itself.
func TestIAMLogsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, i := iamSite(t)
		u := s.AddUser(apigtest.User{Name: "release", DomainName: "acme", Password: iamPassword})
		agency := agencyAt(s, i)
		domain := s.AddAgency(apigtest.Agency{Name: "deployers", DomainName: "customer"}).DomainID
		for name, source := range map[string]TokenSource{
			"by name and domain name":          &IAM{Username: "release", DomainName: "acme", ProjectID: s.ProjectID()},
			"by name and domain id":            &IAM{Username: "release", DomainID: u.DomainID, ProjectID: s.ProjectID()},
			"by id":                            &IAM{UserID: u.ID, ProjectID: s.ProjectID()},
			"to a project by name":             &IAM{UserID: u.ID, ProjectName: "cn-north-4"},
			"to a project of a domain by name": &IAM{UserID: u.ID, ProjectName: "cn-north-4", ProjectDomainName: "acme"},
			"to a project of a domain by id":   &IAM{UserID: u.ID, ProjectName: "cn-north-4", ProjectDomainID: u.DomainID},
			"domain name, project id":          &Agency{DomainName: "customer", ProjectID: s.ProjectID()},
			"domain id, project name":          &Agency{DomainID: domain, ProjectName: "cn-north-4"},
		} {
			switch source := source.(type) {
			case *IAM:
				source.Endpoint, source.Password, source.HTTPClient = i.Endpoint, i.Password, i.HTTPClient
			case *Agency:
				source.Endpoint, source.Source, source.Name, source.HTTPClient = i.Endpoint, i, agency.Name, i.HTTPClient
			}
			_, err := clientOf(t, s.Gateway, authBy(TokenAuth(source))).Publish(t.Context(), s.request(name))
			require.NoError(t, err, name)
		}

		agency.Name = "nobody"
		_, err := clientOf(t, s.Gateway, authBy(TokenAuth(agency))).Publish(t.Context(), s.request(""))
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.ErrorContains(t, err, "getting a token: IAM agency: 401")
	})
}

// iamCall publishes by the tokens of a source, and gives what that needed.
func (s *site) iamCall(t *testing.T, c *Client, want ...apigtest.Op) error {
	t.Helper()
	before := len(s.Gateway.Requests())
	_, err := c.Publish(t.Context(), s.request(""))
	assert.Equal(t, want, opsOf(s.Gateway)[before:])
	return err
}

// A token serves until the gateway does not know it any more; then the call is
// attempted once more with a new one, which costs an agency two requests. One of
// thousands of characters is one as any other.
func TestIAMTokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, i := iamSite(t)
		c := clientOf(t, s.Gateway, authBy(TokenAuth(i)), attempts(1))
		require.NoError(t, s.iamCall(t, c, apigtest.OpToken, apigtest.OpAction))
		require.NoError(t, s.iamCall(t, c, apigtest.OpAction))
		other, err := c.Instance(s.AddInstance(s.ProjectID(), "another").InstanceID())
		require.NoError(t, err)
		require.NoError(t, drain(other.Environments(t.Context(), EnvironmentQuery{})))
		require.NotContains(t, opsOf(s.Gateway)[3:], apigtest.OpToken, "clients of other instances share it")

		for _, reject := range []func(){
			func() { s.RevokeToken(s.Gateway.Requests()[1].Header.Get("X-Auth-Token")) },
			func() { s.Inject(apigtest.ExpireToken().On(apigtest.OpAction)) },
			func() { s.Inject(apigtest.RefuseToken().On(apigtest.OpAction)) },
		} {
			reject()
			require.NoError(t, s.iamCall(t, c, apigtest.OpAction, apigtest.OpToken, apigtest.OpAction), "the one repetition does not count as an attempt")
		}

		agency := clientOf(t, s.Gateway, authBy(TokenAuth(agencyAt(s, i))))
		require.NoError(t, s.iamCall(t, agency, apigtest.OpToken, apigtest.OpToken, apigtest.OpAction))
		s.Inject(apigtest.RefuseToken().On(apigtest.OpAction))
		require.NoError(t, s.iamCall(t, agency, apigtest.OpAction, apigtest.OpToken, apigtest.OpToken, apigtest.OpAction))

		long := strings.Repeat("MIIFvgYJKoZIhvcNAQcCoIIFrzCCBasCAQExDTALBglghkgBZQMEAgEw-", 144)[:8<<10]
		s.AddToken(long, time.Time{})
		s.Inject(apigtest.Fault{Op: apigtest.OpToken, Header: http.Header{"X-Subject-Token": {long}}})
		require.NoError(t, s.iamCall(t, clientOf(t, s.Gateway, authBy(TokenAuth(i))), apigtest.OpToken, apigtest.OpAction))
		requests := s.Gateway.Requests()
		assert.Equal(t, []string{long}, requests[len(requests)-1].Header["X-Auth-Token"])
	})
}

// What no new token cures ends the call, and says who refused.
func TestIAMGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, i := iamSite(t)
		project := i.ProjectID
		i.ProjectID = ""
		err := s.iamCall(t, clientOf(t, s.Gateway, authBy(TokenAuth(i))), apigtest.OpToken, apigtest.OpAction)
		var e *APIGError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, CodeTokenNoProject, e.Code, "the next token would be for no project either")
		i.ProjectID = project

		c := clientOf(t, s.Gateway, authBy(TokenAuth(i)))
		s.ValidateTokens(func(string) bool { return false })
		err = s.iamCall(t, c, apigtest.OpToken, apigtest.OpAction, apigtest.OpToken, apigtest.OpAction)
		require.ErrorIs(t, err, ErrUnauthorized)
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "Publish", e.Op, "it was not IAM; and it is asked twice, not for ever")
		s.ValidateTokens(nil)

		require.NoError(t, s.iamCall(t, c, apigtest.OpAction))
		s.Inject(apigtest.ExpireToken().On(apigtest.OpAction))
		s.AddUser(apigtest.User{Name: "ci", DomainName: "acme", Password: iamPassword, Disabled: true})
		err = s.iamCall(t, c, apigtest.OpAction, apigtest.OpToken)
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Contains(t, err.Error(), "getting a token: IAM: 401 Unauthorized: The username or password is wrong.")
	})
}

// What getting a token does on the network says nothing about whether the request
// that it is for was sent.
func TestIAMIsNotTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, i := iamSite(t)
		unknownAPI := clientOf(t, s.Gateway, authBy(TokenAuth(i)))
		_, err := unknownAPI.Publish(t.Context(), testRequest)
		require.ErrorIs(t, err, ErrNotFound)
		assert.Equal(t, []apigtest.Op{apigtest.OpToken, apigtest.OpAction}, opsOf(s.Gateway), "there is nothing to settle")

		c := clientOf(t, s.Gateway, authBy(TokenAuth(i)))
		require.NoError(t, s.iamCall(t, c, apigtest.OpToken, apigtest.OpAction))
		s.RevokeToken(s.Gateway.Requests()[3].Header.Get("X-Auth-Token"))
		s.Inject(apigtest.Drop().On(apigtest.OpAction), apigtest.Slow(time.Second).On(apigtest.OpToken))
		require.NoError(t, s.iamCall(t, c, apigtest.OpAction, apigtest.OpToken, apigtest.OpAction), "on a new connection")
		assert.Len(t, s.Journal(), 2)

		dead := apigtest.NewGateway(apigtest.WithoutNetwork())
		dead.Close()
		transport := dead.Transport()
		defer transport.CloseIdleConnections()
		c = clientOf(t, s.Gateway, authBy(TokenAuth(i)), func(cfg *Config) { cfg.HTTPClient = &http.Client{Transport: transport} })
		require.Error(t, s.iamCall(t, c, apigtest.OpToken), "no connection to the gateway, so nothing was sent")
		_, err = c.Publish(t.Context(), s.request(""))
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	})
}

// Without a client of the caller's, no connection to IAM stays open; with one, it
// is kept and used again.
func TestIAMConnections(t *testing.T) {
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	g.AddUser(apigtest.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	g.AddAgency(apigtest.Agency{Name: "deployers", DomainName: "customer"})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	own := &http.Client{Transport: transport}
	for _, hc := range []*http.Client{nil, own} {
		i := iamOn(nil)
		i.Endpoint, i.ProjectID, i.HTTPClient = g.URL(), g.ProjectID(), hc
		a := agencyOn(nil)
		a.Endpoint, a.ProjectID, a.HTTPClient = g.URL(), g.ProjectID(), hc
		a.Source = sourceFunc(func(context.Context) (Token, error) { return Token{Value: Secret(g.Token())}, nil })
		before := g.Accepted()
		for n, source := range []TokenSource{i, a, i, a} {
			_, err := source.Token(t.Context())
			require.NoError(t, err)
			if hc == nil {
				assert.Equal(t, before+n+1, g.Accepted())
				eventually(t, "the connection is closed", func() bool { return g.Connections() == 0 })
			}
		}
		if hc != nil {
			assert.Equal(t, before+1, g.Accepted())
			assert.Nil(t, hc.CheckRedirect, "it was copied")
		}
	}
}

// eventually waits for what takes the other side a moment.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// The worst answers of IAM cost little: they are read up to a bound, and what is
// read is looked at once.
func TestIAMAnswersAreBounded(t *testing.T) {
	const start = `{"token":{`
	bodies := map[string]string{
		"ends without end": start + strings.Repeat(`"expires_at":"2019-02-13T06:52:13.855000Z",`, maxBody/43),
		"brackets":         `{"token":` + strings.Repeat("[", maxBody),
		"one long time":    start + `"expires_at":"` + strings.Repeat("2", maxBody),
		"a long message":   `{"error":{"message":"` + strings.Repeat(iamPassword, maxBody/len(iamPassword)) + `"}}`,
		"tiny messages":    `{` + strings.Repeat(`"message":"m",`, maxBody/14),
		"nested objects":   strings.Repeat(`{"error":`, maxBody/9),
	}
	for name := range maps.Keys(bodies) {
		for _, status := range []int{201, 400} {
			i := iamOn(answering(func(r *http.Request) (*http.Response, error) {
				return respondWith(status, func() io.Reader { return io.MultiReader(strings.NewReader(bodies[name]), endless('x')) })(r)
			}))
			i.Retry = RetryPolicy{MaxAttempts: 1}
			cost := costOf(func() { _, err := i.Token(t.Context()); require.Error(t, err) })
			cost.assertSmall(t, fmt.Sprint(name, " ", status))
		}
	}
}

// cost is what a call allocates in all, in bytes, which is more than it holds at
// once.
type cost uint64

func costOf(f func()) cost {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return cost(after.TotalAlloc - before.TotalAlloc)
}

// assertSmall asserts the bound of any one answer, 64 MB.
func (c cost) assertSmall(t *testing.T, what string) {
	t.Helper()
	assert.Less(t, c, cost(64<<20), "%s: bytes", what)
}

// FuzzIAMAnswer reads what IAM may send: nothing makes it panic, and a token comes
// from the header alone.
func FuzzIAMAnswer(f *testing.F) {
	f.Add("MIIFvgY", []byte(`{"token":{"expires_at":"2019-02-13T06:52:13.855000Z"}}`))
	f.Fuzz(func(t *testing.T, token string, body []byte) {
		got, err := decodeToken(&answer{status: 201, header: http.Header{"X-Subject-Token": {token}}, body: body})
		if (err == nil) != (token != "") || string(got.Value) != token {
			t.Fatalf("%q, %v", string(got.Value), err)
		}
		if !got.Expiry.IsZero() && got.Expiry.UTC().Year() <= 1 {
			t.Fatal(got.Expiry)
		}
	})
}
