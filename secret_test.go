package apig

import (
	"bytes"
	"cmp"
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
	"strconv"
	"strings"
	"sync"
	"testing"
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

// credential is one way to authenticate. A new one needs one row.
type credential struct {
	secrets []string

	// auth makes what goes into Config.Auth. What gets its own credentials over
	// the network does so through transport, and logs to log.
	auth func(transport http.RoundTripper, log *slog.Logger) Authenticator

	// fetches says that auth gets its credentials over the network.
	fetches bool

	// patience, if not zero, is for what waits as long as in production between
	// its attempts: it makes one only.
	patience time.Duration

	// values are what a program can hold of it besides.
	values []held
}

func credentialKinds() map[string]credential {
	retry := RetryPolicy{MinWait: time.Millisecond, MaxWait: time.Millisecond}
	end := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	token := Token{Value: secretToken, Expiry: end}
	keys := Keys{AccessKey: "AKTESTTESTTEST", SecretKey: secretKey, SecurityToken: secretSecurityToken, Expiry: end}
	secret := Secret(secretToken)
	iam := IAM{Endpoint: testEndpoint, Username: "user", DomainName: "domain", Password: secretPassword, ProjectName: "cn-north-4", Retry: retry}
	agency := Agency{
		Endpoint: testEndpoint, Name: "agency", DomainName: "domain", Retry: retry,
		Source: sourceFunc(func(context.Context) (Token, error) { return token, nil }),
	}
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
			secrets: []string{secretToken},
			auth: func(transport http.RoundTripper, log *slog.Logger) Authenticator {
				agency := agency
				agency.HTTPClient, agency.Logger = &http.Client{Transport: transport}, log
				return TokenAuth(&agency)
			},
			fetches: true,
			values:  []held{shown(agency), behind(&agency), behind(&Agency{Source: &iam})},
		},
		"static keys": {
			secrets: []string{secretKey},
			auth:    func(http.RoundTripper, *slog.Logger) Authenticator { return StaticKeys("AKTESTTESTTEST", secretKey) },
		},
		"temporary keys": {
			secrets: []string{secretKey, secretSecurityToken},
			auth:    func(http.RoundTripper, *slog.Logger) Authenticator { return KeyAuth(keys) },
			values:  []held{shown(keys), behind(&keys), behind(KeySource(&keys))},
		},
		"ECS keys": {
			secrets: []string{secretKey, secretSecurityToken},
			auth: func(transport http.RoundTripper, _ *slog.Logger) Authenticator {
				return KeyAuth(&ECSKeys{HTTPClient: &http.Client{Transport: transport}})
			},
			fetches:  true,
			patience: 200 * time.Millisecond,
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
	type own struct {
		name string
		v    T
	}
	return held{always: append(shown(v).always, struct{ v T }{v}, &struct{ v T }{v}, own{"own", v}, &own{"own", v}, []own{{"own", v}},
		struct{ any any }{v}, struct{ v []T }{[]T{v}}, struct{ v map[string]T }{map[string]T{"k": v}}, struct{ v *T }{&v})}
}

// behind is a pointer to a struct with a Secret in it. Below the first pointer
// fmt follows none, but with a verb that suits no pointer it does, and then
// calls no methods.
func behind[T any](v T) held {
	return held{always: []any{v, &v}, fitting: hidden(v).always}
}

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
		"indented JSON": func(v any) string {
			b, err := json.MarshalIndent(map[string]any{"k": v}, "", "\t")
			return fmt.Sprint(string(b), err)
		},
		"slog text": func(v any) string {
			return logged(func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }, v)
		},
		"slog JSON": func(v any) string {
			return logged(func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }, v)
		},
		"wrapped error": func(v any) string { return fmt.Errorf("failed with %v", v).Error() },
		"error": func(v any) string {
			if err, ok := v.(error); ok {
				return err.Error()
			}
			return fmt.Sprint(v)
		},
		"spare argument": func(v any) string {
			formats := []string{"nothing to print"} // unseen by vet
			return fmt.Sprintf(formats[0], v)
		},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%+q", "%#q", "%x", "%X", "% x", "%#x", "%d", "%t", "%c", "%U", "%e", "%10v", "%-40.30s", "%z"} {
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
	"JSON":               func(s string) string { b, _ := json.Marshal(s); return string(b) },
	"JSON in JSON":       func(s string) string { b, _ := json.Marshal(s); b, _ = json.Marshal(string(b)); return string(b) },
	"query":              url.QueryEscape,
	"path":               url.PathEscape,
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
		all = append(all, base64Parts(part)...)
	}
	needlesOf.Store(secret, all)
	return all
}

var needlesOf sync.Map // of the secrets seen so far

// base64Parts is what all base64 texts have in common that a part occurs in.
// Where it begins in a group of three bytes decides which.
func base64Parts(part string) []string {
	var parts []string
	for shift := range 3 {
		s := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + part))
		parts = append(parts, s[(shift*8+5)/6:len(s)-1])
	}
	return parts
}

func assertNoSecrets(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if part := spilled(text, secret); part != "" {
			at := max(0, strings.Index(text, part)-200)
			assert.Fail(t, "a secret shows", "%s: %q in %s", where, part, cut(text[at:], 400))
		}
	}
}

// open is a leak of each kind: its fields show wherever they are.
type open struct {
	Token string
	Inner struct{ Password []byte }
}

func (o open) Error() string { return o.Token }

func TestPlantedLeaksAreFound(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{
		"token": secretToken, "odd token": secretOddToken, "password": secretPassword, "key": secretKey, "security token": secretSecurityToken,
	}
	for name, secret := range secrets {
		require.GreaterOrEqual(t, len(core(secret)), 24, "%s: long enough to be cut and still be found", name)
		assert.Empty(t, spilled("REDACTED", secret))
		for other, s := range secrets {
			assert.Equal(t, name == other, spilled(s, secret) != "", "%s in %s", name, other)
		}
		for encoding, encode := range encodings {
			assert.NotEmpty(t, spilled("before "+encode(secret)+" after", secret), "%s as %s", name, encoding)
		}
		for form, text := range forms {
			planted := open{Token: secret}
			assert.NotEmpty(t, spilled(text(planted), secret), "an open value by %s", form)
			assert.NotEmpty(t, spilled(text(secret), secret), "a string by %s", form)
			if strings.Contains(form, "JSON") {
				continue // it knows no unexported fields
			}
			for _, v := range hidden(planted).always {
				if _, ok := v.(struct{ v *open }); !ok || !fits(form) {
					assert.NotEmpty(t, spilled(text(v), secret), "%T by %s", v, form)
				}
			}
			// What Secret cannot help, and why the library holds none by value.
			token := Token{Value: Secret(secret)}
			assert.NotEmpty(t, spilled(text(struct{ t Token }{token}), secret), "a Token in an unexported field by %s", form)
			assert.Equal(t, !fits(form), spilled(text(struct{ t *Token }{&token}), secret) != "", "a pointer to one by %s", form)
		}
	}
	var inner open
	inner.Inner.Password = []byte(secretPassword)
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "JSON", "slog text", "slog JSON"} {
		assert.NotEmpty(t, spilled(forms[form](inner.Inner), secretPassword), "bytes by %s", form)
	}
}

// configs are the values that hold a credential in a client's configuration.
func configs(auth Authenticator) ([]held, error) {
	cfg := testConfig(nil)
	cfg.HTTPClient, cfg.Auth = nil, auth // JSON knows no http.Client
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, actionURL, nil)
	if err != nil {
		return nil, err
	}
	for range 2 { // so that a cache has something to hide, and its fetch is over
		if err := auth.Authenticate(r); err != nil {
			return nil, err
		}
	}
	return []held{hidden(auth), hidden(cfg), hidden(&cfg), hidden(c)}, nil
}

// allValues are all values that hold the credential.
func (c credential) allValues() ([]held, error) {
	if c.auth == nil {
		return c.values, nil
	}
	more, err := configs(c.auth(roundTrip(issue), slog.New(slog.DiscardHandler)))
	return append(more, c.values...), err
}

// roundTrip is a http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// issue answers as those do from whom credentials come: IAM and the metadata
// service of ECS.
func issue(r *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: 201, Header: http.Header{}, ContentLength: -1}
	body := ""
	switch r.URL.Path {
	case "/v3/auth/tokens":
		resp.Header.Set("X-Subject-Token", secretToken)
		body = `{"token":{"expires_at":"2999-01-01T00:00:00.000000Z"}}`
	case ecsTokenPath:
		body = secretToken
	case ecsKeysPath:
		b, err := json.Marshal(map[string]any{"credential": map[string]string{
			"access": "AKTESTTESTTEST", "secret": secretKey, "securitytoken": secretSecurityToken, "expires_at": "2999-01-01T00:00:00.000000Z",
		}})
		if err != nil {
			return nil, err
		}
		body = string(b)
	}
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp, nil
}

// issues reports whether a request is for issue.
func issues(r *http.Request) bool {
	return r.URL.Path == "/v3/auth/tokens" || r.URL.Path == ecsTokenPath || r.URL.Path == ecsKeysPath
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	for name, c := range credentialKinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values, err := c.allValues()
			require.NoError(t, err)
			require.NotEmpty(t, values)
			for form, text := range forms {
				for _, h := range values {
					for _, v := range h.always {
						assertNoSecrets(t, fmt.Sprintf("%T by %s", v, form), text(v), c.secrets)
					}
					for _, v := range h.fitting {
						if fits(form) {
							assertNoSecrets(t, fmt.Sprintf("%T by %s", v, form), text(v), c.secrets)
						}
					}
				}
			}
		})
	}
}

const (
	panicVariable = "APIG_TEST_PANIC"
	planted       = "planted: " + secretSecurityToken
)

// What a program prints when it dies of a value.
func TestSecretsDoNotShowInPanics(t *testing.T) {
	t.Parallel()
	if os.Getenv(panicVariable) != "" {
		var values []any
		for _, c := range credentialKinds() {
			more, err := c.allValues()
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			for _, h := range more {
				values = append(append(values, h.always...), h.fitting...)
			}
		}
		values = append(values, errors.New("the last value"), open{Token: planted})
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
	cmd.Env = append(os.Environ(), panicVariable+"=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	text := string(out)
	require.Contains(t, text, "planted: ")
	require.Contains(t, text, "the last value")
	require.NotEmpty(t, spilled(text, secretSecurityToken), "the planted leak")

	var lines []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.Contains(line, "planted: ") {
			lines = append(lines, line)
		}
	}
	assert.Greater(t, strings.Count(text, "panic: "), 300, "all values")
	assertNoSecrets(t, "panic", strings.Join(lines, "\n"), []string{secretToken, secretOddToken, secretPassword, secretKey, secretSecurityToken})
}

// echo is all that a server saw of a request, credentials first.
func echo(r *http.Request) string {
	var b strings.Builder
	for _, name := range []string{"X-Auth-Token", "X-Security-Token", "Authorization", "X-Unheard-Of"} {
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

// echoes are the answers of a server that repeats what it was sent wherever it
// can.
var echoes = func() map[string]roundTrip {
	answer := func(status int, body string, header http.Header) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, ContentLength: -1, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
	quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	echoes := map[string]roundTrip{
		"no answer": func(r *http.Request) (*http.Response, error) {
			return nil, errors.New("the proxy refused " + echo(r))
		},
		"broken answer": func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: 201, Header: http.Header{}, ContentLength: -1,
				Body: io.NopCloser(io.MultiReader(strings.NewReader("{"), &failing{errors.New("the proxy lost " + echo(r))})),
			}, nil
		},
		"answer that is plain text": func(r *http.Request) (*http.Response, error) { return answer(201, echo(r), http.Header{}) },
		"answer of a wrong type": func(r *http.Request) (*http.Response, error) {
			return answer(200, `{"api_id":[`+quoted(echo(r))+`],"total":`+quoted(echo(r))+`}`, http.Header{})
		},
		"answer of another API": func(r *http.Request) (*http.Response, error) {
			return answer(201, `{"api_id":`+quoted(echo(r))+`,"version_id":"1"}`, http.Header{})
		},
		"list of wrong rows": func(r *http.Request) (*http.Response, error) {
			return answer(200, `{"total":1,"api_versions":[{"version_id":[`+quoted(echo(r))+`]}]}`, http.Header{})
		},
		"record": func(r *http.Request) (*http.Response, error) {
			return answer(201, publishedBody, http.Header{"X-Request-Id": {echo(r)}})
		},
	}
	for _, status := range []int{302, 400, 401, 403, 404, 408, 409, 429, 500, 503} {
		echoes[fmt.Sprint(status)] = func(r *http.Request) (*http.Response, error) {
			text := quoted(echo(r))
			return answer(status, `{"error_code":`+text+`,"error_msg":`+text+`,"request_id":`+text+`}`, http.Header{})
		}
	}
	echoes["nested"] = func(r *http.Request) (*http.Response, error) {
		return answer(400, `{"error":{"code":401,"message":`+quoted(echo(r))+`,"title":"Unauthorized"}}`, http.Header{})
	}
	for _, status := range []int{302, 400, 503} {
		echoes[fmt.Sprint(status, " in headers")] = func(r *http.Request) (*http.Response, error) {
			text := echo(r)
			return answer(status, text, http.Header{"X-Request-Id": {text}, "Retry-After": {text}, "Date": {text}, "Location": {"http://[" + text}})
		}
	}
	return echoes
}()

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// faultyRun makes the calls of a program whose server repeats what it was sent,
// and returns everything that there is to print afterwards.
func faultyRun(t *testing.T, kind credential, server roundTrip) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(kind.patience, 10*time.Second))
	defer cancel()
	var text, records buffer
	log := slog.New(tee{
		slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewJSONHandler(&records, &slog.HandlerOptions{Level: slog.LevelDebug}),
	})
	cfg := testConfig(server)
	cfg.Logger, cfg.Auth = log, kind.auth(server, log)
	cfg.Retry.MaxAttempts, cfg.Retry.SettleWait = 2, time.Microsecond
	c, err := New(cfg)
	require.NoError(t, err)

	out := map[string]string{}
	collect := func(v any) {
		for _, form := range []string{"error", "%v", "%+v", "%#v", "%s", "%q", "JSON", "slog text", "slog JSON"} {
			out[form] += forms[form](v) + "\n"
		}
	}
	for _, act := range directions {
		record, err := act(c, ctx, testRequest)
		for ; err != nil; err = errors.Unwrap(err) {
			if _, foreign := err.(*url.Error); foreign {
				break // from here on it is the transport's
			}
			collect(err)
		}
		collect(record)
	}
	collect(c)
	out["log as text"], out["log as JSON"] = text.String(), records.String()
	require.NotEmpty(t, out["log as text"])
	return out
}

func TestSecretsDoNotShowInFaultyRuns(t *testing.T) {
	t.Parallel()
	for name, c := range credentialKinds() {
		if c.auth == nil {
			continue
		}
		for fault, server := range echoes {
			t.Run(name+"/"+fault, func(t *testing.T) {
				t.Parallel()
				for where, text := range faultyRun(t, c, server) {
					assertNoSecrets(t, where, text, c.secrets)
				}
				if !c.fetches {
					return
				}
				// Where the credentials are had, and only the gateway misbehaves.
				for where, text := range faultyRun(t, credential{auth: c.auth}, func(r *http.Request) (*http.Response, error) {
					if issues(r) {
						return issue(r)
					}
					return server(r)
				}) {
					assertNoSecrets(t, where, text, append([]string{secretToken}, c.secrets...))
				}
			})
		}
	}
}

// A secret in a header of which the library does not know that it is one, and
// an Authenticator that tells what it should not, show where a leak would.
func TestPlantedLeaksInFaultyRuns(t *testing.T) {
	t.Parallel()
	unheardOf := credential{auth: func(http.RoundTripper, *slog.Logger) Authenticator {
		return authFunc(func(r *http.Request) error { r.Header.Set("X-Unheard-Of", secretKey); return nil })
	}}
	talkative := credential{auth: func(http.RoundTripper, *slog.Logger) Authenticator {
		return authFunc(func(*http.Request) error { return errors.New("cannot use " + secretKey) })
	}}
	for name, tt := range map[string]struct {
		kind   credential
		server roundTrip
	}{
		"no answer":         {unheardOf, echoes["no answer"]},
		"broken answer":     {unheardOf, echoes["broken answer"]},
		"400":               {unheardOf, echoes["400"]},
		"429":               {unheardOf, echoes["429"]},
		"503":               {unheardOf, echoes["503"]},
		"nested":            {unheardOf, echoes["nested"]},
		"400 in headers":    {unheardOf, echoes["400 in headers"]},
		"talkative failure": {talkative, echoes["record"]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NotNil(t, tt.server)
			for where, text := range faultyRun(t, tt.kind, tt.server) {
				if where != "JSON" { // of an error without a form of its own
					assert.NotEmpty(t, spilled(text, secretKey), where)
				}
			}
		})
	}
	out := faultyRun(t, unheardOf, echoes["record"])
	assert.NotEmpty(t, spilled(out["%+v"], secretKey), "the request id of a record")
}
