package apig

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// No text that this package makes shows a credential. These tests search
// everything that a program can print for the secrets that it was given, and
// first show that they would find them.

// Secrets for the tests. What may stand in a header is restricted; a password
// may hold anything. Each has a run of letters and digits that no escaping
// changes, by which it is found.
const (
	secretToken         = `MIIQ-Xq7Lk2Vw9Zr4Tn8Bd3Uf6Hs5Jm+/==`
	secretOddToken      = `{"\<&>}Vb5Nc9Jx2Lq7Rm4Hd8Wt6Ky1Fp3S`
	secretPassword      = "pass wörd\n\"\\<&>'Hy6Jm1Pc5Sf0Gv8Ne2Ka4Wx7Bt"
	secretKey           = `Rb9Qd3Mz7Ck1Yp5Tj8Lf2Nv6Gw"\<&>`
	secretSecurityToken = `gQ-Ew4Kt8Bn2Xc6Vr0Zm5Ps9Dh3J+/==`
)

var allSecrets = []string{secretToken, secretOddToken, secretPassword, secretKey, secretSecurityToken}

// credential is one way to authenticate. A new one needs one row.
type credential struct {
	secrets []string

	// auth makes what goes into Config.Auth. What gets its own credentials over
	// the network does so through transport, and logs to log.
	auth func(transport http.RoundTripper, log *slog.Logger) Authenticator

	// fetches says that auth gets its credentials over the network.
	fetches bool

	// values are what a program can hold of it besides.
	values []held
}

func credentialKinds() map[string]credential {
	end := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	token := Token{Value: secretToken, Expiry: end}
	keys := Keys{AccessKey: "AKTESTTESTTEST", SecretKey: secretKey, SecurityToken: secretSecurityToken, Expiry: end}
	secret := Secret(secretToken)
	iam := IAM{Endpoint: testEndpoint, Username: "user", DomainName: "domain", Password: secretPassword, ProjectName: "cn-north-4"}
	return map[string]credential{
		"secret": {
			secrets: []string{secretToken},
			values:  []held{shown(secret), hidden(&secret), shown(map[string]Secret{"k": secret})},
		},
		"static token": {
			secrets: []string{secretOddToken},
			auth:    func(http.RoundTripper, *slog.Logger) Authenticator { return StaticToken(secretOddToken) },
		},
		"token source": {
			secrets: []string{secretToken},
			auth: func(http.RoundTripper, *slog.Logger) Authenticator {
				return TokenAuth(sourceFunc(func(context.Context) (Token, error) { return Token{Value: secretToken}, nil }))
			},
			values: []held{shown(token), behind(&token)},
		},
		"IAM": {
			secrets: []string{secretPassword},
			auth: func(transport http.RoundTripper, log *slog.Logger) Authenticator {
				iam := iam
				iam.HTTPClient, iam.Logger = &http.Client{Transport: transport}, log
				return TokenAuth(&iam)
			},
			fetches: true,
			values:  []held{shown(iam), behind(&iam), behind(TokenSource(&iam))},
		},
		"agency": {
			secrets: []string{secretPassword, secretToken},
			auth: func(transport http.RoundTripper, log *slog.Logger) Authenticator {
				iam := iam
				iam.AgencyName, iam.AgencyDomainName = "agency", "owner"
				iam.HTTPClient, iam.Logger = &http.Client{Transport: userTokens{transport}}, log
				return TokenAuth(&iam)
			},
			fetches: true,
		},
		"temporary keys": {
			secrets: []string{secretKey, secretSecurityToken},
			auth:    func(http.RoundTripper, *slog.Logger) Authenticator { return StaticKeys(keys) },
			values:  []held{shown(keys), behind(&keys)},
		},
		"ECS keys": {
			secrets: []string{secretKey, secretSecurityToken},
			auth: func(transport http.RoundTripper, _ *slog.Logger) Authenticator {
				return KeyAuth(&ECSKeys{HTTPClient: &http.Client{Transport: transport}})
			},
			fetches: true,
		},
	}
}

// held is a value in the ways in which a program may hold it, by whether every
// verb suits them.
type held struct {
	always  []any
	fitting []any // with verbs that suit a pointer
}

// shown is a value that fmt can call the methods of.
func shown[T any](v T) held {
	return held{always: []any{v, &v, struct{ V T }{v}, &struct{ V T }{v}, struct{ V any }{v}, []T{v}, map[string]T{"k": v}, []any{v, 1}}}
}

// hidden is a value in unexported fields too, where fmt calls no methods.
func hidden[T any](v T) held {
	return held{always: append(shown(v).always, struct{ v T }{v}, &struct{ v T }{v},
		struct{ any any }{v}, struct{ v []T }{[]T{v}}, struct{ v map[string]T }{map[string]T{"k": v}}, struct{ v *T }{&v})}
}

// behind is a pointer to a struct with a Secret in it. Below the first pointer
// fmt follows none, but with a verb that suits no pointer it does, and then
// calls no methods.
func behind[T any](v T) held { return held{always: shown(v).always, fitting: hidden(v).always} }

// fits reports whether a form suits pointers, or does without verbs.
func fits(form string) bool {
	return !strings.HasPrefix(form, "%") || strings.ContainsAny(form[len(form)-1:], "vdxX")
}

// forms are the ways to make a text of a value.
var forms = func() map[string]func(any) string {
	forms := map[string]func(any) string{
		"Sprint": func(v any) string { return fmt.Sprint(v) },
		"JSON": func(v any) string {
			b, err := json.Marshal(v)
			return fmt.Sprint(string(b), err)
		},
		"slog text": func(v any) string {
			return logged(func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }, v)
		},
		"slog JSON": func(v any) string {
			return logged(func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }, v)
		},
		"wrapped error": func(v any) string { return fmt.Errorf("failed with %v", v).Error() },
		"spare argument": func(v any) string {
			formats := []string{"nothing to print"} // unseen by vet
			return fmt.Sprintf(formats[0], v)
		},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%+q", "%x", "%X", "% x", "%d", "%t", "%c", "%U", "%e", "%10v", "%-40.30s", "%z"} {
		forms[verb] = func(v any) string { return fmt.Sprintf(verb, v) }
	}
	return forms
}()

func logged(handler func(io.Writer) slog.Handler, v any) string {
	var out bytes.Buffer
	slog.New(handler(&out)).With("with", v).WithGroup("group").Info("message", "v", v, slog.Group("g", slog.Any("v", v)))
	return out.String()
}

// encodings are the ways in which a text can hold a secret.
var encodings = map[string]func(string) string{
	"plain":              func(s string) string { return s },
	"quoted":             strconv.Quote,
	"quoted, ASCII":      strconv.QuoteToASCII,
	"JSON in JSON":       func(s string) string { b, _ := json.Marshal(s); b, _ = json.Marshal(string(b)); return string(b) },
	"query":              url.QueryEscape,
	"hex":                func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":                func(s string) string { return fmt.Sprintf("%X", s) },
	"hex, spaced":        func(s string) string { return fmt.Sprintf("% x", s) },
	"HEX, spaced":        func(s string) string { return fmt.Sprintf("% X", s) },
	"hex, as in Go":      func(s string) string { return fmt.Sprintf("%# x", s) },
	"decimal bytes":      func(s string) string { return fmt.Sprint([]byte(s)) },
	"base64":             func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64, raw":        func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"base64, shifted":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte("u:" + s)) },
	"base64, shifted by": func(s string) string { return base64.URLEncoding.EncodeToString([]byte("a" + s)) },
	"cut":                func(s string) string { return core(s)[:12] + "…" },
	"without its start":  func(s string) string { return core(s)[10:] },
}

// core is the longest run of letters and digits of a secret.
func core(secret string) string {
	longest := ""
	for _, run := range strings.FieldsFunc(secret, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		if len(run) > len(longest) {
			longest = run
		}
	}
	return longest
}

// spilled finds a part of a secret in a text, however it is encoded, and
// returns it, or nothing.
func spilled(text, secret string) string {
	for _, needle := range needles(secret) {
		if strings.Contains(text, needle) {
			return needle
		}
	}
	return ""
}

// needles are all parts of a secret that nobody guesses, in all encodings.
func needles(secret string) []string {
	if known, ok := needlesOf.Load(secret); ok {
		return known.([]string)
	}
	const enough = 8 // letters
	var all []string
	for run := core(secret); len(run) >= enough; run = run[1:] {
		part := run[:enough]
		inGo, decimal := fmt.Sprintf("%# x", part), strings.Trim(fmt.Sprint([]byte(part)), "[]")
		all = append(all, part, fmt.Sprintf("%x", part), fmt.Sprintf("%X", part), fmt.Sprintf("% x", part), fmt.Sprintf("% X", part),
			inGo, strings.ReplaceAll(inGo, " ", ", "), decimal, strings.ReplaceAll(decimal, " ", ","))
		for shift := range 3 { // where it begins in a group of three bytes
			s := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + part))
			all = append(all, s[(shift*8+5)/6:len(s)-1])
		}
	}
	needlesOf.Store(secret, all)
	return all
}

var needlesOf sync.Map // of the secrets seen so far

func assertNoSecrets(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if part := spilled(text, secret); part != "" {
			at := strings.Index(text, part)
			assert.Fail(t, "a secret shows", "%s: %q in %s", where, part, text[max(0, at-200):min(len(text), at+200)])
		}
	}
}

// leaky is a leak of each kind: its fields show wherever they are.
type leaky struct{ Token string }

func (o leaky) Error() string { return o.Token }

func TestPlantedLeaksAreFound(t *testing.T) {
	for _, secret := range allSecrets {
		require.GreaterOrEqual(t, len(core(secret)), 24, "long enough to be cut and still be found")
		assert.Empty(t, spilled("REDACTED", secret))
		for _, other := range allSecrets {
			assert.Equal(t, other == secret, spilled(other, secret) != "")
		}
		for encoding, encode := range encodings {
			assert.NotEmpty(t, spilled("before "+encode(secret)+" after", secret), "%s as %s", secret, encoding)
		}
		for form, text := range forms {
			planted := leaky{Token: secret}
			assert.NotEmpty(t, spilled(text(planted), secret), "an open value by %s", form)
			assert.NotEmpty(t, spilled(text(secret), secret), "a string by %s", form)
			if strings.Contains(form, "JSON") {
				continue // it knows no unexported fields
			}
			for _, v := range hidden(planted).always {
				if _, ok := v.(struct{ v *leaky }); !ok || !fits(form) {
					assert.NotEmpty(t, spilled(text(v), secret), "%T by %s", v, form)
				}
			}
		}
		assert.NotEmpty(t, spilled(reachable(&struct{ inner any }{&leaky{secret}}), secret))
		assert.NotEmpty(t, spilled(reachable(map[string][]byte{"k": []byte(secret)}), secret))
	}
}

// reachable is all texts that can be reached from a value by whoever follows every
// pointer and asks no method, as some printers for debugging do.
func reachable(v any) string {
	var text strings.Builder
	type place struct {
		at uintptr
		of reflect.Type
	}
	seen := map[place]bool{}
	var walk func(reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if at := (place{v.Pointer(), v.Type()}); !seen[at] {
				seen[at] = true
				walk(v.Elem())
			}
		case reflect.Interface:
			walk(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				walk(it.Key())
				walk(it.Value())
			}
		case reflect.String:
			text.WriteString(v.String() + "\n")
		case reflect.Uint8:
			text.WriteByte(byte(v.Uint()))
		}
	}
	walk(reflect.ValueOf(v))
	return text.String()
}

// heldOf are the values that hold a credential, in a client's configuration too. auths
// are those that hold it in memory only.
func heldOf(t *testing.T, kind credential) (values []held, auths []any) {
	if kind.auth == nil {
		return kind.values, nil
	}
	cfg := testConfig(nil)
	cfg.HTTPClient, cfg.Auth = nil, kind.auth(roundTrip(issue), slog.New(slog.DiscardHandler)) // JSON knows no http.Client
	c, err := New(cfg)
	require.NoError(t, err)
	for range 2 { // so that a cache has something to hide, and its fetch is over
		_, err := authenticated(t.Context(), cfg.Auth)
		require.NoError(t, err)
	}
	return append(kind.values, hidden(cfg.Auth), hidden(cfg), hidden(&cfg), hidden(c)), []any{cfg.Auth, cfg, c}
}

// issue answers as those do from whom credentials come: IAM and the metadata
// service of ECS.
func issue(r *http.Request) (*http.Response, error) {
	keys, err := json.Marshal(map[string]any{"credential": map[string]string{
		"access": "AKTESTTESTTEST", "secret": secretKey, "securitytoken": secretSecurityToken, "expires_at": "2999-01-01T00:00:00.000000Z",
	}})
	if err != nil {
		return nil, err
	}
	switch r.URL.Path {
	case "/v3/auth/tokens":
		return respond(201, `{"token":{"expires_at":"2999-01-01T00:00:00.000000Z"}}`, "X-Subject-Token", secretToken)(r)
	case ecsTokenPath:
		return respond(201, secretToken)(r)
	}
	return respond(201, string(keys))(r)
}

// issues reports whether a request is for issue.
func issues(r *http.Request) bool {
	return r.URL.Path == "/v3/auth/tokens" || r.URL.Path == ecsTokenPath || r.URL.Path == ecsKeysPath
}

func TestSecretsDoNotPrint(t *testing.T) {
	for name, c := range credentialKinds() {
		t.Run(name, func(t *testing.T) {
			values, auths := heldOf(t, c)
			for _, v := range auths {
				assertNoSecrets(t, fmt.Sprintf("%T in memory", v), reachable(v), allSecrets)
			}
			for form, text := range forms {
				for _, h := range values {
					all := h.always
					if fits(form) {
						all = append(all[:len(all):len(all)], h.fitting...)
					}
					for _, v := range all {
						assertNoSecrets(t, fmt.Sprintf("%T by %s", v, form), text(v), c.secrets)
					}
				}
			}
		})
	}
}

// What a program prints when it dies of a value.
func TestSecretsDoNotShowInPanics(t *testing.T) {
	const variable, planted = "APIG_TEST_PANIC", "planted: " + secretSecurityToken
	if os.Getenv(variable) != "" {
		values := []any{errors.New("the last value"), leaky{Token: planted}}
		for _, c := range credentialKinds() {
			all, _ := heldOf(t, c)
			for _, h := range all {
				values = append(values, append(h.always[:2:2], h.fitting...)...)
			}
		}
		dead := make(chan struct{})
		go func() { // out of reach of the testing package
			defer close(dead)
			for _, v := range values {
				defer panic(v)
			}
		}()
		<-dead
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecretsDoNotShowInPanics$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	text := string(out)
	require.Contains(t, text, "the last value")
	require.NotEmpty(t, spilled(text, secretSecurityToken), "the planted leak")
	assert.Greater(t, strings.Count(text, "panic: "), 50, "all values")
	assertNoSecrets(t, "panic", strings.ReplaceAll(text, planted, ""), allSecrets)
}

// echo is all that a server saw of a request, credentials first.
func echo(r *http.Request) string {
	var b strings.Builder
	for _, name := range []string{"X-Auth-Token", "X-Security-Token", "X-Metadata-Token", "Authorization", "User-Agent"} {
		if v := r.Header.Get(name); v != "" {
			fmt.Fprintf(&b, "%s: %s|", strings.ToLower(name), v)
		}
	}
	if r.GetBody != nil {
		if body, err := r.GetBody(); err == nil {
			text, _ := io.ReadAll(body)
			b.Write(text)
		}
	}
	return b.String()
}

// echoing answers with a body in which it puts what it was sent for ECHO, and that as a text
// of JSON for QUOTED. The headers of these names hold it in an address that is none.
func echoing(status int, body string, headers ...string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		text := echo(r)
		quoted, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		resp, err := respond(status, strings.NewReplacer("ECHO", text, "QUOTED", string(quoted)).Replace(body))(r)
		for _, name := range headers {
			resp.Header.Set(name, "http://["+text)
		}
		return resp, err
	}
}

// echoes are the answers of a server that repeats what it was sent wherever it
// can.
var echoes = func() map[string]roundTrip {
	echoes := map[string]roundTrip{
		"no answer": func(r *http.Request) (*http.Response, error) { return nil, errors.New("the proxy refused " + echo(r)) },
		"broken answer": func(r *http.Request) (*http.Response, error) {
			return respondWith(201, func() io.Reader {
				return io.MultiReader(strings.NewReader("{"), iotest.ErrReader(errors.New("the proxy lost "+echo(r))))
			})(r)
		},
		"answer that is plain text": echoing(201, "ECHO"),
		"answer of a wrong type":    echoing(200, `{"api_id":[QUOTED],"total":QUOTED}`),
		"answer of another API":     echoing(201, `{"api_id":QUOTED,"version_id":"1"}`),
		"list of wrong rows":        echoing(200, `{"total":1,"api_versions":[{"version_id":[QUOTED]}]}`),
		"record":                    echoing(201, publishedBody, "X-Request-Id"),
		"nested":                    echoing(400, `{"error":{"code":401,"message":QUOTED,"title":"Unauthorized"}}`),
	}
	for _, status := range []int{101, 302, 400, 401, 403, 404, 408, 409, 429, 500, 503} {
		echoes[fmt.Sprint(status)] = echoing(status, `{"error_code":QUOTED,"error_msg":QUOTED,"request_id":QUOTED}`)
	}
	for _, status := range []int{302, 400, 503} {
		echoes[fmt.Sprint(status, " in headers")] = echoing(status, "ECHO", "X-Request-Id", "Retry-After", "Date", "Location")
	}
	return echoes
}()

// faultyRun makes the calls of a program whose server repeats what it was sent,
// and returns everything that there is to print afterwards.
func faultyRun(t *testing.T, kind credential, server roundTrip) map[string]string {
	t.Helper()
	out := map[string]string{}
	debug := &slog.HandlerOptions{Level: slog.LevelDebug}
	for format, handler := range map[string]func(io.Writer) slog.Handler{
		"log as text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, debug) },
		"log as JSON": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, debug) },
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var written buffer
			cfg := testConfig(server)
			cfg.Logger = slog.New(handler(&written))
			cfg.Auth = kind.auth(server, cfg.Logger)
			cfg.Retry = RetryPolicy{MaxAttempts: 2, MinWait: 3 * time.Second, MaxWait: 3 * time.Second}
			c, err := New(cfg)
			require.NoError(t, err)
			for _, act := range directions {
				record, err := act(c, ctx, testRequest)
				out["errors"] += errorTree(err)
				for _, form := range []string{"%+v", "%#v", "%s", "JSON", "slog text", "slog JSON"} {
					out[form] += forms[form](err) + forms[form](record)
				}
			}
			out["client"], out[format] = fmt.Sprintf("%+v", c), written.String()
			require.NotEmpty(t, out[format])
		})
	}
	return out
}

func TestSecretsDoNotShowInFaultyRuns(t *testing.T) {
	for name, c := range credentialKinds() {
		if c.auth == nil {
			continue
		}
		for fault, server := range echoes {
			servers := []roundTrip{server}
			if c.fetches { // and one that only misbehaves once the credentials are had
				servers = append(servers, func(r *http.Request) (*http.Response, error) {
					if issues(r) {
						return issue(r)
					}
					return server(r)
				})
			}
			for _, server := range servers {
				for where, text := range faultyRun(t, c, server) {
					assertNoSecrets(t, name+", "+fault+", "+where, text, append([]string{secretToken}, c.secrets...))
				}
			}
		}
	}
}

// A secret in a header that holds nothing secret, and an Authenticator that tells
// what it should not, show where a leak would.
func TestPlantedLeaksInFaultyRuns(t *testing.T) {
	misplaced := credential{auth: func(http.RoundTripper, *slog.Logger) Authenticator {
		return authFunc(func(r *http.Request) error { r.Header.Set("User-Agent", secretKey); return nil })
	}}
	talkative := credential{auth: func(http.RoundTripper, *slog.Logger) Authenticator {
		return authFunc(func(*http.Request) error { return errors.New("cannot use " + secretKey) })
	}}
	for fault, kind := range map[string]credential{
		"no answer": misplaced, "broken answer": misplaced, "400": misplaced, "503": misplaced,
		"nested": misplaced, "400 in headers": misplaced, "answer that is plain text": talkative,
	} {
		out := faultyRun(t, kind, echoes[fault])
		for _, where := range []string{"errors", "%+v", "%#v", "%s", "slog text", "slog JSON", "log as text", "log as JSON"} {
			assert.NotEmpty(t, spilled(out[where], secretKey), "%s, %s", fault, where)
		}
	}
	assert.NotEmpty(t, spilled(faultyRun(t, misplaced, echoes["record"])["%+v"], secretKey), "the request id of a record")
}

// Redirects are followed nowhere: not by the gateway's client, and not by what gets its
// credentials. On the way to another host net/http would take along any header but
// Authorization, and with 307 and 308 the body too.
func TestRedirectsLeakNoCredentials(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, target := range []string{"https://elsewhere.example.net/", "http://apig.example.com/", "https://apig.example.com/again/"} {
			var elsewhere strings.Builder // everything that was sent there
			redirecting := func(redirects func(*http.Request) bool) roundTrip {
				return func(r *http.Request) (*http.Response, error) {
					switch {
					case strings.HasPrefix(r.URL.String(), target):
						elsewhere.WriteString(r.URL.String() + " " + echo(r))
						return respond(200, publishedBody)(r)
					case redirects(r):
						return respond(status, "", "Location", target+r.URL.RequestURI())(r)
					}
					return issue(r)
				}
			}
			for name, c := range credentialKinds() {
				for from, redirects := range map[string]func(*http.Request) bool{
					"the gateway": func(r *http.Request) bool { return !issues(r) },
					"the source":  issues,
					"the keys":    func(r *http.Request) bool { return r.URL.Path == ecsKeysPath },
				} {
					if c.auth == nil || from != "the gateway" && !c.fetches || from == "the keys" && name != "ECS keys" {
						continue // it asks nobody
					}
					where := fmt.Sprintf("%s, %s redirects with %d to %s", name, from, status, target)
					client, _ := newTest(t, authBy(c.auth(redirecting(redirects), nil)), func(cfg *Config) {
						// A caller's client that follows every redirect.
						cfg.HTTPClient = &http.Client{Transport: redirecting(redirects), CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
					})
					_, publishErr := client.Publish(t.Context(), testRequest)
					for _, err := range []error{publishErr, drain(client.Environments(t.Context()))} {
						var e *APIGError
						require.ErrorAs(t, err, &e, where)
						assert.Equal(t, []any{status, NotApplied}, []any{e.StatusCode, OutcomeOf(err)}, where)
						assertNoSecrets(t, where, errorTree(err), allSecrets)
					}
					assert.Empty(t, elsewhere.String(), where)
				}
			}

			// A client that follows them shows that this would be found.
			r, err := http.NewRequest(http.MethodPost, testEndpoint+"/v3/auth/tokens", strings.NewReader(core(secretPassword)))
			require.NoError(t, err)
			r.Header.Set("X-Auth-Token", secretToken)
			follows := &http.Client{Transport: redirecting(func(*http.Request) bool { return true })}
			_, err = follows.Do(r)
			require.NoError(t, err)
			assert.NotEmpty(t, spilled(elsewhere.String(), secretToken))
			assert.Equal(t, status >= 307, spilled(elsewhere.String(), secretPassword) != "", "the body")
		}
	}
}

// An Authenticator may put its credential into the query, as some gateways want it. No
// error shows it: of net/http, which quotes the address, or of a server, which does.
// The library's own parameters stay.
func TestCredentialsInTheQuery(t *testing.T) {
	const credential = "Zq8/Lm2+Vt6Kx9Rw"
	auth := authBy(authFunc(func(r *http.Request) error {
		query := r.URL.Query()
		query.Set("sig", credential)
		r.URL.RawQuery = query.Encode()
		return nil
	}))
	for want, answer := range map[string]roundTrip{
		historyURL: func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"what is limit=500&offset=0&sig=REDACTED": func(r *http.Request) (*http.Response, error) {
			return respondJSON(400, `{"error_code":"APIG.2012","error_msg":"what is `+r.URL.RawQuery+`"}`)(r)
		},
		"offset 0, sig REDACTED": func(r *http.Request) (*http.Response, error) {
			return respondJSON(400, `{"error_code":"APIG.2012","error_msg":"offset `+r.URL.Query().Get("offset")+`, sig `+r.URL.Query().Get("sig")+`"}`)(r)
		},
	} {
		c, _ := newTest(t, auth, attempts(1), func(cfg *Config) { cfg.HTTPClient.Transport = answer })
		err := drain(c.Versions(t.Context(), testAPI, EnvRelease))
		require.ErrorContains(t, err, want)
		assertNoSecrets(t, want, errorTree(err), []string{credential})
		assert.NotContains(t, errorTree(err), credential[:6])
	}
}

// Text that an error was given from outside stays on its line, in its order.
func TestNoTextReachesATerminalRaw(t *testing.T) {
	const raw = "x\x1b[31m\n\u202ey\u200b"
	for _, err := range []error{
		&APIGError{Op: raw, APIID: raw}, &CallError{Op: raw, APIID: raw}, &UnknownError{Op: raw, APIID: raw},
		&BatchError{Op: raw, Items: []BatchItem{{Err: &UnknownError{Op: raw}}}},
	} {
		assertPrintable(t, err.Error())
	}
}
