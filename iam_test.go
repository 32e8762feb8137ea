package apig

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
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
	answers  []httpmock.Responder
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
	w.requests = append(w.requests, r)
	w.bodies = append(w.bodies, string(body))
	return w.answers[min(len(w.requests), len(w.answers))-1](r)
}

func (w *recorder) count() int { return len(w.requests) }

// iamOn is a complete IAM on a transport.
func iamOn(transport http.RoundTripper) *IAM {
	return &IAM{
		Endpoint: iamAddress, Username: "ci", DomainName: "acme", Password: iamPassword, ProjectID: testProject,
		HTTPClient: &http.Client{Transport: transport},
	}
}

// agencyOn acts for an agency. The transport gets the requests for the agency's tokens.
func agencyOn(transport http.RoundTripper) *IAM {
	i := iamOn(userTokens{transport})
	i.AgencyName, i.AgencyDomainName = "deployers", "customer"
	return i
}

// userTokens answers a password with a token, and passes all other requests on.
type userTokens struct{ http.RoundTripper }

func (u userTokens) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header["X-Auth-Token"] == nil {
		return iamIssued("token-of-the-user")(r)
	}
	return u.RoundTripper.RoundTrip(r)
}

// forIAMKinds runs a test for both kinds of tokens, in virtual time.
func forIAMKinds(t *testing.T, test func(t *testing.T, op string, on func(http.RoundTripper) *IAM)) {
	virtually(t, "IAM", func(t *testing.T) { test(t, "IAM", iamOn) })
	virtually(t, "IAM agency", func(t *testing.T) { test(t, "IAM agency", agencyOn) })
}

// Every way to name the user, with every way to name the project. A password goes over
// the wire without the escapes that encoding/json adds for HTML.
func TestIAMRequest(t *testing.T) {
	user := func(who, project string) string {
		return `{"auth":{"identity":{"methods":["password"],"password":{"user":{` + who + `,"password":"a<b>&c\"d\\e ü"}}}` + project + `}}`
	}
	agency := func(domain, project string) string {
		return `{"auth":{"identity":{"methods":["assume_role"],"assume_role":{"agency_name":"deployers",` + domain + `}}` + project + `}}`
	}
	const byName, byID, projectID, projectName = `"name":"ci","domain":{"name":"acme"}`, `"id":"7116"`, `,"scope":{"project":{"id":"4641"}}`, `,"scope":{"project":{"name":"cn-north-4"}}`
	for want, i := range map[string]*IAM{
		user(byName, ""): {Username: "ci", DomainName: "acme"},
		user(`"name":"ci","domain":{"id":"d78c"}`, ""): {Username: "ci", DomainID: "d78c", DomainName: "acme"},
		user(byID, ""):                                  {UserID: "7116", Username: "ci", DomainID: "d78c", DomainName: "acme"},
		user(byName, projectID):                         {Username: "ci", DomainName: "acme", ProjectID: "4641", ProjectName: "cn-north-4"},
		user(byID, projectName):                         {UserID: "7116", ProjectName: "cn-north-4"},
		agency(`"domain_name":"customer"`, ""):          {UserID: "7116", AgencyDomainName: "customer"},
		agency(`"domain_id":"d78c"`, projectID):         {UserID: "7116", AgencyDomainID: "d78c", ProjectID: "4641"},
		agency(`"domain_name":"customer"`, projectName): {UserID: "7116", AgencyDomainName: "customer", ProjectName: "cn-north-4"},
	} {
		wire := answering(iamIssued("token-of-the-user"))
		i.Endpoint, i.Password, i.HTTPClient = iamAddress+":8443/identity//", "a<b>&c\"d\\e ü", &http.Client{Transport: wire}
		bodies, tokens := []string{want}, [][]string{nil}
		if i.AgencyDomainID+i.AgencyDomainName != "" {
			i.AgencyName = "deployers"
			bodies, tokens = []string{user(byID, ""), want}, [][]string{nil, {"token-of-the-user"}}
		}
		require.NoError(t, second(i.Token(t.Context())))
		require.Equal(t, len(bodies), wire.count())
		for n, r := range wire.requests {
			assert.Equal(t, bodies[n], strings.TrimSuffix(wire.bodies[n], "\n"))
			assert.Equal(t, "POST "+iamAddress+":8443/identity/v3/auth/tokens?nocatalog=true", r.Method+" "+r.URL.String(), "the catalog is 100 kB that nobody reads")
			assert.Equal(t, "application/json;charset=UTF-8", r.Header.Get("Content-Type"))
			assert.Contains(t, r.Header.Get("User-Agent"), "apig-go/")
			assert.Equal(t, tokens[n], r.Header["X-Auth-Token"])
			assert.NotContains(t, r.Header, "Authorization")
			assert.NotContains(t, r.Header, "X-Project-Id")
		}
	}
}

// A token with an unreadable end is used until it is rejected.
func TestIAMToken(t *testing.T) {
	const cut = `{"token":{"expires_at":"2019-02-13T06:52:13Z"`
	at := time.Date(2019, 2, 13, 6, 52, 13, 0, time.UTC)
	for body, want := range map[string]time.Time{
		cut + `}}`: at,
		`{"token":{"catalog":[{"expires_at":"x"}],"expires_at":"2019-02-13T14:52:13.000000+08:00"}}`: at,

		cut: {}, ``: {}, `<html></html>`: {}, `{"token":{}}`: {}, `{"token":"t"}`: {}, `{"token":{"expires_at":1550040733}}`: {},
	} {
		for _, status := range []int{200, 201} {
			token, err := iamOn(answering(respondJSON(status, body, "X-Subject-Token", "MIIFvgY-the-token"))).Token(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "MIIFvgY-the-token", string(token.Value))
			assert.True(t, token.Expiry.Equal(want), "%s: %v", body, token.Expiry)
		}
	}
}

// A refusal of IAM is an error of IAM, whatever it answers with, also in a call that needed
// the token. That call sends nothing to the gateway.
func TestIAMRefusal(t *testing.T) {
	for text, tt := range map[string]struct { // after "apig: " and the operation
		answer   httpmock.Responder
		sentinel error
	}{
		"401 Unauthorized: The username or password is wrong.": {respondJSON(401, iamWrongBody), ErrUnauthorized},
		"404 Not Found": {respond(404, `<html><body>Not Found</body></html>`), ErrNotFound},
		"401 Unauthorized, APIGW.0301: decrypt token fail (request id 8080d377)": {
			respondJSON(401, `{"error_code":"APIGW.0301","error_msg":"decrypt token fail","request_id":"8080d377"}`), ErrUnauthorized},
	} {
		forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) *IAM) {
			wire := answering(tt.answer)
			token, err := on(wire).Token(t.Context())
			assert.Zero(t, token.Value)
			require.ErrorIs(t, err, tt.sentinel)
			assert.Equal(t, "apig: "+op+": "+text, err.Error())
			assert.Equal(t, 1, wire.count(), "another attempt would be refused too")

			c, mt := newTest(t, authBy(TokenAuth(on(wire))))
			_, err = c.Publish(t.Context(), testRequest)
			require.EqualError(t, err, "apig: Publish API "+testAPI+": getting a token: "+op+": "+text)
			var e *APIGError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, []any{op, NotApplied, 0}, []any{e.Op, OutcomeOf(err), mt.GetTotalCallCount()})
		})
	}
}

// IAM locks a user after a few wrong passwords. After one, every call in a minute gets the
// same error without a request.
func TestIAMRefusedPassword(t *testing.T) {
	forIAMKinds(t, func(t *testing.T, _ string, on func(http.RoundTripper) *IAM) {
		wire := answering(respondJSON(401, iamWrongBody))
		c, mt := newTest(t, authBy(TokenAuth(on(wire))))
		for minute := range 3 {
			for range 60 {
				_, err := c.Publish(t.Context(), testRequest)
				require.ErrorIs(t, err, ErrUnauthorized)
				require.ErrorContains(t, err, "The username or password is wrong.")
				time.Sleep(time.Second)
			}
			assert.Equal(t, minute+1, wire.count())
		}
		assert.Zero(t, mt.GetTotalCallCount())
	})
}

// A token is only read, so a retry follows each failure that it may cure, by the default
// policy.
func TestIAMRetries(t *testing.T) {
	for want, failure := range map[string]httpmock.Responder{
		"503 Service Unavailable, APIGW.0613: no IAM": respondJSON(503, `{"error_code":"APIGW.0613","error_msg":"no IAM"}`),
		"unexpected EOF": httpmock.NewErrorResponder(io.ErrUnexpectedEOF),
		"unreadable response: status 201, the answer has no X-Subject-Token": respondJSON(201, `{"token":{"expires_at":"2019-02-13T06:52:13.855000Z"}}`),
		"unreadable response: status 200, the answer has no X-Subject-Token": respond(200, "<html>Sign in to the guest network</html>"),
	} {
		forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) *IAM) {
			wire := answering(failure, failure, failure, iamIssued("MIIFvgY"))
			require.NoError(t, second(on(wire).Token(t.Context())))
			assert.Equal(t, slices.Repeat(wire.bodies[:1], 4), wire.bodies, "the whole body each time")

			_, err := on(answering(failure)).Token(t.Context())
			require.ErrorContains(t, err, want)
			assert.ErrorContains(t, err, "(4 attempts)")
			assert.NotErrorIs(t, err, ErrOutcomeUnknown, "a read has no outcome")
		})
	}
}

// A request for a token ends with its context.
func TestIAMTime(t *testing.T) {
	forIAMKinds(t, func(t *testing.T, op string, on func(http.RoundTripper) *IAM) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		hang := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
		var err error
		assert.Equal(t, 10*time.Second, took(func() { _, err = on(answering(hang)).Token(ctx) }))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "apig: "+op+": ")
	})
}

func TestIAMMistakes(t *testing.T) {
	iam := func(change func(*IAM)) *IAM { i := iamOn(nil); change(i); return i }
	const cut = "\xe2\x82" // the beginning of a character, which JSON would change
	const unreadable = " is not valid UTF-8; IAM."
	for want, i := range map[string]*IAM{
		"IAM.Username and IAM.UserID are empty; IAM.Password is empty; IAM.Endpoint is empty":                        {},
		"IAM.DomainName and IAM.DomainID are empty, and Username needs one of them":                                  iam(func(i *IAM) { i.DomainName = "" }),
		"IAM.Endpoint is not the address of a region, whose name is letters, digits and hyphens, such as cn-north-4": iam(func(i *IAM) { i.Endpoint = IAMEndpoint("evil.example/") }),
		`IAM.Endpoint "http://iam.example.com" must be https (http only to a loopback address)`:                      iam(func(i *IAM) { i.Endpoint = "http://iam.example.com" }),
		"IAM.Endpoint ends in a version: leave out /v3, which each request adds by itself":                           iam(func(i *IAM) { i.Endpoint += "/v3/" }),
		"IAM.Password" + unreadable + "UserID" + unreadable + "Username" + unreadable + "DomainID" + unreadable + "DomainName" + unreadable +
			"AgencyName" + unreadable + "AgencyDomainID" + unreadable + "ProjectID" + unreadable + "ProjectName is not valid UTF-8": iam(func(i *IAM) {
			i.Password, i.UserID, i.Username, i.DomainID, i.DomainName, i.ProjectID, i.ProjectName = cut, cut, cut, cut, cut, cut, cut
			i.AgencyName, i.AgencyDomainID = cut, cut
		}),
		"IAM.AgencyDomainName is not valid UTF-8": iam(func(i *IAM) { i.AgencyName, i.AgencyDomainName = "a", cut }),
		"IAM.HTTPClient.Transport is a nil *http.Transport; IAM.Logger has no handler": iam(func(i *IAM) {
			i.HTTPClient, i.Logger = &http.Client{Transport: (*http.Transport)(nil)}, &slog.Logger{}
		}),
		"IAM.AgencyName is empty, and an account of an agency is set":             iam(func(i *IAM) { i.AgencyDomainID = "d" }),
		"IAM.AgencyName needs one of IAM.AgencyDomainID and IAM.AgencyDomainName": iam(func(i *IAM) { i.AgencyName = "a" }),
		"IAM.AgencyName needs one of IAM.AgencyDomainID and IAM.AgencyDomainName; IAM.Password is not valid UTF-8": iam(func(i *IAM) {
			i.AgencyName, i.AgencyDomainID, i.AgencyDomainName, i.Password = "a", "d", "n", cut
		}),
	} {
		_, err := i.Token(t.Context())
		require.EqualError(t, err, "apig: invalid argument: "+want)
		require.ErrorIs(t, err, ErrInvalidArgument)
	}
	c, mt := newTest(t, authBy(TokenAuth(&IAM{UserID: "u", Password: "p"})))
	_, err := c.Publish(t.Context(), testRequest)
	require.EqualError(t, err, "apig: Publish API "+testAPI+": getting a token: invalid argument: IAM.Endpoint is empty")
	assert.ErrorIs(t, err, ErrInvalidArgument)
	assert.Zero(t, mt.GetTotalCallCount())
}

// errorTree is everything that there is to print of an error and of all errors
// within.
func errorTree(err error) string {
	var text strings.Builder
	for err := range tree(err) {
		fmt.Fprintf(&text, "%v\n%+v\n%#v\n%q\n", err, err, err, err)
	}
	return text.String()
}

// The user's token of an agency is requested anew for each token of the agency.
func TestAgencyUser(t *testing.T) {
	wire := answering(iamIssued("own-1"), iamIssued("t"), iamIssued("own-2"), iamIssued("t"), respondJSON(401, iamWrongBody))
	i := agencyOn(nil)
	i.HTTPClient = &http.Client{Transport: wire}
	for n := range 2 {
		require.NoError(t, second(i.Token(t.Context())))
		assert.Equal(t, fmt.Sprint("own-", n+1), wire.requests[2*n+1].Header.Get("X-Auth-Token"))
	}
	c, _ := newTest(t, authBy(TokenAuth(i)))
	_, err := c.Publish(t.Context(), testRequest)
	require.ErrorIs(t, err, ErrUnauthorized)
	assert.EqualError(t, err, "apig: Publish API "+testAPI+": getting a token: getting the token of the agency's user: IAM: 401 Unauthorized: The username or password is wrong.")

	i.HTTPClient = &http.Client{Transport: answering(iamIssued("own-token of-the-user"))}
	_, err = i.Token(t.Context())
	require.ErrorContains(t, err, "IAM agency: the token has a space")
	assert.NotContains(t, err.Error(), "own-token")
}

// A token serves until the gateway does not know it any more, for clients of other
// instances too. One of thousands of characters is one as any other. What getting a token
// does on the network says nothing about whether the request itself was sent.
func TestIAMTokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.AddUser(gateway.User{Name: "ci", DomainName: "acme", Password: iamPassword})
		ofIAM := s.Transport()
		defer ofIAM.CloseIdleConnections()
		i := iamOn(ofIAM)
		i.Endpoint, i.ProjectID = s.URL(), s.ProjectID()
		publish := func(c *Client, want ...gateway.Op) error {
			before := len(s.Gateway.Requests())
			_, err := c.Publish(t.Context(), s.request(""))
			assert.Equal(t, want, opsOf(s.Gateway)[before:])
			return err
		}
		long := strings.Repeat("MIIFvgYJKoZIhvcNAQcCoIIFrzCCBasCAQExDTALBglghkgBZQMEAgEw-", 144)[:8<<10]
		s.AddToken(long, time.Time{})
		s.Inject(gateway.Fault{Op: gateway.OpToken, Header: http.Header{"X-Subject-Token": {long}}})
		c := clientOf(t, s.Gateway, authBy(TokenAuth(i)))
		require.NoError(t, publish(c, gateway.OpToken, gateway.OpAction))
		require.NoError(t, publish(c, gateway.OpAction))
		other, err := c.Instance(s.AddInstance(s.ProjectID(), "another").InstanceID())
		require.NoError(t, err)
		require.NoError(t, drain(other.Environments(t.Context())))
		assert.Equal(t, []string{long}, s.Gateway.Requests()[3].Header["X-Auth-Token"])

		s.RevokeToken(long)
		s.Inject(gateway.Drop().On(gateway.OpAction), gateway.Slow(time.Second).On(gateway.OpToken))
		require.NoError(t, publish(c, gateway.OpAction, gateway.OpToken, gateway.OpAction), "on a new connection")

		dead := gateway.NewGateway(gateway.WithoutNetwork())
		dead.Close()
		transport := dead.Transport()
		defer transport.CloseIdleConnections()
		c = clientOf(t, s.Gateway, authBy(TokenAuth(i)), func(cfg *Config) { cfg.HTTPClient = &http.Client{Transport: transport} })
		err = publish(c, gateway.OpToken)
		require.Error(t, err, "no connection to the gateway, so nothing was sent")
		assert.Equal(t, NotApplied, OutcomeOf(err))
	})
}

// Without a client of the caller's, no connection to IAM stays open; with one, it
// is kept and used again.
func TestIAMConnections(t *testing.T) {
	g := gateway.NewGateway()
	t.Cleanup(g.Close)
	g.AddUser(gateway.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	g.AddAgency(gateway.Agency{Name: "deployers", DomainName: "customer"})
	a := agencyOn(nil)
	a.Endpoint, a.ProjectID, a.HTTPClient = g.URL(), g.ProjectID(), nil
	require.NoError(t, second(a.Token(t.Context())))
	assert.Equal(t, 2, g.Accepted())
	eventually(t, "the connections are closed", func() bool { return g.Connections() == 0 })

	a.HTTPClient = &http.Client{Transport: &http.Transport{}}
	t.Cleanup(a.HTTPClient.CloseIdleConnections)
	for range 2 {
		require.NoError(t, second(a.Token(t.Context())))
	}
	assert.Equal(t, 2+1, g.Accepted())
	assert.Nil(t, a.HTTPClient.CheckRedirect, "it was copied")
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
